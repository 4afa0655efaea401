"""The sampling loop: one prompt, several continuations, a key-value cache.

The prompt is run once and its cache repeated for every continuation. Finished sequences leave the
batch, so the cost of a step is that of the sequences still running.

Legend: T prompt positions, B sequences still running, D width, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor
from transformers import DynamicCache

from mint_runtime.model.load import BaseModel
from mint_runtime.model.logprobs import target_logprobs, top_logprobs
from mint_runtime.sampler.logits import choose_tokens
from mint_runtime.sampler.seeds import sequence_generators, uniforms
from mint_runtime.sampler.stop import StopRule, StopWatch


@dataclass(frozen=True, slots=True, kw_only=True)
class Draw:
    """How to continue a prompt."""

    num_samples: int
    max_tokens: int
    temperature: float
    top_k: int
    top_p: float
    seed: int | None
    stop: StopRule
    prompt_logprobs: bool = False
    num_top_prompt: int = 0
    """How many of the most likely tokens to report for each prompt position."""


@dataclass(slots=True, kw_only=True)
class Continuation:
    """One sampled sequence, growing. The token that ends it is part of it."""

    watch: StopWatch
    generator: torch.Generator
    tokens: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    is_stopped: bool = False

    def add(self, token: int, logprob: float) -> None:
        """Append a token and notice whether it ends the sequence."""
        self.tokens.append(token)
        self.logprobs.append(logprob)
        self.is_stopped = self.watch.ends_with(token)


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """What came out; the prompt lists start at the second token, as nothing predicts the first."""

    continuations: list[Continuation]
    prompt_logprobs: list[float] | None
    top_prompt: list[list[tuple[int, float]]] | None


@torch.no_grad()
def generate(base: BaseModel, tokens_T: Tensor, draw: Draw) -> Generation:
    """Continue the prompt with whatever adapter is active on `base`.

    Args:
        base: the model; its parameters take no gradient from this.
        tokens_T: int64 prompt on the model's device, at least one token.
        draw: what to sample. `T + draw.max_tokens` must fit the context.
    """
    cache = DynamicCache(config=base.network.config)
    hidden_TD = base.hidden(tokens_T[None], cache)[0]
    continuations = [
        Continuation(watch=StopWatch(draw.stop), generator=generator)
        for generator in sequence_generators(draw.seed, draw.num_samples)
    ]
    if draw.max_tokens:
        _continue(base, cache, hidden_TD[-1:], continuations, draw)
    return Generation(
        continuations=continuations,
        prompt_logprobs=_prompt_logprobs(base, hidden_TD, tokens_T)
        if draw.prompt_logprobs
        else None,
        top_prompt=_top_prompt(base, hidden_TD[:-1], draw.num_top_prompt)
        if draw.num_top_prompt
        else None,
    )


def _continue(
    base: BaseModel,
    cache: DynamicCache,
    last_1D: Tensor,
    continuations: list[Continuation],
    draw: Draw,
) -> None:
    running = continuations
    logits_BV = base.unembed(last_1D).expand(len(running), -1)
    if len(running) > 1:
        cache.batch_repeat_interleave(len(running))
    for num_left in range(draw.max_tokens, 0, -1):
        token_B, logp_B = choose_tokens(
            logits_BV,
            uniforms([sequence.generator for sequence in running]),
            temperature=draw.temperature,
            top_k=draw.top_k,
            top_p=draw.top_p,
        )
        for sequence, token, logp in zip(running, token_B.tolist(), logp_B.tolist(), strict=True):
            sequence.add(token, logp)
        rows = [row for row, sequence in enumerate(running) if not sequence.is_stopped]
        if not rows or num_left == 1:
            return
        if len(rows) < len(running):
            row_B = torch.tensor(rows, device=token_B.device)
            cache.batch_select_indices(row_B)
            token_B = token_B[row_B]
            running = [running[row] for row in rows]
        logits_BV = base.unembed(base.hidden(token_B[:, None], cache)[:, -1])


def _prompt_logprobs(base: BaseModel, hidden_TD: Tensor, tokens_T: Tensor) -> list[float]:
    logp_N1 = target_logprobs(
        hidden_TD[:-1], base.unembed, tokens_T[1:, None], vocab_size=base.vocab_size
    )
    return [float(value) for value in logp_N1[:, 0].tolist()]


def _top_prompt(base: BaseModel, hidden_ND: Tensor, num_top: int) -> list[list[tuple[int, float]]]:
    if len(hidden_ND) == 0:
        return []
    ids, values = top_logprobs(hidden_ND, base.unembed, num_top, vocab_size=base.vocab_size)
    return [
        list(zip(row_ids, row_values, strict=True))
        for row_ids, row_values in zip(ids.tolist(), values.tolist(), strict=True)
    ]
