"""Request bodies in, result bodies out."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from mint_runtime.wire import codec
from mint_runtime.wire import messages as m
from mint_runtime.wire.errors import MalformedBody, UnsupportedEncoding, WrongShape


def forward_backward(**datum: Any) -> dict[str, Any]:
    """Return a body as tinker 0.22 writes it."""
    fields = {
        "loss_fn_inputs": {
            "target_tokens": {"data": [2, 3], "dtype": "int64", "shape": [2]},
            "weights": {"data": [1, 0.5], "dtype": "float32", "shape": [2]},
        },
        "model_input": {"chunks": [{"tokens": [1, 2], "type": "encoded_text"}]},
        **datum,
    }
    loss = {"data": [fields], "loss_fn": "cross_entropy"}
    return {"forward_backward_input": loss, "model_id": "s:train:0", "seq_id": 1}


def decode(body: dict[str, Any]) -> m.ForwardBackwardRequest:
    return codec.decode(m.ForwardBackwardRequest, json.dumps(body).encode())


def test_a_forward_backward_body_becomes_arrays() -> None:
    request = decode(forward_backward())
    datum = request.forward_backward_input.data[0]
    assert (request.model_id, request.seq_id, request.forward_only) == ("s:train:0", 1, False)
    np.testing.assert_array_equal(datum.model_input.chunks[0].tokens, [1, 2])
    np.testing.assert_array_equal(datum.loss_fn_inputs["target_tokens"], [2, 3])
    np.testing.assert_array_equal(datum.loss_fn_inputs["weights"], [1.0, 0.5])
    assert datum.loss_fn_inputs["target_tokens"].dtype == np.int64
    assert datum.loss_fn_inputs["weights"].dtype == np.float32


def test_fields_of_a_later_client_are_ignored() -> None:
    body = forward_backward(model_input_spans=[]) | {"colour": "blue"}
    assert decode(body).model_id == "s:train:0"


def test_a_chunk_that_is_not_text_keeps_its_type() -> None:
    chunk = {"type": "image", "data": "aGk=", "format": "png"}
    request = decode(forward_backward(model_input={"chunks": [chunk]}))
    kept = request.forward_backward_input.data[0].model_input.chunks[0]
    assert (kept.type, kept.tokens) == ("image", None)


@pytest.mark.parametrize("body", [b"{", b"\xff\xfe", b"[1, 2"])
def test_bytes_that_are_not_json_are_malformed(body: bytes) -> None:
    with pytest.raises(MalformedBody, match="JSON"):
        codec.decode(m.ModelRequest, body)


@pytest.mark.parametrize(
    ("kind", "body", "text"),
    [
        (m.ModelRequest, {}, "`model_id` is missing"),
        (m.ModelRequest, {"model_id": 3}, r"`model_id`: .*string.*found 3"),
        (m.ModelRequest, [], "`body`"),
        (
            m.CreateModelRequest,
            {"session_id": "s", "model_seq_id": 0, "base_model": "b", "lora_config": {"rank": "x"}},
            "`lora_config.rank`",
        ),
        (m.SampleRequest, {"sampling_session_id": "s"}, "`prompt` is missing"),
        (m.SetTtlRequest, {"ttl_seconds": -1}, "`ttl_seconds`"),
        (
            m.OptimStepRequest,
            {"model_id": "a", "adam_params": {"beta1": "big"}},
            "adam_params.beta1",
        ),
    ],
)
def test_a_wrong_shape_names_the_field(kind: type[m.Request], body: object, text: str) -> None:
    with pytest.raises(WrongShape, match=text):
        codec.decode(kind, json.dumps(body).encode())


def test_a_wrong_tensor_is_named_by_its_place() -> None:
    inputs = {"target_tokens": {"data": ["2"], "dtype": "int64", "shape": [1]}}
    with pytest.raises(WrongShape, match=r"data\.0\.loss_fn_inputs\.target_tokens.*integers"):
        decode(forward_backward(loss_fn_inputs=inputs))


def test_a_long_value_is_cut_in_the_message() -> None:
    with pytest.raises(WrongShape) as caught:
        codec.decode(m.ModelRequest, json.dumps({"model_id": ["x"] * 10_000}).encode())
    assert len(str(caught.value)) < 200


def test_protobuf_is_refused_where_json_is_expected() -> None:
    with pytest.raises(UnsupportedEncoding):
        codec.decode(m.ModelRequest, b"", codec.PROTOBUF)


@pytest.mark.parametrize(
    ("stop", "read"),
    [
        (None, None),
        ("\n", "\n"),
        (["a", "b"], ("a", "b")),
        ([1, 2], (1, 2)),
        ([], ()),
    ],
)
def test_every_form_of_stop_is_read(stop: object, read: object) -> None:
    params = {} if stop is None else {"stop": stop}
    assert m.SamplingParams.model_validate_json(json.dumps(params)).stop == read


def test_a_forward_backward_result_is_json_that_the_client_reads() -> None:
    outputs = (
        {"logprobs": np.array([-1.5, -0.25], dtype=np.float32)},
        {"logprobs": np.array([[-1.0, -2.0]], dtype=np.float32)},
    )
    result = m.ForwardBackwardOutput(outputs=outputs, metrics={"loss:sum": 1.75})
    assert json.loads(codec.encode(result).content) == {
        "loss_fn_output_type": "ArrayRecord",
        "loss_fn_outputs": [
            {"logprobs": {"data": [-1.5, -0.25], "dtype": "float32", "shape": [2]}},
            {"logprobs": {"data": [-1.0, -2.0], "dtype": "float32", "shape": [1, 2]}},
        ],
        "metrics": {"loss:sum": 1.75},
    }


def test_a_sample_result_without_prompt_logprobs_leaves_them_out() -> None:
    sequence = m.SampledSequence(
        tokens=np.array([5, 6]),
        logprobs=np.array([-1.0, -2.0], dtype=np.float32),
        stop_reason="stop",
    )
    body = json.loads(codec.encode(m.SampleResponse(sequences=(sequence,))).content)
    assert body == {
        "sequences": [{"stop_reason": "stop", "tokens": [5, 6], "logprobs": [-1.0, -2.0]}],
        "type": "sample",
    }


def test_small_results_are_json_whatever_the_client_takes() -> None:
    result = m.JsonResult(fields={"path": "x"})
    assert codec.wanted_media_type("application/x-protobuf, application/json", result) == codec.JSON
