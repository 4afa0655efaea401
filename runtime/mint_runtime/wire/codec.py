"""JSON bodies to request records, and results to bytes.

`decode` is pure and may run on any thread. Results with arrays are written piece by piece: the
encoder of the standard library holds the interpreter lock for a whole call, and one call for a
large result would stop the event loop of a server whose other threads do the encoding.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TypeVar

from pydantic import ValidationError

from mint_runtime.wire import protobuf
from mint_runtime.wire.errors import MalformedBody, UnsupportedEncoding, WrongShape
from mint_runtime.wire.messages import (
    ForwardBackwardOutput,
    ForwardBackwardRequest,
    JsonResult,
    OperationResult,
    Request,
    SampleResponse,
)
from mint_runtime.wire.tensors import tensor_fields

JSON = "application/json"
PROTOBUF = protobuf.MEDIA_TYPE
_MAX_SHOWN = 60

RequestT = TypeVar("RequestT", bound=Request)


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
        fields = protobuf.decode_forward_backward(body)
        return _validated(kind, lambda: kind.model_validate(fields))
    return _validated(kind, lambda: kind.model_validate_json(body or b"{}"))


def wanted_media_type(accept: str, result: OperationResult) -> str:
    """Return protobuf when the client takes it and the result has that form, else JSON."""
    if PROTOBUF not in accept or isinstance(result, JsonResult):
        return JSON
    if isinstance(result, ForwardBackwardOutput) and not protobuf.is_uniform(result):
        return JSON if JSON in accept else PROTOBUF
    return PROTOBUF


def encode(result: OperationResult, media_type: str = JSON) -> Encoded:
    """Return the bytes of `result`."""
    if media_type == PROTOBUF and not isinstance(result, JsonResult):
        return Encoded(content=protobuf.encode(result), media_type=PROTOBUF)
    match result:
        case ForwardBackwardOutput():
            content = _forward_backward_json(result)
        case SampleResponse():
            content = _sample_json(result)
        case JsonResult():
            content = json.dumps(dict(result.fields)).encode()
    return Encoded(content=content, media_type=JSON)


def _validated(kind: type[RequestT], parse: object) -> RequestT:
    assert callable(parse)
    try:
        request = parse()
    except ValidationError as error:
        raise _described(error) from error
    assert isinstance(request, kind)
    return request


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
    outputs = ",".join(
        json.dumps({name: tensor_fields(array) for name, array in output.items()})
        for output in result.outputs
    )
    metrics = json.dumps(dict(result.metrics))
    return (
        f'{{"loss_fn_output_type":"ArrayRecord","loss_fn_outputs":[{outputs}],"metrics":{metrics}}}'
    ).encode()


def _sample_json(result: SampleResponse) -> bytes:
    sequences = ",".join(
        json.dumps(
            {
                "stop_reason": sequence.stop_reason,
                "tokens": sequence.tokens.tolist(),
                "logprobs": sequence.logprobs.tolist(),
            }
        )
        for sequence in result.sequences
    )
    parts = [f'"sequences":[{sequences}]', '"type":"sample"']
    if result.prompt_logprobs is not None:
        parts.append(f'"prompt_logprobs":{json.dumps(result.prompt_logprobs)}')
    if result.topk_prompt_logprobs is not None:
        parts.append(f'"topk_prompt_logprobs":{json.dumps(result.topk_prompt_logprobs)}')
    return ("{" + ",".join(parts) + "}").encode()
