"""Requests as the clients send them and results as they expect them.

Field names and defaults are those of tinker 0.22 and 0.38. Unknown request fields are ignored,
since every client release adds some. Small answers are plain dictionaries made by the handlers; the
two results that carry arrays are records here, so that they can be written as JSON or protobuf
without a copy in between.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, Strict

from mint_runtime.wire.tensors import Array, as_array, as_tokens

Tokens = Annotated[npt.NDArray[np.int64], BeforeValidator(as_tokens)]
Tensor = Annotated[Array, BeforeValidator(as_array)]
Count = Annotated[int, Field(ge=0)]
Flag = Annotated[bool, Strict()]
Name = Annotated[str, Field(min_length=1, max_length=2048)]


class Request(BaseModel):
    """A JSON body. Frozen; unknown fields are dropped."""

    model_config = ConfigDict(
        extra="ignore", frozen=True, arbitrary_types_allowed=True, protected_namespaces=()
    )


class ClientConfigRequest(Request):
    sdk_version: str | None = None


class CreateSessionRequest(Request):
    tags: tuple[str, ...] = ()
    user_metadata: dict[str, str] | None = None
    sdk_version: str | None = None
    project_id: str | None = None


class SessionHeartbeatRequest(Request):
    session_id: Name


class LoraConfig(Request):
    rank: int = 32
    seed: int | None = None
    train_unembed: Flag = True
    train_mlp: Flag = True
    train_attn: Flag = True


class CreateModelRequest(Request):
    session_id: Name
    model_seq_id: Count
    base_model: Name
    user_metadata: dict[str, str] | None = None
    lora_config: LoraConfig = LoraConfig()


class ModelRequest(Request):
    """`get_info` and `unload_model`."""

    model_id: Name


class Chunk(Request):
    """One piece of a model input.

    Only text is served; the type of any other is kept for the error.
    """

    type: str = "encoded_text"
    tokens: Tokens | None = None


class ModelInput(Request):
    chunks: tuple[Chunk, ...]


class Datum(Request):
    model_input: ModelInput
    loss_fn_inputs: dict[str, Tensor]


class LossInput(Request):
    """The part that `forward` and `forward_backward` share."""

    data: tuple[Datum, ...]
    loss_fn: str
    loss_fn_config: dict[str, float | str] | None = None


class ForwardRequest(Request):
    forward_input: LossInput
    model_id: Name
    seq_id: int | None = None


class ForwardBackwardRequest(Request):
    forward_backward_input: LossInput
    model_id: Name
    seq_id: int | None = None
    forward_only: Flag = False


class AdamParams(Request):
    learning_rate: float = 1e-4
    beta1: float = 0.9
    beta2: float = 0.95
    eps: float = 1e-12
    weight_decay: float = 0.0
    grad_clip_norm: float = 0.0


class OptimStepRequest(Request):
    adam_params: AdamParams | None = None
    optimizer_params: dict[str, Any] | None = None
    model_id: Name
    seq_id: int | None = None


class SaveWeightsRequest(Request):
    model_id: Name
    path: str
    seq_id: int | None = None
    ttl_seconds: Annotated[int, Field(gt=0)] | None = None
    overwrite: Flag = False
    user_metadata: dict[str, str] | None = None


class SaveWeightsForSamplerRequest(Request):
    """Named with `path`, or ephemeral with `sampling_session_seq_id`."""

    model_id: Name
    path: str | None = None
    seq_id: int | None = None
    sampling_session_seq_id: Count | None = None
    ttl_seconds: Annotated[int, Field(gt=0)] | None = None
    user_metadata: dict[str, str] | None = None


class LoadWeightsRequest(Request):
    """Into a model by `model_id`, or into a new model by `session_id` and `model_seq_id`."""

    path: Name
    optimizer: Flag = False
    model_id: str | None = None
    seq_id: int | None = None
    session_id: str | None = None
    model_seq_id: Count | None = None
    base_model: str | None = None
    user_metadata: dict[str, str] | None = None


class WeightsInfoRequest(Request):
    tinker_path: Name


class CreateSamplingSessionRequest(Request):
    session_id: Name
    sampling_session_seq_id: Count
    base_model: str | None = None
    model_path: str | None = None


class SamplingParams(Request):
    max_tokens: Count | None = None
    seed: int | None = None
    stop: str | tuple[int, ...] | tuple[str, ...] | None = None
    temperature: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 1.0
    top_k: int = -1
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0


class SampleRequest(Request):
    prompt: ModelInput
    sampling_params: SamplingParams
    sampling_session_id: Name
    num_samples: Annotated[int, Field(ge=1)] = 1
    seq_id: int | None = None
    prompt_logprobs: Flag | None = None
    topk_prompt_logprobs: Count = 0


class RetrieveFutureRequest(Request):
    request_id: Name
    allow_metadata_only: Flag = False


class SetTtlRequest(Request):
    ttl_seconds: Annotated[int, Field(gt=0)] | None


class SetProjectRequest(Request):
    project_id: str | None = None


JsonValue = None | bool | int | float | str | list["JsonValue"] | Mapping[str, "JsonValue"]
JsonObject = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ForwardBackwardOutput:
    """Per datum its named float32 arrays, in the request's order, and `name:reduction` metrics."""

    outputs: tuple[Mapping[str, npt.NDArray[np.float32]], ...]
    metrics: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class SampledSequence:
    tokens: npt.NDArray[np.int64]
    logprobs: npt.NDArray[np.float32]
    stop_reason: Literal["stop", "length"]


TopkRow = tuple[tuple[int, float], ...] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleResponse:
    sequences: tuple[SampledSequence, ...]
    prompt_logprobs: tuple[float | None, ...] | None = None
    topk_prompt_logprobs: tuple[TopkRow, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonResult:
    """Any other result: a small JSON object."""

    fields: JsonObject = field(default_factory=dict)


OperationResult = ForwardBackwardOutput | SampleResponse | JsonResult
