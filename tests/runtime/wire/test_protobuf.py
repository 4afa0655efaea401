"""Our protobuf messages against the ones that the published client carries."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tinker
from mint_runtime.wire import codec, protobuf
from mint_runtime.wire import messages as m
from mint_runtime.wire.errors import MalformedBody, WrongShape
from tinker.proto import tinker_public_pb2
from tinker.proto.response_conv import deserialize_proto_response


def packed(values: list[float], dtype: str) -> bytes:
    return np.array(values, dtype=dtype).tobytes()


def client_request() -> Any:
    """Return a request as the client's own class writes it."""
    request = tinker_public_pb2.ForwardBackwardRequest(
        model_id="s:train:0", seq_id=4, loss_fn="ppo", loss_fn_config={"clip_low_threshold": 0.5}
    )
    datum = request.data.add()
    datum.model_input.add().encoded_text.tokens = packed([1, 2], "<i4")
    datum.model_input.add().encoded_text.tokens = packed([3], "<i4")
    targets = datum.loss_fn_inputs["target_tokens"]
    targets.dense, targets.dtype = packed([2, 3, 4], "<i8"), tinker_public_pb2.DTYPE_INT64
    weights = datum.loss_fn_inputs["weights"]
    weights.sparse_csr.values = packed([0.5], "<f4")
    weights.sparse_csr.crow_indices = packed([0, 0, 1], "<i8")
    weights.sparse_csr.col_indices = packed([2], "<i8")
    weights.dtype = tinker_public_pb2.DTYPE_FLOAT32
    weights.shape.extend([2, 3])
    return request


def decode(body: bytes) -> m.ForwardBackwardRequest:
    return codec.decode(m.ForwardBackwardRequest, body, codec.PROTOBUF)


def test_a_request_of_the_client_is_read() -> None:
    request = decode(client_request().SerializeToString())
    loss = request.forward_backward_input
    datum = loss.data[0]
    assert (request.model_id, request.seq_id, request.forward_only) == ("s:train:0", 4, False)
    assert (loss.loss_fn, loss.loss_fn_config) == ("ppo", {"clip_low_threshold": 0.5})
    assert [chunk.tokens.tolist() for chunk in datum.model_input.chunks] == [[1, 2], [3]]
    np.testing.assert_array_equal(datum.loss_fn_inputs["target_tokens"], [2, 3, 4])
    np.testing.assert_array_equal(datum.loss_fn_inputs["weights"], [[0, 0, 0], [0, 0, 0.5]])


def test_the_fields_that_only_later_clients_send_are_read() -> None:
    request = protobuf.message_class("ForwardBackwardRequest")(model_id="m", forward_only=True)
    request.loss_fn_config["beta"] = 1.0
    request.loss_fn_config_v2["beta"].number = 0.25
    request.loss_fn_config_v2["mode"].text = "fast"
    read = decode(request.SerializeToString())
    assert read.forward_only
    assert read.seq_id is None
    assert read.forward_backward_input.loss_fn_config == {"beta": 0.25, "mode": "fast"}


def test_an_image_keeps_its_type_for_the_error() -> None:
    request = client_request()
    request.data[0].model_input.add().image.data = b"png"
    chunks = decode(request.SerializeToString()).forward_backward_input.data[0].model_input.chunks
    assert (chunks[2].type, chunks[2].tokens) == ("image", None)


def test_bytes_that_are_not_protobuf_are_malformed() -> None:
    with pytest.raises(MalformedBody, match="protobuf"):
        decode(b"\xff\xff\xff")


@pytest.mark.parametrize(
    ("dense", "dtype", "shape", "text"),
    [
        (b"\0" * 7, 2, [], "whole number"),
        (b"\0" * 8, 4, [], "dtype 4"),
        (b"\0" * 8, 2, [2], "does not hold"),
    ],
)
def test_a_wrong_tensor_names_its_place(
    dense: bytes, dtype: int, shape: list[int], text: str
) -> None:
    request = client_request()
    tensor = request.data[0].loss_fn_inputs["target_tokens"]
    tensor.dense, tensor.dtype = dense, dtype
    tensor.shape.extend(shape)
    with pytest.raises(WrongShape, match=rf"data\.0\.loss_fn_inputs\.target_tokens.*{text}"):
        decode(request.SerializeToString())


def test_the_client_reads_a_forward_backward_result() -> None:
    outputs = (
        {"logprobs": np.array([-1.0, -2.0], dtype=np.float32)},
        {"logprobs": np.array([-3.0], dtype=np.float32)},
    )
    result = m.ForwardBackwardOutput(outputs=outputs, metrics={"loss:sum": 3.0})
    read = deserialize_proto_response(
        codec.encode(result, codec.PROTOBUF).content, tinker.ForwardBackwardOutput
    )
    arrays = [output["logprobs"].to_numpy().tolist() for output in read.loss_fn_outputs]
    assert arrays == [[-1.0, -2.0], [-3.0]]
    assert read.metrics == {"loss:sum": 3.0}


def test_the_client_reads_rows_of_several_targets() -> None:
    rows = np.array([[-1.0, -2.0], [-3.0, -4.0]], dtype=np.float32)
    result = m.ForwardBackwardOutput(outputs=({"logprobs": rows},), metrics={})
    read = deserialize_proto_response(
        codec.encode(result, codec.PROTOBUF).content, tinker.ForwardBackwardOutput
    )
    np.testing.assert_array_equal(read.loss_fn_outputs[0]["logprobs"].to_numpy(), rows)


def test_datums_of_different_shape_go_out_as_json_where_that_is_taken() -> None:
    outputs = tuple({"logprobs": np.zeros(shape, dtype=np.float32)} for shape in (2, (2, 3)))
    result = m.ForwardBackwardOutput(outputs=outputs, metrics={})
    both = f"{codec.PROTOBUF}, {codec.JSON}"
    assert codec.wanted_media_type(both, result) == codec.JSON
    assert codec.wanted_media_type(codec.PROTOBUF, result) == codec.PROTOBUF


def test_the_client_reads_a_sample_result() -> None:
    sequence = m.SampledSequence(
        tokens=np.array([5, 6]),
        logprobs=np.array([-0.5, -1.0], dtype=np.float32),
        stop_reason="length",
    )
    result = m.SampleResponse(
        sequences=(sequence,),
        prompt_logprobs=(None, -1.5),
        topk_prompt_logprobs=(None, ((3, -0.5), (4, -1.0))),
    )
    read = deserialize_proto_response(
        codec.encode(result, codec.PROTOBUF).content, tinker.SampleResponse
    )
    assert read.sequences[0].tokens == [5, 6]
    assert read.sequences[0].logprobs == [-0.5, -1.0]
    assert read.sequences[0].stop_reason == "length"
    assert read.prompt_logprobs == [None, -1.5]
    assert read.topk_prompt_logprobs == [None, [(3, -0.5), (4, -1.0)]]


def test_what_was_not_asked_for_is_absent() -> None:
    read = deserialize_proto_response(
        codec.encode(m.SampleResponse(sequences=()), codec.PROTOBUF).content, tinker.SampleResponse
    )
    assert read.prompt_logprobs is None
    assert read.topk_prompt_logprobs is None
