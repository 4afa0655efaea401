"""Tensors of the wire as numpy arrays.

A JSON tensor is `{"data": flat list, "dtype": "int64" | "float32", "shape": [...] | absent}`. A
two-dimensional one may be sparse: `data` then holds the stored values, and `sparse_crow_indices`
and `sparse_col_indices` their places (CSR). Values are checked here, because numpy would read
strings and booleans as numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.generic]
Integers = npt.NDArray[np.int64]

_DTYPES: Mapping[str, type[np.int64] | type[np.float32]] = {
    "int64": np.int64,
    "float32": np.float32,
}
_NUMBER_KINDS = {np.int64: "iu", np.float32: "iuf"}
# Above any count a client can mean, and far below what would exhaust the memory of a machine.
_MAX_ELEMENTS = 1 << 28


def as_tokens(value: object) -> Integers:
    """Return a list of token ids as int64 `[T]`.

    Raises:
        ValueError: An element is not an integer.
    """
    return _integers(value, "token ids")


def as_array(value: object) -> Array:
    """Return a JSON tensor as an array of its dtype and shape, dense.

    Raises:
        ValueError: The dtype is unknown, the values do not match it, or the shape does not fit.
    """
    if isinstance(value, np.ndarray):
        return value
    if not isinstance(value, Mapping) or "data" not in value:
        raise ValueError("a tensor is an object with `data`, `dtype` and `shape`")
    dtype = _DTYPES.get(value.get("dtype", "float32"))
    if dtype is None:
        raise ValueError(f"dtype {value.get('dtype')!r} is not one of {', '.join(_DTYPES)}")
    data = _numbers(value["data"], dtype, "data")
    shape = _shape(value.get("shape"))
    if value.get("sparse_crow_indices") is not None:
        crow = _integers(value["sparse_crow_indices"], "sparse_crow_indices")
        col = _integers(value.get("sparse_col_indices"), "sparse_col_indices")
        return dense_from_csr(data, crow, col, shape)
    return reshaped(data, shape)


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


def _integers(value: object, name: str) -> Integers:
    return _numbers(value, np.int64, name).astype(np.int64, copy=False)


def _numbers(value: object, dtype: type[np.int64] | type[np.float32], name: str) -> Array:
    if isinstance(value, np.ndarray):
        return value
    if not isinstance(value, Sequence) or isinstance(value, str | bytes):
        raise ValueError(f"{name} is a list of numbers, not {type(value).__name__}")
    if len(value) == 0:
        return np.zeros(0, dtype=dtype)
    try:
        numbers = np.asarray(value)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{name} is a flat list of numbers") from error
    if numbers.ndim != 1 or numbers.dtype.kind not in _NUMBER_KINDS[dtype]:
        wanted = "integers" if dtype is np.int64 else "numbers"
        raise ValueError(f"{name} is a flat list of {wanted}")
    with np.errstate(over="ignore"):
        return numbers.astype(dtype, copy=False)


def _shape(value: object) -> tuple[int, ...] | None:
    if value is None:
        return None
    if not isinstance(value, Sequence) or isinstance(value, str | bytes):
        raise ValueError("shape is a list of counts")
    shape = tuple(value)
    if any(type(size) is not int or size < 0 for size in shape):
        raise ValueError("shape is a list of counts")
    if int(np.prod(shape, dtype=np.float64)) > _MAX_ELEMENTS:
        raise ValueError(f"shape {list(shape)} is too large")
    return shape
