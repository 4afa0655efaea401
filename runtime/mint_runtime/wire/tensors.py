"""Tensors of the wire as numpy arrays.

A tensor is flat values and a shape, or no shape, which is one dimension. A two-dimensional one may
be sparse: its values are then the stored ones, with their places in CSR form.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.generic]
Integers = npt.NDArray[np.int64]

# Above any count a client can mean, and far below what would exhaust the memory of a machine.
_MAX_ELEMENTS = 1 << 26


def shape_of(sizes: Sequence[int] | None) -> tuple[int, ...] | None:
    """Return `sizes` as a shape.

    Raises:
        ValueError: One is negative, or all together are more than a body can mean.
    """
    if sizes is None:
        return None
    if any(size < 0 for size in sizes):
        raise ValueError(f"shape {list(sizes)} is not a list of counts")
    if math.prod(sizes) > _MAX_ELEMENTS:
        raise ValueError(f"shape {list(sizes)} is too large")
    return tuple(sizes)


def reshaped(data: Array, shape: tuple[int, ...] | None) -> Array:
    """Return flat `data` in `shape`, or as it is when the shape is not given."""
    if shape is None:
        return data
    if int(np.prod(shape, dtype=np.int64)) != data.size:
        raise ValueError(f"shape {list(shape)} does not hold {data.size} values")
    return data.reshape(shape)


def dense_from_csr(
    values: Array, crow: Integers, col: Integers, shape: tuple[int, ...] | None
) -> Array:
    """Return a CSR matrix as a dense array; places that are not stored are zero."""
    if shape is None or len(shape) != 2:
        raise ValueError("a sparse tensor needs a shape of two numbers")
    rows, columns = shape
    counts = np.diff(crow)
    if len(crow) != rows + 1 or (counts < 0).any() or crow[0] != 0 or crow[-1] != len(values):
        raise ValueError(
            f"`sparse_crow_indices` does not describe {rows} rows of {len(values)} values"
        )
    if len(col) != len(values) or ((col < 0) | (col >= columns)).any():
        raise ValueError(
            f"`sparse_col_indices` does not name {len(values)} columns below {columns}"
        )
    dense = np.zeros(shape, dtype=values.dtype)
    dense[np.repeat(np.arange(rows), counts), col] = values
    return dense


def tensor_fields(array: npt.NDArray[np.float32]) -> dict[str, Any]:
    """Return a float32 array as a JSON tensor."""
    return {"data": array.ravel().tolist(), "dtype": "float32", "shape": list(array.shape)}
