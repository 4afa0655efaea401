"""JSON bodies that carry arrays, read into records.

A first pass checks the structure and leaves every list of numbers as a slice of the body; a second
one turns each slice into an array. So no list of the whole body ever exists, and the interpreter
lock is free between two arrays. Values are checked one by one as they are read: a boolean, a string
or a null is not a number here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any, NoReturn, TypeVar

import msgspec
import numpy as np

from mint_runtime.wire import messages as m
from mint_runtime.wire.errors import MalformedBody, WrongShape
from mint_runtime.wire.tensors import Array, Integers, dense_from_csr, reshaped, shape_of

StructT = TypeVar("StructT", bound=msgspec.Struct)
_Id = Annotated[str, msgspec.Meta(min_length=1, max_length=2048)]
_Count = Annotated[int, msgspec.Meta(ge=0)]
_NO_NUMBERS = msgspec.Raw()
_ABSENT = (_NO_NUMBERS, msgspec.Raw(b"null"))
_INTEGERS = msgspec.json.Decoder(list[int])
_NUMBERS = msgspec.json.Decoder(list[float])
_READERS: Mapping[str, tuple[Any, Any]] = {
    "int64": (_INTEGERS, np.int64),
    "float32": (_NUMBERS, np.float32),
}
_WORDS = {_INTEGERS: "integers", _NUMBERS: "numbers"}


class _Struct(msgspec.Struct, kw_only=True, gc=False):
    """A JSON object whose unknown fields are dropped."""


class _Chunk(_Struct):
    type: str = "encoded_text"
    tokens: msgspec.Raw = _NO_NUMBERS


class _ModelInput(_Struct):
    chunks: tuple[_Chunk, ...]


class _Tensor(_Struct):
    data: msgspec.Raw
    dtype: str = "float32"
    shape: tuple[int, ...] | None = None
    sparse_crow_indices: msgspec.Raw = _NO_NUMBERS
    sparse_col_indices: msgspec.Raw = _NO_NUMBERS


class _Datum(_Struct):
    model_input: _ModelInput
    loss_fn_inputs: dict[str, _Tensor]


class _LossInput(_Struct):
    data: tuple[_Datum, ...]
    loss_fn: str
    loss_fn_config: dict[str, float | str] | None = None


class _Forward(_Struct):
    forward_input: _LossInput
    model_id: _Id
    seq_id: int | None = None


class _ForwardBackward(_Struct):
    forward_backward_input: _LossInput
    model_id: _Id
    seq_id: int | None = None
    forward_only: bool = False


class _ReverseKLDatum(_Struct):
    student_input: _ModelInput
    reference_input: _ModelInput
    target_tokens: _Tensor
    weights: _Tensor


class _ReverseKL(_Struct):
    data: tuple[_ReverseKLDatum, ...]
    model_id: _Id
    reference_model_path: _Id
    temperature: Annotated[float, msgspec.Meta(gt=0)] = 1.0
    seq_id: int | None = None


class _SamplingParams(_Struct, forbid_unknown_fields=True):
    max_tokens: _Count | None = None
    seed: int | None = None
    stop: str | tuple[int | str, ...] | None = None
    temperature: Annotated[float, msgspec.Meta(ge=0)] = 1.0
    top_k: int = -1
    top_p: Annotated[float, msgspec.Meta(gt=0, le=1)] = 1.0


class _Sample(_Struct, forbid_unknown_fields=True):
    prompt: _ModelInput
    sampling_params: _SamplingParams
    sampling_session_id: _Id
    num_samples: Annotated[int, msgspec.Meta(ge=1)] = 1
    seq_id: int | None = None
    prompt_logprobs: bool | None = None
    topk_prompt_logprobs: _Count = 0
    prompt_logprobs_last_n: Annotated[int, msgspec.Meta(ge=1)] | None = None
    type: str = "sample"
    # A session says what is sampled; clients leave these out.
    base_model: None = None
    model_path: None = None
    # Notes for a loss that is not public. Nothing of the answer depends on it.
    record_stability_info: bool | None = None
    # What later clients can ask for and this server does not compute.
    topk_sample_logprobs: _Count = 0
    prompt_alt_tokens_k: _Count = 0
    target_prompt_logprobs: msgspec.Raw = _NO_NUMBERS


_UNKNOWN = re.compile(r"Object contains unknown field `([^`]*)`")
_INSTEAD = {
    "stop_token_ids": "use `stop`, which takes token ids too",
    "stop_strings": "use `stop`",
    "max_new_tokens": "use `max_tokens`",
    "n": "use `num_samples`",
    "do_sample": "use `temperature`, 0 for greedy",
    "min_p": "use `top_p` or `top_k`",
}


def read_forward(body: bytes) -> m.ForwardRequest:
    """Return the body of `forward`."""
    read = _decoded(_FORWARD, body)
    return m.ForwardRequest(
        forward_input=_loss_input("forward_input", read.forward_input),
        model_id=read.model_id,
        seq_id=read.seq_id,
    )


def read_forward_backward(body: bytes) -> m.ForwardBackwardRequest:
    """Return the body of `forward_backward`."""
    read = _decoded(_FORWARD_BACKWARD, body)
    return m.ForwardBackwardRequest(
        forward_backward_input=_loss_input("forward_backward_input", read.forward_backward_input),
        model_id=read.model_id,
        seq_id=read.seq_id,
        forward_only=read.forward_only,
    )


def read_reverse_kl(body: bytes) -> m.ReverseKLRequest:
    """Return the body of `mint/forward_backward_reverse_kl`."""
    read = _decoded(_REVERSE_KL, body)
    return m.ReverseKLRequest(
        data=tuple(_reverse_kl_datum(f"data.{i}", one) for i, one in enumerate(read.data)),
        model_id=read.model_id,
        reference_model_path=read.reference_model_path,
        temperature=read.temperature,
        seq_id=read.seq_id,
    )


def read_sample(body: bytes) -> m.SampleRequest:
    """Return the body of `asample`.

    Raises:
        WrongShape: Also for a setting that this server does not have, by name.
    """
    read = _decoded(_SAMPLE, body)
    _refuse_what_is_not_computed(read)
    params = read.sampling_params
    return m.SampleRequest(
        prompt=_model_input("prompt", read.prompt),
        sampling_params=m.SamplingParams(
            max_tokens=params.max_tokens,
            seed=params.seed,
            stop=params.stop,
            temperature=params.temperature,
            top_k=params.top_k,
            top_p=params.top_p,
        ),
        sampling_session_id=read.sampling_session_id,
        num_samples=read.num_samples,
        seq_id=read.seq_id,
        prompt_logprobs=bool(read.prompt_logprobs),
        topk_prompt_logprobs=read.topk_prompt_logprobs,
        prompt_logprobs_last_n=read.prompt_logprobs_last_n,
    )


def _decoded(decoder: msgspec.json.Decoder[StructT], body: bytes) -> StructT:
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise WrongShape(_sentence(str(error))) from error
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise MalformedBody(not_json(str(error), body)) from error


def not_json(problem: str, body: bytes) -> str:
    """Return what to say of a body that is not JSON; NaN and infinity are the usual reason."""
    found = re.search(r"\(byte (\d+)\)", problem)
    text = f"the body is not valid JSON: {problem.removeprefix('JSON is malformed: ')}"
    at = int(found[1]) if found else len(body)
    near = body[at : at + 9].lstrip(b"-")
    if near.startswith((b"NaN", b"Infinity")):
        return f"{text}; NaN and infinity cannot be sent, every number has to be finite"
    return text


def _sentence(problem: str) -> str:
    """Return a validation error in the words of the others: the field first, then what is wrong."""
    message, _, place = problem.partition(" - at `$")
    parts = re.findall(r"\w+", place)
    missing = re.search(r"missing required field `([^`]*)`", message)
    if missing:
        return f"`{'.'.join([*parts, missing[1]])}` is missing"
    unknown = _UNKNOWN.search(message)
    if unknown:
        name = unknown[1]
        instead = _INSTEAD.get(name, "leave it out")
        return f"`{'.'.join([*parts, name])}` is not a setting of this server; {instead}"
    return f"`{'.'.join(parts) or 'body'}`: {message[0].lower()}{message[1:]}"


def _loss_input(place: str, read: _LossInput) -> m.LossInput:
    return m.LossInput(
        data=tuple(_datum(f"{place}.data.{i}", datum) for i, datum in enumerate(read.data)),
        loss_fn=read.loss_fn,
        loss_fn_config=read.loss_fn_config,
    )


def _datum(place: str, datum: _Datum) -> m.Datum:
    return m.Datum(
        model_input=_model_input(f"{place}.model_input", datum.model_input),
        loss_fn_inputs={
            name: _tensor(f"{place}.loss_fn_inputs.{name}", tensor)
            for name, tensor in datum.loss_fn_inputs.items()
        },
    )


def _reverse_kl_datum(place: str, datum: _ReverseKLDatum) -> m.ReverseKLDatum:
    return m.ReverseKLDatum(
        student_input=_model_input(f"{place}.student_input", datum.student_input),
        reference_input=_model_input(f"{place}.reference_input", datum.reference_input),
        target_tokens=_tensor(f"{place}.target_tokens", datum.target_tokens),
        weights=_tensor(f"{place}.weights", datum.weights),
    )


def _model_input(place: str, read: _ModelInput) -> m.ModelInput:
    return m.ModelInput(
        chunks=tuple(_chunk(f"{place}.chunks.{i}", chunk) for i, chunk in enumerate(read.chunks))
    )


def _chunk(place: str, chunk: _Chunk) -> m.Chunk:
    if chunk.tokens in _ABSENT or chunk.type != "encoded_text":
        return m.Chunk(type=chunk.type)
    return m.Chunk(type=chunk.type, tokens=_integers(f"{place}.tokens", chunk.tokens))


def _tensor(place: str, tensor: _Tensor) -> Array:
    reader = _READERS.get(tensor.dtype)
    if reader is None:
        raise WrongShape(f"`{place}`: dtype {tensor.dtype!r} is not one of {', '.join(_READERS)}")
    data = _array(place, tensor.data, *reader)
    try:
        shape = shape_of(tensor.shape)
        if tensor.sparse_crow_indices in _ABSENT:
            return reshaped(data, shape)
        return dense_from_csr(
            data,
            _integers(f"{place}.sparse_crow_indices", tensor.sparse_crow_indices),
            _integers(f"{place}.sparse_col_indices", tensor.sparse_col_indices),
            shape,
        )
    except WrongShape:
        raise
    except ValueError as error:
        raise WrongShape(f"`{place}`: {error}") from error


def _integers(place: str, raw: msgspec.Raw) -> Integers:
    array: Integers = _array(place, raw, _INTEGERS, np.int64)
    return array


def _array(place: str, raw: msgspec.Raw, decoder: msgspec.json.Decoder[Any], dtype: Any) -> Any:
    try:
        numbers = decoder.decode(raw)
        with np.errstate(over="ignore"):
            return np.array(numbers, dtype=dtype)
    except (msgspec.DecodeError, OverflowError) as error:
        _refuse_numbers(place, _WORDS[decoder], error)


def _refuse_numbers(place: str, wanted: str, error: Exception) -> NoReturn:
    """Raise what is wrong with a list: the first value that is not a number, and where it is."""
    text = f"`{place}` is not a flat list of {wanted}"
    at = re.search(r"got `(\w+)` - at `\$\[(\d+)\]", str(error))
    if at:
        text += f": value {at[2]} is of type {at[1]}"
    elif isinstance(error, OverflowError):
        text += " of 64 bits"
    raise WrongShape(text) from error


def _refuse_what_is_not_computed(read: _Sample) -> None:
    asked = {
        "topk_sample_logprobs": read.topk_sample_logprobs,
        "prompt_alt_tokens_k": read.prompt_alt_tokens_k,
        "target_prompt_logprobs": read.target_prompt_logprobs not in _ABSENT,
    }
    for name, value in asked.items():
        if value:
            raise WrongShape(f"`{name}` is not computed by this server; leave it out")


_FORWARD = msgspec.json.Decoder(_Forward)
_FORWARD_BACKWARD = msgspec.json.Decoder(_ForwardBackward)
_REVERSE_KL = msgspec.json.Decoder(_ReverseKL)
_SAMPLE = msgspec.json.Decoder(_Sample)

READERS: Mapping[type[Any], Callable[[bytes], Any]] = {
    m.ForwardRequest: read_forward,
    m.ForwardBackwardRequest: read_forward_backward,
    m.ReverseKLRequest: read_reverse_kl,
    m.SampleRequest: read_sample,
}
"""By the request that a body is read into."""
