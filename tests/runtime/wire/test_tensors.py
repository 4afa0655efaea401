"""Tensors: dense, sparse, and wrong."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from mint_runtime.wire import codec
from mint_runtime.wire import messages as m
from mint_runtime.wire.errors import WireError
from mint_runtime.wire.tensors import tensor_fields


def as_array(tensor: Any) -> Any:
    """Return what a tensor of a body is read as."""
    body = {
        "forward_input": {
            "data": [{"model_input": {"chunks": []}, "loss_fn_inputs": {"x": tensor}}],
            "loss_fn": "cross_entropy",
        },
        "model_id": "m",
    }
    request = codec.decode(m.ForwardRequest, json.dumps(body).encode())
    return request.forward_input.data[0].loss_fn_inputs["x"]


def test_the_shape_is_applied() -> None:
    array = as_array({"data": [1, 2, 3, 4], "dtype": "int64", "shape": [2, 2]})
    np.testing.assert_array_equal(array, [[1, 2], [3, 4]])


def test_without_a_shape_a_tensor_is_flat() -> None:
    assert as_array({"data": [1.0, 2.0], "dtype": "float32"}).shape == (2,)


@pytest.mark.parametrize("shape", [[3, 4], [1, 12]])
def test_nulls_instead_of_sparse_indices_mean_a_dense_tensor(shape: list[int]) -> None:
    tensor = {"data": [0.0] * 12, "dtype": "float32", "shape": shape}
    nulls = {"sparse_crow_indices": None, "sparse_col_indices": None}
    assert list(as_array(tensor | nulls).shape) == shape


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
    assert as_array({"data": [2**53 + 1], "dtype": "int64"})[0] == 2**53 + 1


def test_an_empty_list_is_an_empty_array_of_its_dtype() -> None:
    assert as_array({"data": [], "dtype": "int64", "shape": [0]}).dtype == np.int64


def test_whole_numbers_are_taken_as_float32() -> None:
    array = as_array({"data": [1, 2.5], "dtype": "float32"})
    assert (array.dtype, array.tolist()) == (np.float32, [1.0, 2.5])


def test_a_float32_array_survives_json_fields() -> None:
    array = np.array([[0.1, -2.0]], dtype=np.float32)
    np.testing.assert_array_equal(as_array(tensor_fields(array)), array)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"dtype": "float64"}, "float64"),
        ({"data": [1.5, 2.0, 3.0]}, "integers: value 0 is of type float"),
        ({"data": [1, True, 3]}, "integers: value 1 is of type bool"),
        ({"data": ["1", "2", "3"]}, "integers: value 0 is of type str"),
        ({"data": [[1], [2], [3]]}, "integers: value 0 is of type array"),
        ({"data": [1, None, 3]}, "integers: value 1 is of type null"),
        ({"data": [1.0, None], "dtype": "float32"}, "numbers: value 1 is of type null"),
        ({"data": [1.0, True], "dtype": "float32"}, "numbers: value 1 is of type bool"),
        ({"data": "123"}, "flat list of integers"),
        ({"data": 1}, "flat list of integers"),
        ({"data": [10**30, 1, 1]}, "integers of 64 bits"),
        ({"shape": [2, 2]}, "does not hold 3 values"),
        ({"shape": [-3]}, "counts"),
        ({"shape": "3"}, "shape"),
        ({"shape": [1 << 40]}, "too large"),
        ({"shape": [1 << 400, 1 << 400, 1 << 400]}, "too large"),
        ({"shape": [0, 1 << 62, 1 << 62], "data": []}, "x"),
        ({"sparse_crow_indices": [0, 3], "sparse_col_indices": [0, 1, 2]}, "two numbers"),
        ({"sparse_crow_indices": [0, 3], "shape": [1, 3]}, "sparse_col_indices"),
        ({"sparse_crow_indices": [], "sparse_col_indices": [], "shape": [0, 3]}, "0 rows"),
    ],
)
def test_a_wrong_tensor_is_refused(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(WireError, match=text):
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
    with pytest.raises(WireError, match="does not"):
        as_array(tensor)
