"""Datums to tensors and back.

Datums of similar length share a pass, padded on the right. Attention is causal, so nothing a datum
computes depends on the padding after it or on its neighbours, and padding positions are dropped
before the output layer.

Legend: B sequences of a pass, T positions of the longest, N real positions of all of them, K
targets per position.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mint_runtime.engine.validation import CheckedDatum

MAX_PASS_TOKENS = 2048
"""Padded tokens per pass: bounds the activations kept for backward, about 8 GB for a 0.6B model."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pass:
    """The datums of one forward pass as tensors on the model's device."""

    indices: tuple[int, ...]
    """Place of each datum in the request, shortest datum first."""
    tokens_BT: Tensor
    position_N: Tensor
    """Index of each real position in the flattened `[B * T]`."""
    datum_N: Tensor
    """Row of each real position, 0..B-1, ascending."""
    target_NK: Tensor
    values: Mapping[str, Tensor]
    """Loss inputs, `[N, K]` each."""


def group_datums(
    data: Sequence[CheckedDatum], *, max_tokens: int = MAX_PASS_TOKENS
) -> list[tuple[int, ...]]:
    """Split the indices of `data` into passes of at most `max_tokens` padded tokens, or a single
    longer datum.

    Datums of a pass have the same K and the same inputs, because their tensors are concatenated.
    """

    def kind(index: int) -> tuple[int, tuple[str, ...]]:
        return data[index].target_TK.shape[1], tuple(sorted(data[index].values))

    groups: list[list[int]] = []
    for index in sorted(range(len(data)), key=lambda i: (kind(i), len(data[i].tokens_T), i)):
        # Ascending length: the newest member is the longest of its group.
        length = len(data[index].tokens_T)
        if (
            not groups
            or kind(groups[-1][0]) != kind(index)
            or (len(groups[-1]) + 1) * length > max_tokens
        ):
            groups.append([])
        groups[-1].append(index)
    return [tuple(group) for group in groups]


def collate(data: Sequence[CheckedDatum], indices: tuple[int, ...], device: torch.device) -> Pass:
    """Build the tensors of one pass. Padding is token 0; nothing reads what comes out there."""
    chosen = [data[index] for index in indices]
    lengths = np.array([len(datum.tokens_T) for datum in chosen])
    longest = int(lengths.max())
    tokens_BT = np.zeros((len(chosen), longest), dtype=np.int64)
    for row, datum in enumerate(chosen):
        tokens_BT[row, : lengths[row]] = datum.tokens_T
    real_BT = np.arange(longest) < lengths[:, None]
    return Pass(
        indices=indices,
        tokens_BT=torch.from_numpy(tokens_BT).to(device),
        position_N=torch.from_numpy(np.flatnonzero(real_BT)).to(device),
        datum_N=torch.from_numpy(np.repeat(np.arange(len(chosen)), lengths)).to(device),
        target_NK=_concatenate([datum.target_TK for datum in chosen], device),
        values={
            name: _concatenate([datum.values[name] for datum in chosen], device)
            for name in chosen[0].values
        },
    )


def _concatenate(arrays: Sequence[npt.NDArray[np.generic]], device: torch.device) -> Tensor:
    return torch.from_numpy(np.concatenate(arrays)).to(device)


def split_outputs(
    logp_NK: Tensor, data: Sequence[CheckedDatum], indices: tuple[int, ...]
) -> dict[int, npt.NDArray[np.float32]]:
    """Return the log-probabilities of each datum by its index, in the shape its targets came in."""
    values_NK: npt.NDArray[np.float32] = logp_NK.detach().float().cpu().numpy()
    ends = np.cumsum([len(data[index].tokens_T) for index in indices])
    parts = np.split(values_NK, ends[:-1])
    return {
        index: np.ascontiguousarray(part[:, 0] if data[index].is_flat else part)
        for index, part in zip(indices, parts, strict=True)
    }
