"""Requests as the clients send them and results as they expect them.

Field names and defaults are those of tinker 0.22 and 0.38. Unknown fields of a request are
ignored, since every client release adds some; what asks for a sample is the exception, because a
setting that is dropped there changes what is drawn. Requests with arrays are plain records, filled
by `wire.bodies` from JSON and by `wire.protobuf`. Small answers are plain dictionaries made by the
handlers; the two results that carry arrays are records here, so that they can be written as JSON or
protobuf without a copy in between.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, Strict

from mint_runtime.wire.tensors import Array, Integers

Count = Annotated[int, Field(ge=0)]
Flag = Annotated[bool, Strict()]
Name = Annotated[str, Field(min_length=1, max_length=2048)]


class Request(BaseModel):
    """A JSON body. Frozen; unknown fields are dropped."""

    model_config = ConfigDict(extra="ignore", frozen=True, protected_namespaces=())


class ClientConfigRequest(Request):
    sdk_version: str | None = None


class CreateSessionRequest(Request):
    tags: tuple[str, ...] = ()
    user_metadata: dict[str, str] | None = None
    sdk_version: str | None = None
    project_id: str | None = None
    display_name: str | None = None


class SessionHeartbeatRequest(Request):
    session_id: Name


class LoraConfig(Request):
    rank: int = 32
    seed: int | None = None
    train_unembed: Flag = True
    train_mlp: Flag = True
    train_attn: Flag = True


class OptimizerConfig(Request):
    """What 0.38 says of a model's optimizer when it creates one."""

    type: str = "adamw"


class CreateModelRequest(Request):
    session_id: Name
    model_seq_id: Count
    base_model: Name
    user_metadata: dict[str, str] | None = None
    lora_config: LoraConfig | None = None
    optimizer_config: OptimizerConfig | None = None


class ModelRequest(Request):
    """`get_info` and `unload_model`."""

    model_id: Name


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """One piece of a model input.

    Only text is served; the type of any other is kept for the error.
    """

    type: str = "encoded_text"
    tokens: Integers | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelInput:
    chunks: tuple[Chunk, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Datum:
    model_input: ModelInput
    loss_fn_inputs: Mapping[str, Array]


@dataclass(frozen=True, slots=True, kw_only=True)
class LossInput:
    """The part that `forward` and `forward_backward` share."""

    data: tuple[Datum, ...]
    loss_fn: str
    loss_fn_config: Mapping[str, float | str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ForwardRequest:
    forward_input: LossInput
    model_id: str
    seq_id: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ForwardBackwardRequest:
    forward_backward_input: LossInput
    model_id: str
    seq_id: int | None = None
    forward_only: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ReverseKLDatum:
    """A sequence as the student and as the reference read it."""

    student_input: ModelInput
    reference_input: ModelInput
    target_tokens: Array
    weights: Array


@dataclass(frozen=True, slots=True, kw_only=True)
class ReverseKLRequest:
    """`mint/forward_backward_reverse_kl`."""

    data: tuple[ReverseKLDatum, ...]
    model_id: str
    reference_model_path: str
    temperature: float = 1.0
    seq_id: int | None = None


class InterpolateRequest(Request):
    """`mint/checkpoints/interpolate`."""

    source_paths: tuple[Name, ...]
    coefficients: tuple[Annotated[float, Field(allow_inf_nan=False)], ...]
    output_path: str | None = None
    output_checkpoint_type: Literal["sampler"] = "sampler"


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
    optimizer_config: OptimizerConfig | None = None


class WeightsInfoRequest(Request):
    tinker_path: Name


class CreateSamplingSessionRequest(Request):
    session_id: Name
    sampling_session_seq_id: Count
    base_model: str | None = None
    model_path: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingParams:
    """How to draw. Ranges are checked where the body is read."""

    max_tokens: int | None = None
    seed: int | None = None
    stop: str | tuple[int | str, ...] | None = None
    temperature: float = 1.0
    top_k: int = -1
    top_p: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleRequest:
    prompt: ModelInput
    sampling_params: SamplingParams
    sampling_session_id: str
    num_samples: int = 1
    seq_id: int | None = None
    prompt_logprobs: bool = False
    topk_prompt_logprobs: int = 0
    prompt_logprobs_last_n: int | None = None


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
    prompt_cache_hit_tokens: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ReverseKLOutput:
    """Per datum the float32 divergence of each position. Travels as JSON only."""

    losses: tuple[npt.NDArray[np.float32], ...]
    metrics: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonResult:
    """Any other result: a small JSON object."""

    fields: JsonObject = field(default_factory=dict)


AnyRequest = Request | ForwardRequest | ForwardBackwardRequest | ReverseKLRequest | SampleRequest
OperationResult = ForwardBackwardOutput | SampleResponse | ReverseKLOutput | JsonResult
