"""The work that is measured: lengths and tokens, from a seed, the same for every side.

Tokens are uniform over the vocabulary without its special tokens. A workload travels to the
processes that do the work as a small record and is expanded there, so that no side pays for moving
it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

_FIRST_PLAIN_TOKEN = 3
"""The special tokens of the benchmark models come first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainWork:
    """Sequences to train on."""

    lengths: tuple[int, ...]
    """Positions of each sequence; there is one target per position."""
    vocab_size: int
    loss_fn: str = "cross_entropy"
    prompt_fraction: float = 0.0
    """Share of each sequence, at its start, whose positions have weight or advantage 0."""
    seed: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return the record as JSON carries it."""
        return asdict(self)

    @property
    def num_tokens(self) -> int:
        """Return the positions of all sequences."""
        return sum(self.lengths)

    @property
    def num_active(self) -> int:
        """Return the positions whose loss has a gradient."""
        return sum(length - self.num_prompt(length) for length in self.lengths)

    def num_prompt(self, length: int) -> int:
        """Return the positions without a loss at the start of a sequence."""
        return min(length - 1, round(length * self.prompt_fraction))


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleWork:
    """Prompts to continue. No sequence ends before its length."""

    prompts: tuple[int, ...]
    """Tokens of each prompt."""
    outputs: tuple[int, ...]
    """Tokens to draw for each prompt."""
    vocab_size: int
    num_samples: int = 1
    seed: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return the record as JSON carries it."""
        return asdict(self)

    @property
    def num_tokens(self) -> int:
        """Return the tokens to draw."""
        return sum(self.outputs) * self.num_samples


def train_work(fields: Mapping[str, Any]) -> TrainWork:
    """Return the record that `TrainWork.to_json` made."""
    return TrainWork(**{**fields, "lengths": tuple(fields["lengths"])})


def sample_work(fields: Mapping[str, Any]) -> SampleWork:
    """Return the record that `SampleWork.to_json` made."""
    lists = {name: tuple(fields[name]) for name in ("prompts", "outputs")}
    return SampleWork(**{**fields, **lists})


def uniform_lengths(num: int, low: int, high: int, *, seed: int) -> tuple[int, ...]:
    """Return `num` lengths, uniform from `low` to `high`, both included."""
    return tuple(int(each) for each in np.random.default_rng(seed).integers(low, high + 1, num))


def skewed_lengths(num: int, median: int, low: int, high: int, *, seed: int) -> tuple[int, ...]:
    """Return `num` log-normal lengths (sigma 1) around `median`, cut to `low` and `high`."""
    drawn = np.random.default_rng(seed).lognormal(np.log(median), 1.0, num)
    return tuple(int(each) for each in drawn.clip(low, high))


def tokens_of(length: int, vocab_size: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Return `length` random tokens."""
    return rng.integers(_FIRST_PLAIN_TOKEN, vocab_size, length)


def train_arrays(work: TrainWork) -> list[dict[str, npt.NDArray[Any]]]:
    """Return, for each sequence, `tokens` and the inputs of its loss, `[T]` each."""
    rng = np.random.default_rng(work.seed)
    return [_arrays(work, length, rng) for length in work.lengths]


def _arrays(work: TrainWork, length: int, rng: np.random.Generator) -> dict[str, npt.NDArray[Any]]:
    tokens = tokens_of(length + 1, work.vocab_size, rng)
    active = (np.arange(length) >= work.num_prompt(length)).astype(np.float32)
    arrays: dict[str, npt.NDArray[Any]] = {"tokens": tokens[:-1], "target_tokens": tokens[1:]}
    if work.loss_fn == "cross_entropy":
        arrays["weights"] = active
        return arrays
    # About what a random model gives, so that the ratio of the policies is near 1.
    expected = -np.log(work.vocab_size)
    arrays["logprobs"] = (expected + 0.1 * rng.standard_normal(length)).astype(np.float32)
    arrays["advantages"] = (active * rng.standard_normal()).astype(np.float32)
    return arrays


def prompt_arrays(work: SampleWork) -> list[npt.NDArray[np.int64]]:
    """Return the prompts."""
    rng = np.random.default_rng(work.seed)
    return [tokens_of(length, work.vocab_size, rng) for length in work.prompts]
