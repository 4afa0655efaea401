"""What the hardware allows: the least arithmetic and the fewest bytes a workload needs.

A figure divided by its limit says how much is left to gain, on any machine. The counts are of
matrix products only; everything elementwise is left out, so no program reaches 100 percent.

Source of the formulas: matrix parameters N of the decoder layers (`body`) and of the output layer
(`head`); a product with an `[in, out]` matrix takes 2 * in * out operations per token. Frozen
weights need no gradient, so a step takes forward 2N and input gradient 2N. The head's forward is
needed for every position, its backward only where the loss has a gradient.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from benchmarks.models import ModelShape

_PROBE_SIZE = 1024
_COPY_BYTES = 1 << 28
_PROBE_ROUNDS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Ceilings of the device."""

    flops: float
    """Operations per second of a large matrix product in the benchmark's type."""
    bandwidth: float
    """Bytes per second that a large copy reads and writes, together."""


H200 = Machine(flops=790e12, bandwidth=4.3e12)
"""Measured: bfloat16 on random data, and a device copy."""


def body_parameters(model: ModelShape) -> int:
    """Return the matrix parameters of all decoder layers."""
    return model.num_layers * sum(inputs * outputs for inputs, outputs in model.linears())


def head_parameters(model: ModelShape) -> int:
    """Return the parameters of the output layer."""
    return model.vocab_size * model.hidden_size


def adapter_parameters(model: ModelShape, rank: int) -> int:
    """Return the parameters of an adapter on every linear layer of the decoder layers."""
    return model.num_layers * rank * sum(inputs + outputs for inputs, outputs in model.linears())


def training_flops(
    model: ModelShape,
    lengths: Sequence[int],
    *,
    num_active: int,
    rank: int,
    recompute: bool = False,
) -> float:
    """Return the operations of one forward and backward pass over sequences of these lengths.

    Args:
        model: the base model.
        lengths: tokens of each sequence.
        num_active: positions, of all sequences, whose loss has a gradient.
        rank: of the adapter.
        recompute: count the decoder's forward twice, as full activation checkpointing runs it.
    """
    num_tokens = sum(lengths)
    body, head = body_parameters(model), head_parameters(model)
    total = 4.0 * body * num_tokens
    total += 2.0 * head * (num_tokens + num_active)
    total += 6.0 * adapter_parameters(model, rank) * num_tokens
    total += 3.0 * attention_flops(model, lengths)
    if recompute:
        total += 2.0 * body * num_tokens + attention_flops(model, lengths)
    return total


def attention_flops(model: ModelShape, lengths: Sequence[int]) -> float:
    """Return the operations of causal attention, forward: half of two full products a head."""
    width = model.num_heads * model.head_dim * model.num_layers
    return 2.0 * width * sum(length * length for length in lengths)


def prefill_flops(model: ModelShape, lengths: Sequence[int]) -> float:
    """Return the operations of reading prompts, without the output layer."""
    return 2.0 * body_parameters(model) * sum(lengths) + attention_flops(model, lengths)


def key_value_bytes(model: ModelShape, element_bytes: int) -> int:
    """Return the cache bytes of one token."""
    return 2 * model.num_layers * model.num_kv_heads * model.head_dim * element_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Decode:
    """One batch of sequences that are drawn together, each from its own prompt."""

    prompts: tuple[int, ...]
    outputs: tuple[int, ...]
    prompts_shared_by: int = 1
    """How many consecutive sequences have one prompt, which is then read and kept once."""


def decode_seconds(
    model: ModelShape, work: Decode, machine: Machine, *, element_bytes: int, rank: int
) -> float:
    """Return the least time to read the prompts and draw every output token.

    Sequences start together and leave as they end; each step reads the weights and one adapter
    once, and the keys and values of every sequence that is still running. What is slower, bytes or
    arithmetic, decides each step.
    """
    group = work.prompts_shared_by
    prompts = work.prompts[::group]
    seconds = prefill_flops(model, prompts) / machine.flops
    weights = body_parameters(model) + head_parameters(model)
    fixed_bytes = element_bytes * (weights + adapter_parameters(model, rank))
    token_bytes = key_value_bytes(model, element_bytes)
    width = model.num_heads * model.head_dim * model.num_layers
    for step in range(max(work.outputs)):
        running = [i for i, length in enumerate(work.outputs) if length > step]
        own = len(running) * step
        shared = sum(work.prompts[i] for i in {i - i % group for i in running})
        context = sum(work.prompts[i] for i in running) + own
        step_bytes = fixed_bytes + token_bytes * (shared + own)
        step_flops = 2.0 * weights * len(running) + 4.0 * context * width
        seconds += max(step_bytes / machine.bandwidth, step_flops / machine.flops)
    return seconds


def head_flops(num_tokens: int, hidden_size: int, vocab_size: int) -> float:
    """Return the operations of log-probabilities and the gradient of their input: two products."""
    return 4.0 * num_tokens * hidden_size * vocab_size


def measure_machine(device: str, dtype: str) -> Machine:
    """Return the ceilings of `device`: the H200's as recorded for a GPU, measured for a CPU."""
    if device != "cpu":
        return H200
    kind = getattr(torch, dtype)
    left = torch.randn(_PROBE_SIZE, _PROBE_SIZE, dtype=kind)
    source = torch.ones(_COPY_BYTES // 4)
    target = torch.empty_like(source)
    product = min(_timed(lambda: left @ left) for _ in range(_PROBE_ROUNDS))
    copy = min(_timed(lambda: target.copy_(source)) for _ in range(_PROBE_ROUNDS))
    return Machine(flops=2.0 * _PROBE_SIZE**3 / product, bandwidth=2.0 * _COPY_BYTES / copy)


def _timed(work: object) -> float:
    assert callable(work)
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
