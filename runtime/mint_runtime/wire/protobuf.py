"""The three protobuf messages of the protocol.

The schema below is the one that tinker 0.38 speaks; 0.22 speaks a subset with the same field
numbers. It lives in a descriptor pool of its own, so that the client package may be imported into
the same process. Packed arrays are little-endian raw bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any

import numpy as np
import numpy.typing as npt

# The package ships no types.
from google.protobuf import (  # type: ignore[import-untyped]
    descriptor_pb2,
    descriptor_pool,
    message_factory,
)
from google.protobuf.message import DecodeError, Message  # type: ignore[import-untyped]

from mint_runtime.wire.errors import MalformedBody, WrongShape
from mint_runtime.wire.messages import (
    Chunk,
    Datum,
    ForwardBackwardOutput,
    ForwardBackwardRequest,
    LossInput,
    ModelInput,
    SampledSequence,
    SampleResponse,
    TopkRow,
)
from mint_runtime.wire.tensors import Array, dense_from_csr, reshaped, shape_of

MEDIA_TYPE = "application/x-protobuf"

_PACKAGE = "mint_runtime_wire"
# One line per field: number, name, type. `*` repeats, `?` is optional with presence, `<K>` is a map
# from string to K, `|` puts the field into the message's one-of.
_SCHEMA = {
    "ForwardBackwardRequest": (
        "1 model_id string, 2 seq_id int32, 3 data Datum*, 4 loss_fn string,"
        " 5 loss_fn_config <double>, 6 forward_only bool, 7 loss_fn_config_v2 <LossConfigValue>"
    ),
    "LossConfigValue": "1 number double|, 2 text string|",
    "Datum": "1 model_input Chunk*, 2 loss_fn_inputs <Tensor>",
    "Chunk": "1 encoded_text EncodedText|, 2 image Opaque|, 3 dmel Opaque|",
    "EncodedText": "1 tokens bytes",
    "Opaque": "",
    "Tensor": "1 dense bytes|, 2 sparse_csr SparseCsr|, 3 dtype int32, 4 shape int64*",
    "SparseCsr": "1 values bytes, 2 crow_indices bytes, 3 col_indices bytes",
    "ForwardBackwardOutput": (
        "1 loss_fn_output_type string, 2 loss_fn_outputs ArrayRecord*, 3 metrics <double>"
    ),
    "ArrayRecord": "1 type_tag string, 2 fields <BatchedTensor>, 3 num_datums int64",
    "BatchedTensor": "1 data bytes, 2 offsets bytes, 3 dtype int32, 4 trailing_shape int64*",
    "SampleResponse": (
        "1 sequences SampledSequence*, 2 prompt_logprobs bytes?,"
        " 3 topk_prompt_logprobs TopkLogprobs, 4 prompt_cache_hit_tokens int32"
    ),
    "SampledSequence": "1 stop_reason int32, 2 tokens bytes, 3 logprobs bytes?",
    "TopkLogprobs": "1 token_ids bytes, 2 logprobs bytes, 3 k uint32, 4 length uint32",
}
_FLOAT32 = 1
_DTYPES: Mapping[int, npt.DTypeLike] = {_FLOAT32: "<f4", 2: "<i8", 3: "<i4"}
_STOP_REASONS = {"stop": 0, "length": 1}
# What clients read as "no entry" in a row of top-k log-probabilities.
_NO_TOKEN, _NO_LOGP = 0, -99999.0

_Field = descriptor_pb2.FieldDescriptorProto
_SCALARS = {
    "string": _Field.TYPE_STRING,
    "bytes": _Field.TYPE_BYTES,
    "double": _Field.TYPE_DOUBLE,
    "bool": _Field.TYPE_BOOL,
    "int32": _Field.TYPE_INT32,
    "uint32": _Field.TYPE_UINT32,
    "int64": _Field.TYPE_INT64,
}


def _set_type(field: Any, kind: str) -> None:
    if kind in _SCALARS:
        field.type = _SCALARS[kind]
    else:
        field.type = _Field.TYPE_MESSAGE
        field.type_name = f".{_PACKAGE}.{kind}"


def _add_field(message: Any, spec: str) -> None:
    number, name, kind = spec.split()
    field = message.field.add(name=name, number=int(number), label=_Field.LABEL_OPTIONAL)
    if kind.startswith("<"):
        entry_name = "".join(part.title() for part in name.split("_")) + "Entry"
        entry = message.nested_type.add(name=entry_name)
        entry.options.map_entry = True
        entry.field.add(name="key", number=1, label=_Field.LABEL_OPTIONAL, type=_Field.TYPE_STRING)
        value = entry.field.add(name="value", number=2, label=_Field.LABEL_OPTIONAL)
        _set_type(value, kind.strip("<>"))
        field.label = _Field.LABEL_REPEATED
        field.type = _Field.TYPE_MESSAGE
        field.type_name = f".{_PACKAGE}.{message.name}.{entry_name}"
        return
    if kind.endswith("*"):
        field.label = _Field.LABEL_REPEATED
    _set_type(field, kind.rstrip("*?|"))
    if kind.endswith("|"):
        if not message.oneof_decl:
            message.oneof_decl.add(name="value")
        field.oneof_index = 0


def _add_optionals(message: Any, specs: Iterable[str]) -> None:
    """Give each `?` field the one-of of its own that proto3 presence needs.

    They come after the real ones.
    """
    optional = {spec.split()[1] for spec in specs if spec.endswith("?")}
    for field in message.field:
        if field.name in optional:
            field.proto3_optional = True
            field.oneof_index = len(message.oneof_decl)
            message.oneof_decl.add(name=f"_{field.name}")


def _build_classes() -> Mapping[str, type[Message]]:
    file = descriptor_pb2.FileDescriptorProto(
        name="mint_runtime_wire.proto", package=_PACKAGE, syntax="proto3"
    )
    for name, fields in _SCHEMA.items():
        message = file.message_type.add(name=name)
        specs = [spec.strip() for spec in fields.split(",") if spec.strip()]
        for spec in specs:
            _add_field(message, spec)
        _add_optionals(message, specs)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}"))
        for name in _SCHEMA
    }


_CLASSES = _build_classes()


def message_class(name: str) -> Any:
    """Return the generated class of one message of the schema."""
    return _CLASSES[name]


def decode_forward_backward(body: bytes) -> ForwardBackwardRequest:
    """Return the request in a `ForwardBackwardRequest` message.

    Raises:
        MalformedBody: The bytes are not this message.
        WrongShape: A tensor does not match its dtype or shape, or no model is named.
    """
    message = message_class("ForwardBackwardRequest")()
    try:
        message.ParseFromString(body)
    except DecodeError as error:
        raise MalformedBody("the body is not a valid protobuf ForwardBackwardRequest") from error
    if not message.model_id:
        raise WrongShape("`model_id` is missing")
    config: dict[str, float | str] = dict(message.loss_fn_config)
    for name, value in message.loss_fn_config_v2.items():
        config[name] = value.text if value.WhichOneof("value") == "text" else value.number
    return ForwardBackwardRequest(
        model_id=message.model_id,
        # A number that is not set reads as 0, which no client gives to an operation.
        seq_id=message.seq_id or None,
        forward_only=message.forward_only,
        forward_backward_input=LossInput(
            data=tuple(_datum(index, datum) for index, datum in enumerate(message.data)),
            loss_fn=message.loss_fn,
            loss_fn_config=config or None,
        ),
    )


def _datum(index: int, datum: Any) -> Datum:
    place = f"data.{index}"
    return Datum(
        model_input=ModelInput(chunks=tuple(_chunk(place, chunk) for chunk in datum.model_input)),
        loss_fn_inputs={
            name: _tensor(f"{place}.loss_fn_inputs.{name}", tensor)
            for name, tensor in datum.loss_fn_inputs.items()
        },
    )


def _chunk(place: str, chunk: Any) -> Chunk:
    kind = chunk.WhichOneof("value") or "empty"
    if kind != "encoded_text":
        return Chunk(type=kind)
    tokens = _unpack(f"{place}.model_input", chunk.encoded_text.tokens, "<i4")
    return Chunk(type=kind, tokens=tokens.astype(np.int64))


def _tensor(place: str, tensor: Any) -> Array:
    dtype = _DTYPES.get(tensor.dtype)
    if dtype is None:
        raise WrongShape(f"`{place}`: dtype {tensor.dtype} is not float32, int64 or int32")
    try:
        shape = shape_of(tuple(tensor.shape) or None)
        if tensor.WhichOneof("value") == "sparse_csr":
            stored = tensor.sparse_csr
            array = dense_from_csr(
                _unpack(place, stored.values, dtype),
                _unpack(place, stored.crow_indices, "<i8").astype(np.int64, copy=False),
                _unpack(place, stored.col_indices, "<i8").astype(np.int64, copy=False),
                shape,
            )
        else:
            array = reshaped(_unpack(place, tensor.dense, dtype), shape)
    except WrongShape:
        raise
    except ValueError as error:
        raise WrongShape(f"`{place}`: {error}") from error
    return array.astype(np.float32 if array.dtype.kind == "f" else np.int64, copy=False)


def _unpack(place: str, data: bytes, dtype: npt.DTypeLike) -> Array:
    width = np.dtype(dtype).itemsize
    if len(data) % width:
        raise WrongShape(
            f"`{place}`: {len(data)} bytes are not a whole number of {width}-byte values"
        )
    return np.frombuffer(data, dtype=dtype)


def is_uniform(result: ForwardBackwardOutput) -> bool:
    """Return whether all datums have arrays of the same trailing shape.

    The format can carry others, but clients of 0.22 read them all in the shape of the first.
    """
    return len({_trailing_shapes(output) for output in result.outputs}) <= 1


def encode(result: ForwardBackwardOutput | SampleResponse) -> bytes:
    """Return `result` as protobuf bytes."""
    if isinstance(result, ForwardBackwardOutput):
        return _encode_forward_backward(result)
    return _encode_sample(result)


def _encode_forward_backward(result: ForwardBackwardOutput) -> bytes:
    message = message_class("ForwardBackwardOutput")(loss_fn_output_type="ArrayRecord")
    for name, value in result.metrics.items():
        message.metrics[name] = value
    # One record holds rectangular arrays of one trailing shape; datums with another start the next
    # record.
    for _, outputs in groupby(result.outputs, key=_trailing_shapes):
        _add_record(message.loss_fn_outputs.add(), list(outputs))
    return bytes(message.SerializeToString())


def _trailing_shapes(output: Mapping[str, Array]) -> tuple[tuple[str, tuple[int, ...]], ...]:
    return tuple((name, array.shape[1:]) for name, array in output.items())


def _add_record(record: Any, outputs: Sequence[Mapping[str, npt.NDArray[np.float32]]]) -> None:
    record.type_tag = "ArrayRecord"
    record.num_datums = len(outputs)
    for name, first in outputs[0].items():
        arrays = [output[name].astype("<f4", copy=False) for output in outputs]
        offsets = np.cumsum([0, *(array.nbytes for array in arrays)]).astype("<i8")
        field = record.fields[name]
        field.data = b"".join(array.tobytes() for array in arrays)
        field.offsets = offsets.tobytes()
        field.dtype = _FLOAT32
        field.trailing_shape.extend(first.shape[1:])


def _encode_sample(result: SampleResponse) -> bytes:
    message = message_class("SampleResponse")()
    for sequence in result.sequences:
        _add_sequence(message.sequences.add(), sequence)
    if result.prompt_logprobs is not None:
        values = [np.nan if logp is None else logp for logp in result.prompt_logprobs]
        message.prompt_logprobs = np.asarray(values, dtype="<f4").tobytes()
    message.prompt_cache_hit_tokens = result.prompt_cache_hit_tokens
    if result.topk_prompt_logprobs is not None:
        _set_topk(message.topk_prompt_logprobs, result.topk_prompt_logprobs)
    return bytes(message.SerializeToString())


def _add_sequence(message: Any, sequence: SampledSequence) -> None:
    message.stop_reason = _STOP_REASONS[sequence.stop_reason]
    message.tokens = sequence.tokens.astype("<i4").tobytes()
    message.logprobs = sequence.logprobs.astype("<f4").tobytes()


def _set_topk(message: Any, rows: Sequence[TopkRow]) -> None:
    width = max((len(row) for row in rows if row is not None), default=0)
    tokens = np.full((len(rows), width), _NO_TOKEN, dtype="<i4")
    logps = np.full((len(rows), width), _NO_LOGP, dtype="<f4")
    for index, row in enumerate(rows):
        for rank, (token, logp) in enumerate(row or ()):
            tokens[index, rank] = token
            logps[index, rank] = logp
    message.token_ids, message.logprobs = tokens.tobytes(), logps.tobytes()
    message.k, message.length = width, len(rows)
