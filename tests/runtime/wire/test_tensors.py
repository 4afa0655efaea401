"""Tensors: dense, sparse, and wrong."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from mint_runtime.wire.tensors import as_array, as_tokens, tensor_fields


def test_the_shape_is_applied() -> None:
    array = as_array({"data": [1, 2, 3, 4], "dtype": "int64", "shape": [2, 2]})
    np.testing.assert_array_equal(array, [[1, 2], [3, 4]])


def test_without_a_shape_a_tensor_is_flat() -> None:
    assert as_array({"data": [1.0, 2.0], "dtype": "float32"}).shape == (2,)


def test_a_sparse_tensor_becomes_dense() -> None:
    sparse = {
        "data": [5.0, 6.0, 7.0],
        "dtype": "float32",
        "shape": [3, 4],
        "sparse_crow_indices": [0, 2, 2, 3],
        "sparse_col_indices": [0, 3, 1],
    }
    np.testing.assert_array_equal(as_array(sparse), [[5, 0, 0, 6], [0, 0, 0, 0], [0, 7, 0, 0]])


def test_large_token_ids_are_exact() -> None:
    assert as_tokens([2**53 + 1])[0] == 2**53 + 1


def test_an_empty_list_is_an_empty_array_of_its_dtype() -> None:
    assert as_array({"data": [], "dtype": "int64", "shape": [0]}).dtype == np.int64


def test_a_float32_array_survives_json_fields() -> None:
    array = np.array([[0.1, -2.0]], dtype=np.float32)
    np.testing.assert_array_equal(as_array(tensor_fields(array)), array)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"dtype": "float64"}, "float64"),
        ({"data": [1.5, 2.0, 3.0]}, "integers"),
        ({"data": [True, False, True]}, "integers"),
        ({"data": ["1", "2", "3"]}, "integers"),
        ({"data": [[1], [2], [3]]}, "integers"),
        ({"data": [[1], [2, 3]]}, "flat list"),
        ({"data": [1, None, 3]}, "integers"),
        ({"data": "123"}, "list of numbers"),
        ({"data": [10**30, 1, 1]}, "integers"),
        ({"shape": [2, 2]}, "does not hold 3 values"),
        ({"shape": [-3]}, "counts"),
        ({"shape": "3"}, "counts"),
        ({"shape": [1 << 40]}, "too large"),
        ({"sparse_crow_indices": [0, 3], "sparse_col_indices": [0, 1, 2]}, "two numbers"),
    ],
)
def test_a_wrong_tensor_is_refused(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        as_array({"data": [1, 2, 3], "dtype": "int64", "shape": [3], **changes})


@pytest.mark.parametrize(
    ("crow", "col"),
    [
        ([0, 1], [0, 1]),
        ([0, 2, 1], [0, 1]),
        ([1, 1, 2], [0, 1]),
        ([0, 1, 3], [0, 1]),
        ([0, 1, 2], [0, 9]),
        ([0, 1, 2], [0, -1]),
        ([0, 1, 2], [0]),
    ],
)
def test_sparse_indices_that_do_not_fit_are_refused(crow: list[int], col: list[int]) -> None:
    tensor = {
        "data": [1.0, 2.0],
        "dtype": "float32",
        "shape": [2, 3],
        "sparse_crow_indices": crow,
        "sparse_col_indices": col,
    }
    with pytest.raises(ValueError, match="does not"):
        as_array(tensor)
