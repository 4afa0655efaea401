"""Request bodies in, result bodies out."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mint_runtime.wire import codec
from mint_runtime.wire import messages as m
from mint_runtime.wire.bodies import READERS
from mint_runtime.wire.errors import MalformedBody, UnsupportedEncoding, WireError, WrongShape


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
    assert sample(sampling_params={} if stop is None else {"stop": stop}).sampling_params.stop == (
        read
    )


def sample(**changes: Any) -> m.SampleRequest:
    """Return a body of `asample` as tinker 0.38 writes it, read."""
    body = {
        "num_samples": 2,
        "prompt": {"chunks": [{"type": "encoded_text", "tokens": [1, 2]}]},
        "sampling_params": {"max_tokens": 4, "temperature": 1.0, "top_k": -1, "top_p": 1.0},
        "sampling_session_id": "s:sample:0",
        "seq_id": 0,
        "prompt_logprobs": False,
        "topk_prompt_logprobs": 0,
        "topk_sample_logprobs": 0,
        "prompt_alt_tokens_k": 0,
        "record_stability_info": True,
        "type": "sample",
        **changes,
    }
    return codec.decode(m.SampleRequest, json.dumps(body).encode())


@pytest.mark.parametrize(
    "changes",
    [{}, {"target_prompt_logprobs": None}, {"prompt_logprobs": None}, {"base_model": None}],
)
def test_what_later_clients_send_by_default_is_taken(changes: dict[str, Any]) -> None:
    request = sample(**changes)
    assert (request.num_samples, request.prompt_logprobs) == (2, False)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"sampling_params": {"stop_token_ids": [1]}}, "sampling_params.stop_token_ids.*`stop`"),
        ({"sampling_params": {"repetition_penalty": 1}}, "repetition_penalty.*leave it out"),
        ({"sampling_params": {"stop": [1.5]}}, r"sampling_params.stop.0`.*float"),
        ({"sampling_params": {"max_tokens": -1}}, "sampling_params.max_tokens"),
        ({"num_beams": 2}, "num_beams"),
        ({"topk_sample_logprobs": 1}, "`topk_sample_logprobs` is not computed"),
        ({"prompt_alt_tokens_k": 1}, "`prompt_alt_tokens_k` is not computed"),
        ({"target_prompt_logprobs": {"data": []}}, "`target_prompt_logprobs` is not computed"),
        ({"prompt_logprobs_last_n": 0}, "prompt_logprobs_last_n"),
        ({"prompt": {"chunks": [{"tokens": [1, "a"]}]}}, "prompt.chunks.0.tokens.*value 1"),
    ],
)
def test_a_setting_that_is_not_served_is_refused_by_name(
    changes: dict[str, Any], text: str
) -> None:
    with pytest.raises(WrongShape, match=text):
        sample(**changes)


@pytest.mark.parametrize("number", ["NaN", "-Infinity", "Infinity"])
def test_a_number_that_is_not_finite_is_refused_with_the_reason(number: str) -> None:
    body = json.dumps(forward_backward()).replace("0.5", number)
    with pytest.raises(MalformedBody, match="every number has to be finite"):
        codec.decode(m.ForwardBackwardRequest, body.encode())


def test_reverse_kl_bodies_keep_explicit_nulls() -> None:
    tokens = {"chunks": [{"type": "encoded_text", "tokens": [1, 2]}]}
    one = {
        "student_input": tokens,
        "reference_input": tokens,
        "target_tokens": {"data": [2, 3], "dtype": "int64", "shape": None},
        "weights": {"data": [1.0, 0.5], "dtype": "float32", "shape": [2]},
    }
    body = {"model_id": "m", "reference_model_path": "org/base", "data": [one], "seq_id": None}
    request = codec.decode(m.ReverseKLRequest, json.dumps(body).encode())
    assert (request.seq_id, request.temperature) == (None, 1.0)
    np.testing.assert_array_equal(request.data[0].target_tokens, [2, 3])


@pytest.mark.parametrize("kind", sorted(READERS, key=lambda kind: kind.__name__))
@given(body=st.binary(max_size=200) | st.from_regex(rb"[\[\]{}\",:0-9a-z_ ]*", fullmatch=True))
def test_whatever_the_bytes_a_body_is_read_or_refused(
    kind: type[m.AnyRequest], body: bytes
) -> None:
    with contextlib.suppress(WireError):
        codec.decode(kind, body)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["data", "dtype", "shape", "tokens", "chunks", "sparse_crow_indices"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(
    tensor=st.fixed_dictionaries(
        {"data": JSON_VALUES},
        optional={
            "dtype": st.sampled_from(["int64", "float32", "x"]) | JSON_VALUES,
            "shape": st.lists(st.integers(-2, 1 << 70), max_size=4) | JSON_VALUES,
            "sparse_crow_indices": st.lists(st.integers(-2, 5), max_size=4) | JSON_VALUES,
            "sparse_col_indices": st.lists(st.integers(-2, 5), max_size=4) | JSON_VALUES,
        },
    ),
    model_input=JSON_VALUES,
)
def test_whatever_a_tensor_holds_it_is_read_or_refused(tensor: object, model_input: object) -> None:
    body = forward_backward(loss_fn_inputs={"x": tensor})
    with contextlib.suppress(WireError):
        decode(body)
    with contextlib.suppress(WireError):
        decode(forward_backward(model_input=model_input))


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
        "prompt_cache_hit_tokens": 0,
    }


def test_infinite_log_probabilities_stay_numbers_in_json() -> None:
    outputs = ({"logprobs": np.array([-np.inf, -1.0], dtype=np.float32)},)
    content = codec.encode(m.ForwardBackwardOutput(outputs=outputs, metrics={})).content
    assert json.loads(content)["loss_fn_outputs"][0]["logprobs"]["data"] == [-np.inf, -1.0]


def test_a_reverse_kl_result_is_json_for_every_client() -> None:
    result = m.ReverseKLOutput(
        losses=(np.array([0.5, 0.25], dtype=np.float32),), metrics={"loss:sum": 0.75}
    )
    assert codec.wanted_media_type("application/x-protobuf, application/json", result) == codec.JSON
    assert json.loads(codec.encode(result).content) == {
        "outputs": [{"loss": {"data": [0.5, 0.25], "dtype": "float32", "shape": [2]}}],
        "metrics": {"loss:sum": 0.75},
        "type": "mint_forward_backward_reverse_kl",
    }


def test_small_results_are_json_whatever_the_client_takes() -> None:
    result = m.JsonResult(fields={"path": "x"})
    assert codec.wanted_media_type("application/x-protobuf, application/json", result) == codec.JSON
