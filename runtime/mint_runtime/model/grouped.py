"""Products of groups of rows, each with a matrix of its own.

On a GPU and in bfloat16 all groups of a product are one kernel; elsewhere each group that is not
empty is a product of its own.

Legend: S rows sorted by group, E groups, I and O widths.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional

# Rows and matrices of the grouped kernel start at multiples of 16 bytes.
_ALIGNMENT = 16


class Groups:
    """Where each of E groups of sorted rows ends; a group may be empty."""

    def __init__(self, ends_E: Tensor) -> None:
        """Take int32 ends, which do not decrease; the last is the number of rows."""
        self.ends_E = ends_E

    @cached_property
    def _ends(self) -> list[int]:
        # Waits for the device, once for all products of these groups.
        ends: list[int] = self.ends_E.tolist()
        return ends

    def __iter__(self) -> Iterator[tuple[int, slice]]:
        """Yield the number and the rows of each group that is not empty."""
        start = 0
        for group, end in enumerate(self._ends):
            if start < end:
                yield group, slice(start, end)
            start = end

    def is_filled(self) -> Tensor:
        """Return whether each group has rows, `[E]`."""
        starts_E = functional.pad(self.ends_E[:-1], (1, 0))
        return self.ends_E > starts_E


def grouped_matmul(x_SI: Tensor, weight_EIO: Tensor, groups: Groups) -> Tensor:
    """Return each row times the matrix of its group, `[S, O]`. Not differentiable."""
    if _fits_kernel(x_SI, weight_EIO):
        return functional.grouped_mm(x_SI, weight_EIO, offs=groups.ends_E)
    y_SO = x_SI.new_empty(x_SI.shape[0], weight_EIO.shape[2])
    for group, rows in groups:
        torch.mm(x_SI[rows], weight_EIO[group], out=y_SO[rows])
    return y_SO


def add_grouped_outer(
    total_EOI: Tensor, left_SO: Tensor, right_SI: Tensor, groups: Groups, factor: float
) -> None:
    """Add `factor * left^T right` of each group's rows to `total_EOI`, which may be wider."""
    if _fits_kernel(left_SO, right_SI):
        product_EOI = functional.grouped_mm(left_SO.T, right_SI, offs=groups.ends_E)
        # What the kernel leaves in the place of an empty group is not defined.
        product_EOI = product_EOI.where(groups.is_filled()[:, None, None], 0)
        total_EOI.add_(product_EOI.to(total_EOI.dtype), alpha=factor)
        return
    for group, rows in groups:
        left, right = left_SO[rows].T, right_SI[rows]
        if total_EOI.dtype == left.dtype:
            total_EOI[group].addmm_(left, right, alpha=factor)
        else:
            total_EOI[group].add_((left @ right).to(total_EOI.dtype), alpha=factor)


def _fits_kernel(*matrices: Tensor) -> bool:
    """Tell whether one kernel can take these: bfloat16 on a GPU, and aligned."""
    return all(
        matrix.device.type == "cuda" and matrix.dtype == torch.bfloat16 and _is_aligned(matrix)
        for matrix in matrices
    )


def _is_aligned(matrix: Tensor) -> bool:
    per_alignment = _ALIGNMENT // matrix.element_size()
    strides = sorted(matrix.stride())
    return (
        matrix.data_ptr() % _ALIGNMENT == 0
        and strides[0] == 1
        and all(stride % per_alignment == 0 for stride in strides[1:])
    )
