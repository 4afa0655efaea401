"""The state of a request while it is worked on, and of each of its sequences."""

from __future__ import annotations

from dataclasses import dataclass, field

from mint_runtime.sampler.request import Continuation, Generation, NewToken, Request
from mint_runtime.sampler.seeds import UniformStream, root_seed
from mint_runtime.sampler.stop import StopWatch

STOP, LENGTH = "stop", "length"


@dataclass(slots=True, kw_only=True, eq=False)
class Job:
    """A request that is waiting or running."""

    request: Request
    number: int
    """Order of arrival."""
    space: int
    """Key space of its pages."""
    prompt: list[int]
    root: int
    ended: dict[int, Continuation] = field(default_factory=dict)
    num_started: int = 0
    num_running: int = 0
    awaited: tuple[int, tuple[int, ...]] | None = None
    """Key of the page that another request is computing for this one as well."""
    is_leading: bool = False
    """Whether a sequence is computing the prompt, for others to go on from."""
    is_dropped: bool = False
    """Whether it has been answered, or needs no answer any more."""
    is_prompt_read: bool = False
    """Whether everything that is to be reported about the prompt is known."""
    num_cached: int | None = None
    prompt_logprobs: list[float] = field(default_factory=list)
    top_prompt: list[list[tuple[int, float]]] = field(default_factory=list)

    @classmethod
    def of(cls, request: Request, number: int, space: int) -> Job:
        """Start a request."""
        return cls(
            request=request,
            number=number,
            space=space,
            prompt=request.prompt_T.tolist(),
            root=root_seed(request.draw.seed),
            is_prompt_read=not request.draw.reads_prompt,
        )

    @property
    def num_unstarted(self) -> int:
        """Return how many sequences have not begun."""
        return self.request.draw.num_samples - self.num_started

    @property
    def is_ended(self) -> bool:
        """Tell whether every sequence has ended."""
        return len(self.ended) == self.request.draw.num_samples

    def generation(self) -> Generation:
        """Return the answer."""
        draw = self.request.draw
        return Generation(
            continuations=[self.ended[index] for index in range(draw.num_samples)],
            prompt_logprobs=self.prompt_logprobs if draw.prompt_logprobs else None,
            top_prompt=self.top_prompt if draw.num_top_prompt else None,
            num_cached=self.num_cached or 0,
        )


class Sequence:
    """One continuation that is running, or was set back and waits to run again."""

    __slots__ = (
        *("job", "index", "order", "text", "logprobs", "pages", "num_computed"),
        *("entry", "num_published", "awaited", "_stream", "_watch"),
    )

    def __init__(self, job: Job, index: int, order: int) -> None:
        """Begin sample `index` of a request; `order` counts beginnings over all requests."""
        self.job, self.index, self.order = job, index, order
        self.text = list(job.prompt)
        """The prompt and what was sampled."""
        self.logprobs: list[float] = []
        self.pages: list[int] = []
        self.num_computed = 0
        """Tokens of the text whose keys and values are in the pages."""
        self.entry = job.space
        """Number under which the last published page can be found."""
        self.num_published = 0
        self.awaited: tuple[int, tuple[int, ...]] | None = None
        """Key of the page that others wait for instead of computing it too."""
        self._stream = UniformStream(job.root, index)
        self._watch = StopWatch(job.request.draw.stop)

    @property
    def num_pending(self) -> int:
        """Return how many tokens must be computed before the next can be drawn."""
        return len(self.text) - self.num_computed

    @property
    def is_in_prompt(self) -> bool:
        """Tell whether nothing was sampled yet."""
        return len(self.text) == len(self.job.prompt)

    def uniform(self) -> float:
        """Return the number that decides the next draw."""
        return self._stream.next()

    def add(self, token: int, logprob: float) -> str | None:
        """Append a sampled token; return why the sequence ends with it, or None."""
        self.text.append(token)
        self.logprobs.append(logprob)
        reason = STOP if self._watch.ends_with(token) else None
        if reason is None and len(self.logprobs) == self.job.request.draw.max_tokens:
            reason = LENGTH
        if listener := self.job.request.listener:
            listener(
                NewToken(sequence=self.index, token=token, logprob=logprob, stop_reason=reason)
            )
        return reason

    def end(self, reason: str) -> None:
        """Hand the sequence over to its request."""
        self.job.ended[self.index] = Continuation(
            tokens=self.text[len(self.job.prompt) :], logprobs=self.logprobs, stop_reason=reason
        )
