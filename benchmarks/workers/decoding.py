"""Bodies of `forward_backward` to what an engine takes, by different decoders."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from mint_runtime.engine.commands import Capabilities
from mint_runtime.service import convert
from mint_runtime.wire import codec, messages
from pydantic import BaseModel
from tinker import types
from tinker.proto.request_conv import forward_backward_request_to_proto
from tinker.types.forward_backward_input import ForwardBackwardInput
from tinker.types.forward_backward_request import ForwardBackwardRequest

from benchmarks.processes import answer_calls
from benchmarks.protocol import pass_body
from benchmarks.workloads import train_arrays, train_work


class _Chunk(BaseModel):
    tokens: list[int]


class _ModelInput(BaseModel):
    chunks: list[_Chunk]


class _Tensor(BaseModel):
    data: list[int] | list[float]
    dtype: str
    shape: list[int] | None = None


class _Datum(BaseModel):
    model_input: _ModelInput
    loss_fn_inputs: dict[str, _Tensor]


class _Input(BaseModel):
    data: list[_Datum]
    loss_fn: str


class _Request(BaseModel):
    """The body as a plain pydantic model, as other servers of the protocol read it."""

    forward_backward_input: _Input
    model_id: str
    seq_id: int | None = None


_SERVED = Capabilities(base_models=(), losses={"importance_sampling": frozenset[str]()})
_json_body = b""
_proto_body = b""


def prepare(work: Mapping[str, Any]) -> dict[str, int]:
    """Make both bodies of a workload and return their sizes in bytes."""
    global _json_body, _proto_body
    wanted = train_work(work)
    _json_body = b'{"forward_backward_input":' + pass_body(wanted) + b',"model_id":"m","seq_id":1}'
    data = [
        types.Datum(
            model_input=types.ModelInput.from_ints(arrays["tokens"].tolist()),
            loss_fn_inputs={
                name: types.TensorData.from_numpy(value)
                for name, value in arrays.items()
                if name != "tokens"
            },
        )
        for arrays in train_arrays(wanted)
    ]
    loss_fn: Any = wanted.loss_fn
    request = ForwardBackwardRequest(
        forward_backward_input=ForwardBackwardInput(data=data, loss_fn=loss_fn),
        model_id="m",
        seq_id=1,
    )
    _proto_body = forward_backward_request_to_proto(request).SerializeToString()
    return {"json": len(_json_body), "protobuf": len(_proto_body)}


def _ours(body: bytes, media_type: str) -> object:
    request = codec.decode(messages.ForwardBackwardRequest, body, media_type)
    loss = request.forward_backward_input
    return convert.train_step("m", loss, _SERVED, backward=True)


def _standard_library() -> object:
    fields = json.loads(_json_body)
    return [_arrays(datum) for datum in fields["forward_backward_input"]["data"]]


def _pydantic() -> object:
    request = _Request.model_validate_json(_json_body)
    return [
        [
            np.array(datum.model_input.chunks[0].tokens),
            *(np.array(value.data, value.dtype) for value in datum.loss_fn_inputs.values()),
        ]
        for datum in request.forward_backward_input.data
    ]


def _arrays(datum: Mapping[str, Any]) -> list[Any]:
    inputs = datum["loss_fn_inputs"].values()
    tokens = datum["model_input"]["chunks"][0]["tokens"]
    return [np.array(tokens), *(np.array(value["data"], value["dtype"]) for value in inputs)]


WAYS: dict[str, Callable[[], object]] = {
    "ours json": lambda: _ours(_json_body, codec.JSON),
    "ours protobuf": lambda: _ours(_proto_body, codec.PROTOBUF),
    "json and numpy": _standard_library,
    "pydantic": _pydantic,
}


def decode(way: str) -> float:
    """Return the seconds one decoding takes."""
    start = time.perf_counter()
    decoded = WAYS[way]()
    seconds = time.perf_counter() - start
    del decoded
    return seconds


def main() -> None:
    """Answer calls until standard input ends."""
    answer_calls({method.__name__: method for method in (prepare, decode)})


if __name__ == "__main__":
    main()
