"""What the sampler is asked for and what it answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from mint_runtime.model.adapter import Adapter
from mint_runtime.sampler.logits import Choice
from mint_runtime.sampler.stop import StopRule


@dataclass(frozen=True, slots=True, kw_only=True)
class Draw:
    """How to continue a prompt."""

    num_samples: int = 1
    max_tokens: int
    choice: Choice = field(default_factory=Choice)
    seed: int | None = None
    """Sample i of a seeded request uses a stream of its own, derived from (seed, i)."""
    stop: StopRule = field(default_factory=StopRule)
    prompt_logprobs: bool = False
    num_top_prompt: int = 0
    """How many of the most likely tokens to report for each prompt position."""

    @property
    def reads_prompt(self) -> bool:
        """Tell whether the answer says something about the prompt's own tokens."""
        return self.prompt_logprobs or self.num_top_prompt > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class NewToken:
    """A token of one continuation, as it is drawn."""

    sequence: int
    token: int
    logprob: float
    stop_reason: str | None
    """Set on the last token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Continuation:
    """One sampled sequence. The token that ends it is part of it."""

    tokens: list[int]
    logprobs: list[float]
    """In nats, of the temperature-scaled distribution before top-k and top-p."""
    stop_reason: str
    """`stop` or `length`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """What came out; the prompt lists start at the second token, as nothing predicts the first."""

    continuations: list[Continuation]
    prompt_logprobs: list[float] | None
    """At temperature 1."""
    top_prompt: list[list[tuple[int, float]]] | None
    num_cached: int
    """Leading prompt tokens that were not computed, because their pages were found."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Request:
    """A prompt to continue. The functions are called on the scheduler's thread and must not wait.

    Exactly one of `done` and `failed` is called, unless the request is cancelled.
    """

    adapter: Adapter | None
    """Never changed while it is used here: its identity names what is cached."""
    prompt_T: npt.NDArray[np.int64]
    """At least one token; with `draw.max_tokens` it fits the context."""
    draw: Draw
    done: Callable[[Generation], None]
    failed: Callable[[BaseException], None]
    listener: Callable[[NewToken], None] | None = None
