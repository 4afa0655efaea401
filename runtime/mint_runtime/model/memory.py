"""How much memory a pass takes, measured on the model itself, and what to do when it is too much.

A backward pass needs what its forward pass has kept. How much that is depends on the architecture
and on every detail of its code, so it is measured once per base model, on a few tokens, rather than
modeled. Passes are cut so that it fits; when a single sequence does not fit, the layers in front
compute their part again in the backward pass and keep only what enters them.

Legend: N rows.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import psutil
import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint
from transformers.modeling_layers import GradientCheckpointingLayer

from mint_runtime.model.adapter import new_adapter
from mint_runtime.model.attention import CausalPlan
from mint_runtime.model.load import BaseModel
from mint_runtime.model.lora import ATTENTION, MLP, LoraPlan

_PROBE_TOKENS = 64
_PROBE_RANK = 16
# Share of the free memory that a pass may fill: the rest is for the head, for temporary tensors
# and for whoever else uses the machine.
_USABLE = 0.5
_ASK_AGAIN_S = 0.25
MAX_PASS_TOKENS = {"cpu": 4096, "cuda": 32768}
"""Rows per pass where memory would allow more: from there on a wider pass is no faster, and others
wait longer for it."""
MIN_PASS_TOKENS = 256
"""Narrower passes waste the device; rather some layers are recomputed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PassMemory:
    """What one row of a pass keeps for the backward pass, in bytes."""

    per_row: float
    """Without recomputing anything."""
    per_input: float
    """What enters one layer."""
    num_layers: int

    def rows(self, available: int) -> int:
        """Return how many rows fit into `available` bytes without recomputing."""
        return int(available * _USABLE / self.per_row)

    def layers_to_recompute(self, num_rows: int, available: int) -> int:
        """Return how many layers must be recomputed for `num_rows` to fit; all if none suffices."""
        excess = num_rows * self.per_row - available * _USABLE
        if excess <= 0:
            return 0
        saved = num_rows * (self.per_row / self.num_layers - self.per_input)
        return self.num_layers if saved <= 0 else min(self.num_layers, math.ceil(excess / saved))


def measure(base: BaseModel) -> PassMemory:
    """Run a few rows through the model and count what autograd keeps."""
    kept: dict[int, int] = {}
    weights = {tensor.untyped_storage().data_ptr() for tensor in base.network.parameters()}

    def count(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    groups = frozenset({ATTENTION, MLP})
    adapter = new_adapter(base.layers, rank=_PROBE_RANK, groups=groups, seed=0, device=base.device)
    tokens_N = torch.zeros(_PROBE_TOKENS, dtype=torch.int64, device=base.device)
    position_N = torch.arange(_PROBE_TOKENS, device=base.device)
    with (
        torch.enable_grad(),
        torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor),
        base.under(LoraPlan.whole(adapter, _PROBE_TOKENS)),
    ):
        hidden_ND = base.hidden(tokens_N, position_N, CausalPlan((_PROBE_TOKENS,), base.device))
    mine = {tensor.untyped_storage().data_ptr() for tensor in (adapter.flat_P, tokens_N)}
    total = sum(size for pointer, size in kept.items() if pointer not in mine)
    return PassMemory(
        per_row=max(1.0, total / _PROBE_TOKENS),
        per_input=hidden_ND.shape[1] * hidden_ND.element_size(),
        num_layers=max(1, len(_layers(base))),
    )


class PassBudget:
    """How wide the passes of one base model may be, given the memory that is free just then."""

    def __init__(self, base: BaseModel) -> None:
        self._base = base
        self._memory: PassMemory | None = None
        self._available = 0
        self._asked = -math.inf

    @property
    def memory(self) -> PassMemory:
        """Return what a row takes; measured when first asked for."""
        if self._memory is None:
            self._memory = measure(self._base)
        return self._memory

    def max_rows(self) -> int:
        """Return how many rows the next pass should have at most."""
        limit = MAX_PASS_TOKENS.get(self._base.device.type, MAX_PASS_TOKENS["cuda"])
        fitting = self.memory.rows(self._available_bytes())
        return min(limit, max(MIN_PASS_TOKENS, fitting))

    def _available_bytes(self) -> int:
        # Asking takes as long as a tenth of a small pass.
        now = time.monotonic()
        if now - self._asked > _ASK_AGAIN_S:
            self._available, self._asked = available_bytes(self._base.device), now
        return self._available

    @contextmanager
    def fitting(self, num_rows: int, *, backward: bool) -> Iterator[None]:
        """Run a pass of `num_rows` rows with as many layers recomputed as memory demands."""
        num_layers = 0
        if backward:
            num_layers = self.memory.layers_to_recompute(num_rows, self._available_bytes())
        with recomputing(self._base, num_layers):
            yield


def available_bytes(device: torch.device) -> int:
    """Return the free memory of a device: for a GPU what torch could still use, too."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(free + unused)
    return int(psutil.virtual_memory().available)


def used_bytes(device: torch.device) -> int:
    """Return what this process holds: resident memory on a CPU, allocated memory on a GPU."""
    if device.type == "cuda":
        return int(torch.cuda.memory_allocated(device))
    return int(psutil.Process().memory_info().rss)


@contextmanager
def recomputing(base: BaseModel, num_layers: int) -> Iterator[None]:
    """Run the body, forward and backward, with the first `num_layers` layers recomputed."""
    layers = _layers(base)[:num_layers] if num_layers else []
    recompute = partial(checkpoint, use_reentrant=False, preserve_rng_state=False)
    try:
        for layer in layers:
            layer.gradient_checkpointing = True
            # transformers' own hook for the function that runs the layer.
            layer._gradient_checkpointing_func = recompute  # type: ignore[assignment]
            # transformers recomputes only in training mode. This layer alone is switched, not what
            # is in it, so nothing drops out.
            layer.training = True
        yield
    finally:
        for layer in layers:
            layer.gradient_checkpointing = False
            layer.training = False


def _layers(base: BaseModel) -> list[GradientCheckpointingLayer]:
    return [
        module
        for module in base.network.base_model.modules()
        if isinstance(module, GradientCheckpointingLayer)
    ]
