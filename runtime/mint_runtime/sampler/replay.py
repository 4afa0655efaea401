"""Answer requests with completions that were recorded elsewhere, in place of drawing them.

Two trainings that draw for themselves cannot be compared number by number. Here the second is given
the tokens of the first; the log-probabilities are those that the sampler's own adapter gives them.

The file holds one completion per line, as JSON, in the order in which they were generated:

    {"step": 0, "prompt": [5, 6, 7], "completion": [9, 8, 2]}

A request takes the next `num_samples` completions of its prompt, which is matched token by token.
What a sampler could not have drawn is an error, not an answer: a prompt that was never continued, a
completion longer than `max_tokens`, or one that goes on after a stop token or ends without one.

While the file does not exist, requests are drawn as ever, and so are those that ask about their
prompt: they read what a model makes of given tokens, and what they draw is thrown away.
"""

from __future__ import annotations

import itertools
import json
from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from mint_runtime.errors import UserError
from mint_runtime.model.attention import CausalPlan
from mint_runtime.model.head import TargetLogprobs, logits, slice_rows, slices
from mint_runtime.model.load import BaseModel
from mint_runtime.model.lora import LoraPlan
from mint_runtime.sampler.limits import Limits
from mint_runtime.sampler.request import Continuation, Generation, NewToken, Request
from mint_runtime.sampler.schedule import Scheduler
from mint_runtime.sampler.sequence import LENGTH, STOP
from mint_runtime.sampler.stop import StopWatch

_SHOWN_TOKENS = 12
"""Of a prompt, in an error: its last ones, where prompts of one data set differ."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """One line of the file."""

    step: int
    """Optimizer steps that had been taken when it was generated."""
    prompt: tuple[int, ...]
    completion: tuple[int, ...]


class Replay:
    """The completions of a file that have not been used yet. One thread uses it."""

    def __init__(self, file: Path) -> None:
        """Remember the file; it is read when the first completion is taken."""
        self._file = file
        self._unused: defaultdict[tuple[int, ...], deque[Recorded]] | None = None
        self._steps: dict[tuple[int, ...], list[int]] = {}

    @property
    def is_there(self) -> bool:
        """Tell whether there is a file to answer from."""
        return self._unused is not None or self._file.exists()

    def take(self, prompt: Sequence[int], count: int) -> list[Recorded]:
        """Return the next completions of a prompt and use them up.

        Raises:
            UserError: the file has fewer left, or cannot be read.
        """
        if self._unused is None:
            self._read()
        assert self._unused is not None
        left = self._unused.get(tuple(prompt), deque())
        if len(left) < count:
            raise UserError(self._missing(prompt, count, len(left)))
        return [left.popleft() for _ in range(count)]

    def _read(self) -> None:
        unused: defaultdict[tuple[int, ...], deque[Recorded]] = defaultdict(deque)
        for recorded in read_recorded(self._file):
            unused[recorded.prompt].append(recorded)
            self._steps.setdefault(recorded.prompt, []).append(recorded.step)
        self._unused = unused

    def _missing(self, prompt: Sequence[int], count: int, num_left: int) -> str:
        shown = ", ".join(map(str, prompt[-_SHOWN_TOKENS:]))
        what = f"the prompt of {len(prompt)} tokens that ends with [{shown}]"
        steps = self._steps.get(tuple(prompt))
        if steps is None:
            return f"`--replay`: {what} was never continued in {self._file}; {self._next()}"
        return (
            f"`--replay`: {what} was continued {len(steps)} times in {self._file}, in steps "
            f"{steps[0]} to {steps[-1]}; {count} completions were asked for and {num_left} are "
            f"left; {self._next()}"
        )

    def _next(self) -> str:
        """Return a clause on the oldest completion that nobody has asked for."""
        assert self._unused is not None
        heads = [queue[0] for queue in self._unused.values() if queue]
        if not heads:
            return "all of its completions have been used"
        first = min(heads, key=lambda recorded: recorded.step)
        shown = ", ".join(map(str, first.prompt[-_SHOWN_TOKENS:]))
        return (
            f"next in it is step {first.step}, with a prompt of {len(first.prompt)} tokens that "
            f"ends with [{shown}]"
        )


def read_recorded(file: Path) -> Iterator[Recorded]:
    """Yield the lines of a file of completions.

    Raises:
        UserError: it cannot be read, or a line is not a completion.
    """
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise UserError(f"`--replay {file}` cannot be read: {error.strerror}") from error
    for number, line in enumerate(lines, start=1):
        try:
            content = json.loads(line)
            yield Recorded(
                step=int(content["step"]),
                prompt=tuple(map(int, content["prompt"])),
                completion=tuple(map(int, content["completion"])),
            )
        except (ValueError, TypeError, KeyError) as error:
            raise UserError(
                f"`--replay {file}` line {number} is not a JSON object with `step`, `prompt` and "
                "`completion`"
            ) from error


class ReplayScheduler(Scheduler):
    """A scheduler whose answers are recorded. See the module for what it still draws itself."""

    def __init__(self, base: BaseModel, replay: Replay, limits: Limits | None = None) -> None:
        """Start without work."""
        super().__init__(base, limits)
        self._replay = replay
        self._recorded: deque[tuple[Request, list[Recorded]]] = deque()

    @property
    def has_work(self) -> bool:
        """Tell whether a step would do something."""
        return bool(self._recorded) or super().has_work

    def add(self, request: Request) -> None:
        """Queue a request and take its completions.

        Raises:
            UserError: there are none for it, or not such as it could have drawn.
        """
        if request.draw.reads_prompt or not self._replay.is_there:
            super().add(request)
            return
        recorded = self._replay.take(request.prompt_T.tolist(), request.draw.num_samples)
        for each in recorded:
            _stop_reason(request, each)
        self._recorded.append((request, recorded))

    def cancel(self, request: Request) -> None:
        """Forget a request without an answer. One that has ended is ignored."""
        self._recorded = deque(each for each in self._recorded if each[0] is not request)
        super().cancel(request)

    def fail_all(self, error: BaseException) -> None:
        """Answer every request with `error`."""
        while self._recorded:
            self._recorded.popleft()[0].failed(error)
        super().fail_all(error)

    @torch.inference_mode()
    def step(self) -> bool:
        """Answer one recorded request with one pass, or go on drawing the others."""
        if not self._recorded:
            return super().step()
        request, recorded = self._recorded.popleft()
        try:
            self._answer_recorded(request, recorded)
        except Exception as error:
            request.failed(error)
        return True

    def _answer_recorded(self, request: Request, recorded: Sequence[Recorded]) -> None:
        logprobs = completion_logprobs(self._base, request, [each.completion for each in recorded])
        self._prompt_tokens += len(request.prompt_T)
        self._sampled_tokens += sum(len(each.completion) for each in recorded)
        continuations = [
            Continuation(
                tokens=list(each.completion),
                logprobs=found,
                stop_reason=_stop_reason(request, each),
            )
            for each, found in zip(recorded, logprobs, strict=True)
        ]
        if request.listener is not None:
            for new in _as_drawn(continuations):
                request.listener(new)
        request.done(
            Generation(
                continuations=continuations, prompt_logprobs=None, top_prompt=None, num_cached=0
            )
        )


def _as_drawn(continuations: Sequence[Continuation]) -> Iterator[NewToken]:
    """Yield every token as it would have been announced."""
    for number, each in enumerate(continuations):
        last = len(each.tokens) - 1
        for place, (token, logprob) in enumerate(zip(each.tokens, each.logprobs, strict=True)):
            reason = each.stop_reason if place == last else None
            yield NewToken(sequence=number, token=token, logprob=logprob, stop_reason=reason)


def _stop_reason(request: Request, recorded: Recorded) -> str:
    """Return why the completion ends where it does under the rules of the request.

    Raises:
        UserError: under these rules it would have ended earlier or later.
    """
    limit, tokens = request.draw.max_tokens, recorded.completion
    watch = StopWatch(request.draw.stop)
    length = next((n for n, token in enumerate(tokens, 1) if watch.ends_with(token)), None)
    if length == len(tokens) <= limit:
        return STOP
    if length is None and len(tokens) == limit:
        return LENGTH
    if length is not None and length <= limit:
        end = f"`stop` would have ended it after {length}"
    elif len(tokens) > limit:
        end = f"`max_tokens` is {limit}"
    else:
        end = f"it ends with none of `stop`, and `max_tokens` is {limit}"
    raise UserError(
        f"`--replay`: the completion recorded in step {recorded.step} has {len(tokens)} tokens, "
        f"but {end}: the original sampled by other rules"
    )


def completion_logprobs(
    base: BaseModel, request: Request, completions: Sequence[Sequence[int]]
) -> list[list[float]]:
    """Return the log-probability of every completion token, in nats, from one whole pass.

    It is the pass of a training step: the same kernels on the same numbers, so that a ratio between
    the two is 1. At another temperature than 1 they are those of the scaled distribution, which a
    training step does not compute.

    Args:
        base: the model.
        request: whose prompt is continued, and by which adapter.
        completions: tokens after the prompt.
    """
    prompt = request.prompt_T.tolist()
    texts = [[*prompt, *tokens] for tokens in completions]
    lengths = [len(text) - 1 for text in texts]
    plan = LoraPlan.whole(request.adapter, sum(lengths))
    with base.under(plan):
        hidden_ND = base.hidden(
            torch.tensor([token for text in texts for token in text[:-1]], device=base.device),
            torch.cat([torch.arange(length, device=base.device) for length in lengths]),
            CausalPlan(lengths, base.device),
        )
    targets = [token for text in texts for token in text[1:]]
    target_N1 = torch.tensor(targets, device=base.device)[:, None]
    temperature = request.draw.choice.temperature
    if temperature in (0.0, 1.0):
        logp_N1 = TargetLogprobs(base, hidden_ND, target_N1, plan, backward=False).logp_NK
    else:
        logp_N1 = _scaled_logprobs(base, hidden_ND, target_N1, plan, temperature)
    ends = list(itertools.accumulate(lengths))
    return [
        logp_N1[end - len(tokens) : end, 0].tolist()
        for end, tokens in zip(ends, completions, strict=True)
    ]


def _scaled_logprobs(
    base: BaseModel,
    hidden_ND: torch.Tensor,
    target_N1: torch.Tensor,
    plan: LoraPlan,
    temperature: float,
) -> torch.Tensor:
    """Return `[N, 1]` log-probabilities at a temperature, a slice of rows at a time."""
    found = []
    for rows in slices(len(hidden_ND), slice_rows(base)):
        logits_nV = logits(base, hidden_ND[rows], plan.narrow(rows.start, rows.stop))
        logp_nV = (logits_nV / temperature).log_softmax(dim=1)
        found.append(logp_nV.gather(1, target_N1[rows]))
    return torch.cat(found)
