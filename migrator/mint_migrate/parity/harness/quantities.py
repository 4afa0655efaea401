"""What a trainer knows of a step beside its loss: tokens, rewards, advantages, divergences.

Everything goes by the name under which TRL logs it, so that a converted script that writes a name
of TRL's claims to mean what TRL means. A number that a trainer keeps for every micro-batch becomes
the mean over the step; the KL divergence is weighted by the tokens of the micro-batch, so that it
is the mean over the step's completion tokens.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

COMPARED = re.compile(
    r"(reward|reward_std|kl|completion_length)\Z|(rewards|objective)/|logps/|nll_loss\Z"
    r"|log_odds|completions/(mean|min|max)_length\Z"
)
"""Names of the numbers that a converted script can know as well."""

_HOLDERS = ("_metrics", "_stored_metrics", "stats")
"""Attributes where trainers keep lists of numbers between two logs."""

_WEIGHTED = "kl"
_LABELS = ("labels", "chosen_labels", "rejected_labels", "completion_labels")


def count_tokens(inputs: Mapping[str, Any]) -> tuple[int, int] | None:
    """Return the target tokens that a loss is taken over, and the sequences; None if unknown.

    A position counts where the token that it predicts is not masked.
    """
    masks = list(_masks(inputs))
    if not masks:
        return None
    return sum(int(mask.sum()) for mask in masks), sum(int(mask.shape[0]) for mask in masks)


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

    def take(self, tokens: Sequence[int]) -> dict[str, Any]:
        """Return what is new since the last step; `tokens` are those of each micro-batch."""
        found: dict[str, Any] = {}
        for name, entries in _lists(self._trainer).items():
            if not COMPARED.match(name) or not isinstance(entries, list):
                continue
            if new := self._new(name, entries):
                weights = (
                    tokens if name == _WEIGHTED and len(new) == len(tokens) else [1] * len(new)
                )
                total = sum(weight * value for weight, value in zip(weights, new, strict=True))
                found[name] = total / (sum(weights) or 1)
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


def _lists(trainer: Any) -> Mapping[str, Any]:
    """Return the trainer's lists of training numbers by name."""
    for holder in _HOLDERS:
        kept = getattr(trainer, holder, None)
        if isinstance(kept, Mapping) and kept:
            inner = kept.get("train", kept)
            if isinstance(inner, Mapping):
                return inner
    return {}
