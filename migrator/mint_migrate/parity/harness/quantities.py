"""What a trainer knows of a step beside its loss: tokens, rewards, advantages, divergences.

Everything goes by the name under which TRL logs it, so that a converted script that writes a name
of TRL's claims to mean what TRL means. A number that a trainer keeps for every micro-batch becomes
the mean over the rows of the step, and the divergence of sampled tokens the mean over those tokens.
So it does in the step of an epoch's last, incomplete batch, where CPO and ORPO log less: a plain
mean of the micro-batches, each cut to as many rows as the last one has.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

COMPARED = re.compile(
    r"(reward|reward_std|kl|delta|completion_length)\Z|rewards/(?!accuracies|.*_sum\Z)|objective/|logps/|nll_loss\Z"
    r"|log_odds|completions/(mean|min|max)_length\Z"
)
"""Names of the numbers that a converted script can know as well.

Not the share of pairs whose rewards are in order: where they are equal, rounding decides it.
"""

_HOLDERS = ("_metrics", "_stored_metrics", "stats")
"""Attributes where trainers keep lists of numbers between two logs."""

_PER_TOKEN = "kl"
_LABELS = ("labels", "chosen_labels", "rejected_labels", "completion_labels")


@dataclass(frozen=True, slots=True, kw_only=True)
class MicroBatch:
    """What one backward pass is over."""

    num_tokens: int
    """Target tokens: positions count where the token that they predict is not masked."""
    num_rows: int
    is_sampled: bool
    """The trainer has generated it."""
    is_marked: bool
    """Its rows are good or bad ones, in any proportion."""


def measure(inputs: Mapping[str, Any]) -> MicroBatch | None:
    """Return what a loss is taken over; None if it cannot be told.

    Of a batch of prompts, which a trainer continues within its step, only the rows are known.
    """
    masks = list(_masks(inputs))
    if not masks and isinstance(prompts := inputs.get("prompt"), list):
        return MicroBatch(num_tokens=0, num_rows=len(prompts), is_sampled=True, is_marked=False)
    if not masks:
        return None
    return MicroBatch(
        num_tokens=sum(int(mask.sum()) for mask in masks),
        num_rows=sum(int(mask.shape[0]) for mask in masks),
        is_sampled="completion_ids" in inputs,
        is_marked="label" in inputs or "completion_labels" in inputs,
    )


def _masks(inputs: Mapping[str, Any]) -> Iterator[Any]:
    """Yield a mask per tensor of targets, whatever a trainer calls them."""
    labels = [inputs[name] for name in _LABELS if inputs.get(name) is not None]
    if labels:
        yield from (each[..., 1:] != -100 for each in labels)
    elif "chosen_attention_mask" in inputs and "prompt_input_ids" in inputs:
        # The prompt stands apart, so that every completion token is a target.
        yield from (inputs[f"{side}_attention_mask"] for side in ("chosen", "rejected"))
    elif (mask := inputs.get("completion_mask")) is not None:
        if "completion_ids" in inputs:
            yield mask * inputs["tool_mask"] if "tool_mask" in inputs else mask
        else:
            yield mask[..., 1:]


class Quantities:
    """Collects the numbers of one step of one trainer."""

    def __init__(self, trainer: Any) -> None:
        self._trainer = trainer
        self._seen: dict[str, tuple[object, int]] = {}
        """By name: the first entry of a list, and how many there were."""
        self.advantages: list[float] | None = None
        """Of the completions that the step was the first to be trained on."""
        self.loss_scale: float | None = None
        """Mean size of the newest advantages: what the loss would be if they had one sign."""

    def scored(self, advantages: Any) -> None:
        """Take the advantages of a batch of completions."""
        self.advantages = advantages.flatten().tolist()
        self.loss_scale = float(advantages.abs().mean())

    def take(self, batches: Sequence[MicroBatch]) -> dict[str, Any]:
        """Return what is new since the last step, whose micro-batches are given."""
        found: dict[str, Any] = {}
        for name, entries in _lists(self._trainer).items():
            if not COMPARED.match(name) or not isinstance(entries, list):
                continue
            new = self._new(name, entries)
            weights = _weights(name, len(new), batches)
            if any(weights):
                total = sum(weight * value for weight, value in zip(weights, new, strict=True))
                found[name] = total / sum(weights)
        if self.advantages is not None:
            found["advantages"], self.advantages = self.advantages, None
        return found

    def _new(self, name: str, entries: list[Any]) -> list[float]:
        """Return the entries since the last step. A log in between has emptied the list."""
        if not entries:
            return []
        first, count = self._seen.get(name, (None, 0))
        start = count if entries[0] is first else 0
        self._seen[name] = (entries[0], len(entries))
        return [float(entry) for entry in entries[start:]]


def _weights(name: str, count: int, batches: Sequence[MicroBatch]) -> list[int]:
    """Return the weight of each new number; empty where their mean over the step is unknown."""
    if count == 1:
        return [1]
    if count != len(batches) or any(batch.is_marked for batch in batches):
        return []
    if name == _PER_TOKEN and batches[0].is_sampled:
        return [batch.num_tokens for batch in batches]
    return [batch.num_rows for batch in batches]


def _lists(trainer: Any) -> Mapping[str, Any]:
    """Return the trainer's lists of training numbers by name."""
    found: dict[str, Any] = {}
    for holder in _HOLDERS:
        kept = getattr(trainer, holder, None)
        if isinstance(kept, Mapping):
            inner = kept.get("train", kept)
            found |= dict(inner) if isinstance(inner, Mapping) else {}
    return found
