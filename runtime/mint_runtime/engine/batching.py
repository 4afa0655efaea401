"""Datums of several models, packed into the tensors of one pass.

Sequences lie one after the other, without padding. Those of one model are neighbours, because its
adapter works on a range of rows; among them those of equal length are neighbours, because they
share a kernel call. Attention never crosses from one sequence to the next, so nothing a datum
computes depends on its company.

Legend: N rows of a pass, n rows of one model, K targets per row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mint_runtime.engine.validation import CheckedDatum


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Share:
    """The rows of one model in a pass, and the inputs of its loss."""

    indices: tuple[int, ...]
    """Place of each datum in its request, in the order in which they are packed."""
    data: tuple[CheckedDatum, ...]
    start: int
    end: int
    num_targets: int
    """K of these datums; the pass may have more columns."""
    values: Mapping[str, Tensor]
    """Loss inputs, `[n, K]` each."""
    datum_n: Tensor
    """int64, ascending: which of `indices` each row belongs to."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pack:
    """The tensors of one pass on the model's device."""

    tokens_N: Tensor
    position_N: Tensor
    """Place of each token in its sequence."""
    target_NK: Tensor
    lengths: tuple[int, ...]
    """Rows of each sequence."""
    shares: tuple[Share, ...]


def datum_kind(datum: CheckedDatum) -> tuple[int, tuple[str, ...]]:
    """Return what datums of one share have in common: K and the inputs they came with."""
    return datum.target_TK.shape[1], tuple(sorted(datum.values))


def pack(
    members: Sequence[tuple[Sequence[CheckedDatum], Sequence[int]]], device: torch.device
) -> Pack:
    """Build the tensors of a pass.

    Args:
        members: for each model all datums of its request and the indices of those that take part,
            which are of one kind.
        device: where the model is.
    """
    shares: list[Share] = []
    sequences: list[CheckedDatum] = []
    start = 0
    for data, indices in members:
        share = _share(data, indices, start, device)
        shares.append(share)
        sequences.extend(share.data)
        start = share.end
    lengths = tuple(len(datum.tokens_T) for datum in sequences)
    num_targets = max(share.num_targets for share in shares)
    return Pack(
        tokens_N=_tensor(np.concatenate([datum.tokens_T for datum in sequences]), device),
        position_N=_tensor(np.concatenate([np.arange(length) for length in lengths]), device),
        target_NK=_tensor(np.concatenate([_targets(d, num_targets) for d in sequences]), device),
        lengths=lengths,
        shares=tuple(shares),
    )


def _share(
    data: Sequence[CheckedDatum], indices: Sequence[int], start: int, device: torch.device
) -> Share:
    ordered = tuple(sorted(indices, key=lambda index: (len(data[index].tokens_T), index)))
    chosen = tuple(data[index] for index in ordered)
    lengths = [len(datum.tokens_T) for datum in chosen]
    return Share(
        indices=ordered,
        data=chosen,
        start=start,
        end=start + sum(lengths),
        num_targets=chosen[0].target_TK.shape[1],
        values={
            name: _tensor(np.concatenate([datum.values[name] for datum in chosen]), device)
            for name in chosen[0].values
        },
        datum_n=_tensor(np.repeat(np.arange(len(chosen)), lengths), device),
    )


def _targets(datum: CheckedDatum, num_targets: int) -> npt.NDArray[np.int64]:
    """Return the targets with `num_targets` columns; nothing reads the columns that are added."""
    missing = num_targets - datum.target_TK.shape[1]
    return np.pad(datum.target_TK, ((0, 0), (0, missing))) if missing else datum.target_TK


def _tensor(array: npt.NDArray[np.generic], device: torch.device) -> Tensor:
    return torch.from_numpy(array).to(device)


def split_rows(
    rows_nK: npt.NDArray[np.float32], share: Share
) -> dict[int, npt.NDArray[np.float32]]:
    """Return the rows of each datum by its index, in the shape its targets came in."""
    ends = np.cumsum([len(datum.tokens_T) for datum in share.data])
    parts = np.split(rows_nK, ends[:-1])
    return {
        index: np.ascontiguousarray(part[:, 0] if datum.is_flat else part)
        for index, datum, part in zip(share.indices, share.data, parts, strict=True)
    }
