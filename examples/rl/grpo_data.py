"""The data of a GRPO step: which prompts, which advantages, which datums.

Losses on MinT are sums over tokens and datums, and so is everything here: a long response moves the
weights more than a short one. Divide the advantages by what you want to average over.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import mint
from mint import types


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The responses to one prompt."""

    prompt: list[int]
    sequences: list[types.SampledSequence]
    rewards: list[float]


def mean(values: Sequence[float]) -> float:
    """Return the average, and 0 for no values."""
    return sum(values) / len(values) if values else 0.0


def group_advantages(rewards: Sequence[float], *, normalize_by_std: bool = False) -> list[float]:
    """Return how much better each reward is than the mean of its group; the sum is 0."""
    centered = [reward - mean(rewards) for reward in rewards]
    if not normalize_by_std or len(rewards) < 2:
        return centered
    std = (sum(value**2 for value in centered) / (len(rewards) - 1)) ** 0.5
    return [value / (std + 1e-6) for value in centered]


def build_datum(
    prompt: list[int], sequence: types.SampledSequence, advantage: float
) -> types.Datum:
    """Return one response as training data: position t predicts token t + 1.

    The prompt has weight 0. Every token of the response carries the response's advantage and the
    log-probability it was sampled with.

    Raises:
        ValueError: the server sent no log-probabilities; with zeros in their place every ratio of
            the loss would be wrong.
    """
    if sequence.logprobs is None or len(sequence.logprobs) != len(sequence.tokens):
        raise ValueError(
            f"a response of {len(sequence.tokens)} tokens came with "
            f"{len(sequence.logprobs or [])} log-probabilities; the loss needs one for each"
        )
    tokens, prefix, length = prompt + list(sequence.tokens), len(prompt) - 1, len(sequence.tokens)
    return types.Datum(
        model_input=types.ModelInput.from_ints(tokens=tokens[:-1]),
        loss_fn_inputs={
            "target_tokens": tokens[1:],
            "weights": [0.0] * prefix + [1.0] * length,
            "logprobs": [0.0] * prefix + list(sequence.logprobs),
            "advantages": [0.0] * prefix + [advantage] * length,
        },
    )


def build_datums(
    groups: Sequence[Group], *, normalize_by_std: bool = False, keep_equal: bool = False
) -> list[types.Datum]:
    """Return the training data of a step.

    Left out are empty responses, and groups whose rewards are all equal: their advantages are 0.
    `keep_equal` keeps those, for a penalty that will be added.
    """
    datums = []
    for group in groups:
        if len(set(group.rewards)) < 2 and not keep_equal:
            continue
        advantages = group_advantages(group.rewards, normalize_by_std=normalize_by_std)
        for sequence, advantage in zip(group.sequences, advantages, strict=True):
            if sequence.tokens:
                datums.append(build_datum(group.prompt, sequence, advantage))
    return datums


def batch_at(dataset: Sequence[Any], step: int, batch_size: int, seed: int) -> list[Any]:
    """Return the samples of a step: a fresh shuffle for each pass through the data, none left out.

    It depends on the arguments only, so a resumed run sees what it would have seen.
    """
    batch: list[Any] = []
    for position in range(step * batch_size, (step + 1) * batch_size):
        epoch, index = divmod(position, len(dataset))
        if not batch or index == 0:
            order = random.Random(f"{seed}-{epoch}").sample(range(len(dataset)), len(dataset))
        batch.append(dataset[order[index]])
    return batch


def add_kl_penalty(
    datums: Sequence[types.Datum],
    policy: mint.SamplingClient,
    reference: mint.SamplingClient,
    coef: float,
) -> tuple[list[types.Datum], float]:
    """Lower the advantage of tokens that the policy likes more than the reference does.

    The built-in losses have no KL term, so the penalty `coef * (log p - log p_ref)` of a token is
    taken off its advantage, relative to its average over the batch. Both are at temperature 1.

    Returns:
        the new datums, and the mean of `log p - log p_ref` over response tokens, in nats.
    """
    inputs = [datum.model_input.append_int(_ints(datum, "target_tokens")[-1]) for datum in datums]
    futures = [(policy.compute_logprobs(each), reference.compute_logprobs(each)) for each in inputs]
    gaps = []
    for datum, (ours, theirs) in zip(datums, futures, strict=True):
        # The first token is predicted by nothing; the rest align with the targets.
        pairs = zip(ours.result()[1:], theirs.result()[1:], _floats(datum, "weights"), strict=True)
        gaps.append([weight * (p - q) for p, q, weight in pairs])
    num_tokens = sum(sum(_floats(datum, "weights")) for datum in datums)
    average = sum(map(sum, gaps)) / num_tokens
    return [_with_penalty(*pair, average, coef) for pair in zip(datums, gaps, strict=True)], average


def _with_penalty(
    datum: types.Datum, gaps: list[float], average: float, coef: float
) -> types.Datum:
    weights, advantages = _floats(datum, "weights"), _floats(datum, "advantages")
    penalized = [
        advantage + coef * weight * (average - gap)
        for advantage, weight, gap in zip(advantages, weights, gaps, strict=True)
    ]
    inputs = {**datum.loss_fn_inputs, "advantages": penalized}
    return types.Datum(model_input=datum.model_input, loss_fn_inputs=inputs)


def _ints(datum: types.Datum, key: str) -> list[int]:
    return [int(value) for value in datum.loss_fn_inputs[key].tolist()]


def _floats(datum: types.Datum, key: str) -> list[float]:
    return [float(value) for value in datum.loss_fn_inputs[key].tolist()]
