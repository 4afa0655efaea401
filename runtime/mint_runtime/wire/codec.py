"""Bodies to request records, and results to bytes.

Everything here is pure and may run on any thread. Large results are written piece by piece: an
encoder holds the interpreter lock for a whole call, and one call for a large result would stop the
event loop of a server whose other threads do the encoding.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import msgspec
import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from mint_runtime.wire import protobuf
from mint_runtime.wire.bodies import READERS
from mint_runtime.wire.errors import MalformedBody, UnsupportedEncoding, WrongShape
from mint_runtime.wire.messages import (
    AnyRequest,
    ForwardBackwardOutput,
    ForwardBackwardRequest,
    JsonResult,
    OperationResult,
    Request,
    ReverseKLOutput,
    SampleResponse,
)
from mint_runtime.wire.tensors import tensor_fields

JSON = "application/json"
PROTOBUF = protobuf.MEDIA_TYPE
_MAX_SHOWN = 60

RequestT = TypeVar("RequestT", bound=AnyRequest)


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoded:
    """A body and its content type."""

    content: bytes
    media_type: str


def decode(kind: type[RequestT], body: bytes, content_type: str = JSON) -> RequestT:
    """Return the request in `body`.

    Raises:
        MalformedBody: The bytes are not valid JSON or protobuf.
        WrongShape: A field is missing or has the wrong type; the text names it.
        UnsupportedEncoding: Protobuf came to an endpoint that takes JSON only.
    """
    if content_type.partition(";")[0].strip().lower() == PROTOBUF:
        if kind is not ForwardBackwardRequest:
            raise UnsupportedEncoding("this endpoint takes JSON, not protobuf")
        return cast(RequestT, protobuf.decode_forward_backward(body))
    body = body or b"{}"
    reader = READERS.get(kind)
    if reader is not None:
        return cast(RequestT, reader(body))
    assert issubclass(kind, Request)
    try:
        return cast(RequestT, kind.model_validate_json(body))
    except ValidationError as error:
        raise _described(error) from error


def wanted_media_type(accept: str, result: OperationResult) -> str:
    """Return protobuf when the client takes it and the result has that form, else JSON."""
    if PROTOBUF not in accept or isinstance(result, JsonResult | ReverseKLOutput):
        return JSON
    if isinstance(result, ForwardBackwardOutput) and not protobuf.is_uniform(result):
        return JSON if JSON in accept else PROTOBUF
    return PROTOBUF


def encode(result: OperationResult, media_type: str = JSON) -> Encoded:
    """Return the bytes of `result`."""
    if media_type == PROTOBUF and isinstance(result, ForwardBackwardOutput | SampleResponse):
        return Encoded(content=protobuf.encode(result), media_type=PROTOBUF)
    match result:
        case ForwardBackwardOutput():
            content = _forward_backward_json(result)
        case SampleResponse():
            content = _sample_json(result)
        case ReverseKLOutput():
            content = _reverse_kl_json(result)
        case JsonResult():
            content = json.dumps(dict(result.fields)).encode()
        case _:
            raise AssertionError(f"no encoding for {type(result).__name__}")
    return Encoded(content=content, media_type=JSON)


def encode_fields(fields: Mapping[str, Any]) -> bytes:
    """Return a small answer as JSON."""
    return msgspec.json.encode(fields)


def num_values(result: OperationResult) -> int:
    """Return about how many numbers `result` has: what its encoding costs."""
    match result:
        case ForwardBackwardOutput():
            return sum(array.size for output in result.outputs for array in output.values())
        case ReverseKLOutput():
            return sum(array.size for array in result.losses)
        case SampleResponse():
            prompt = len(result.prompt_logprobs or ()) + sum(
                len(row or ()) for row in result.topk_prompt_logprobs or ()
            )
            return prompt + sum(sequence.tokens.size for sequence in result.sequences)
        case _:
            return 0


def _described(error: ValidationError) -> MalformedBody | WrongShape:
    """Return the first problem as a sentence that names the field and what was found."""
    first = error.errors(include_url=False, include_context=False)[0]
    if first["type"] == "json_invalid":
        return MalformedBody(f"the body is not valid JSON: {first['msg']}")
    place = ".".join(str(part) for part in first["loc"]) or "body"
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "missing":
        return WrongShape(f"`{place}` is missing")
    found = repr(first["input"])
    if len(found) > _MAX_SHOWN:
        found = f"{found[:_MAX_SHOWN]}..."
    return WrongShape(f"`{place}`: {message} (found {found})")


def _forward_backward_json(result: ForwardBackwardOutput) -> bytes:
    outputs = b",".join(
        _json({name: tensor_fields(array) for name, array in output.items()}, *output.values())
        for output in result.outputs
    )
    return b'{"loss_fn_output_type":"ArrayRecord","loss_fn_outputs":[%b],"metrics":%b}' % (
        outputs,
        json.dumps(dict(result.metrics)).encode(),
    )


def _reverse_kl_json(result: ReverseKLOutput) -> bytes:
    outputs = b",".join(_json({"loss": tensor_fields(loss)}, loss) for loss in result.losses)
    return b'{"outputs":[%b],"metrics":%b,"type":"mint_forward_backward_reverse_kl"}' % (
        outputs,
        json.dumps(dict(result.metrics)).encode(),
    )


def _sample_json(result: SampleResponse) -> bytes:
    sequences = b",".join(
        _json(
            {
                "stop_reason": sequence.stop_reason,
                "tokens": sequence.tokens.tolist(),
                "logprobs": sequence.logprobs.tolist(),
            },
            sequence.logprobs,
        )
        for sequence in result.sequences
    )
    rest: dict[str, Any] = {
        "type": "sample",
        "prompt_cache_hit_tokens": result.prompt_cache_hit_tokens,
    }
    if result.prompt_logprobs is not None:
        rest["prompt_logprobs"] = result.prompt_logprobs
    if result.topk_prompt_logprobs is not None:
        rest["topk_prompt_logprobs"] = result.topk_prompt_logprobs
    return b'{"sequences":[%b],%b' % (sequences, json.dumps(rest).encode()[1:])


def _json(fields: Mapping[str, Any], *arrays: npt.NDArray[np.float32]) -> bytes:
    """Return `fields` as JSON; infinities in `arrays`, its numbers, as the standard library does.

    The fast encoder writes them as null, which clients do not read as a number.
    """
    if all(np.isfinite(array).all() for array in arrays):
        return msgspec.json.encode(fields)
    return json.dumps(fields).encode()
