"""Wire requests to engine commands, and engine results to wire results.

Only what the engine has no words for is refused here: base models and losses that are not served,
settings a loss does not have, and inputs that are not text. Numbers, shapes and ranges are the
engine's to check.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from mint_runtime.engine import commands as c
from mint_runtime.errors import NotFound, UserError
from mint_runtime.service.records import AdapterShape
from mint_runtime.wire import messages as m

T = TypeVar("T")
_ATTENTION = frozenset({"q_proj", "k_proj", "v_proj", "o_proj", "qkv_proj"})
_MLP = frozenset({"gate_proj", "up_proj", "down_proj", "gate_up_proj"})
_UNEMBED = frozenset({"lm_head"})


def base_model_info(capabilities: c.Capabilities, name: str) -> c.BaseModelInfo:
    """Return the served base model called `name`.

    Raises:
        NotFound: It is not served; the text lists those that are.
    """
    for info in capabilities.base_models:
        if info.name == name:
            return info
    served = [info.name for info in capabilities.base_models]
    raise NotFound(f"base model `{name}` is not served here; {_choices(name, served)}")


def lora_spec(config: m.LoraConfig) -> c.LoraSpec:
    """Return the adapter that `config` asks for."""
    return c.LoraSpec(
        rank=config.rank,
        seed=config.seed,
        train_attn=config.train_attn,
        train_mlp=config.train_mlp,
        train_unembed=config.train_unembed,
    )


def train_step(
    model_id: str,
    request: m.LossInput,
    served: c.Capabilities,
    *,
    backward: bool,
) -> c.TrainStep:
    """Return the step that `forward` or `forward_backward` asks for.

    Raises:
        UserError: A datum, the loss or its configuration cannot be used; the text says which and
            why.
    """
    config = _loss_config(request, served)
    data = tuple(
        c.Datum(tokens=_tokens(f"datum {index}", one.model_input), inputs=one.loss_fn_inputs)
        for index, one in enumerate(request.data)
    )
    return c.TrainStep(
        model_id=model_id,
        data=data,
        loss_fn=request.loss_fn,
        loss_config=config,
        backward=backward,
    )


def check_optimizer(config: m.OptimizerConfig | None) -> None:
    """Accept the optimizer that a model is created with.

    Raises:
        UserError: It is not AdamW.
    """
    if config is not None and config.type != "adamw":
        raise UserError(f"optimizer `{config.type}` is not served; use `adamw`")


def optim_step(request: m.OptimStepRequest) -> c.OptimStep:
    """Return the AdamW step that `request` asks for.

    Raises:
        UserError: Another optimizer is asked for.
    """
    if request.optimizer_params is not None:
        kind = request.optimizer_params.get("type")
        raise UserError(f"optimizer `{kind}` is not served; send `adam_params`")
    params = request.adam_params or m.AdamParams()
    return c.OptimStep(
        model_id=request.model_id,
        learning_rate=params.learning_rate,
        beta1=params.beta1,
        beta2=params.beta2,
        eps=params.eps,
        weight_decay=params.weight_decay,
        grad_clip_norm=params.grad_clip_norm,
    )


def sample(request: m.SampleRequest) -> c.Sample:
    """Return the continuation that `asample` asks for.

    Raises:
        UserError: The prompt is not text, a stop string is empty, or more continuations are asked
            for than one request may have.
    """
    if request.num_samples > c.MAX_SAMPLES:
        raise UserError(
            f"`num_samples` is {request.num_samples}; one request may ask for {c.MAX_SAMPLES}"
        )
    tokens = _tokens("the prompt", request.prompt)
    _check_last_n(request, len(tokens))
    params = request.sampling_params
    stop_tokens, stop_strings = _stops(params.stop)
    return c.Sample(
        sampler_id=request.sampling_session_id,
        tokens=tokens,
        num_samples=request.num_samples,
        max_tokens=params.max_tokens,
        temperature=params.temperature,
        top_k=params.top_k,
        top_p=params.top_p,
        seed=params.seed,
        stop_tokens=stop_tokens,
        stop_strings=stop_strings,
        prompt_logprobs=request.prompt_logprobs,
        topk_prompt_logprobs=request.topk_prompt_logprobs,
    )


def reverse_kl_data(request: m.ReverseKLRequest) -> tuple[c.ReverseKLDatum, ...]:
    """Return the data of a reverse KL step.

    Raises:
        UserError: An input is not text, or targets are not token ids.
    """
    return tuple(
        c.ReverseKLDatum(
            student_tokens=_tokens(f"datum {index}, `student_input`", one.student_input),
            reference_tokens=_tokens(f"datum {index}, `reference_input`", one.reference_input),
            target_tokens=_token_ids(f"datum {index}", one.target_tokens),
            weights=one.weights.astype(np.float32, copy=False),
        )
        for index, one in enumerate(request.data)
    )


def adapter_shape(base_model: str, rank: int, layers: Iterable[str]) -> AdapterShape:
    """Return the shape of an adapter of these layers, each by the last part of its name."""
    parts = frozenset(layers)
    return AdapterShape(
        base_model=base_model,
        rank=rank,
        train_attn=not parts.isdisjoint(_ATTENTION),
        train_mlp=not parts.isdisjoint(_MLP),
        train_unembed=not parts.isdisjoint(_UNEMBED),
    )


def reverse_kl_output(result: c.Result) -> m.ReverseKLOutput:
    """Return the answer to `mint/forward_backward_reverse_kl`."""
    assert isinstance(result, c.TrainResult)
    return m.ReverseKLOutput(
        losses=tuple(output["loss"] for output in result.outputs), metrics=result.metrics
    )


def train_output(result: c.Result) -> m.ForwardBackwardOutput:
    """Return the answer to `forward` and `forward_backward`."""
    assert isinstance(result, c.TrainResult)
    return m.ForwardBackwardOutput(outputs=result.outputs, metrics=result.metrics)


def optim_output(result: c.Result) -> m.JsonResult:
    """Return the answer to `optim_step`."""
    assert isinstance(result, c.OptimResult)
    return m.JsonResult(fields={"metrics": dict(result.metrics), "type": "optim_step"})


def sample_output(result: c.Result, last_n: int | None = None) -> m.SampleResponse:
    """Return the answer to `asample`, with the scores of the last `last_n` prompt tokens only."""
    assert isinstance(result, c.SampleResult)
    return m.SampleResponse(
        sequences=tuple(
            m.SampledSequence(
                tokens=sequence.tokens,
                logprobs=sequence.logprobs,
                stop_reason="stop" if sequence.stop_reason == "stop" else "length",
            )
            for sequence in result.sequences
        ),
        prompt_logprobs=_last(result.prompt_logprobs, last_n),
        topk_prompt_logprobs=_last(result.topk_prompt_logprobs, last_n),
        prompt_cache_hit_tokens=result.prompt_cache_hit_tokens,
    )


def _check_last_n(request: m.SampleRequest, num_tokens: int) -> None:
    last_n = request.prompt_logprobs_last_n
    if last_n is None:
        return
    if not request.prompt_logprobs:
        raise UserError("`prompt_logprobs_last_n` needs `prompt_logprobs`")
    if last_n >= num_tokens:
        raise UserError(
            f"`prompt_logprobs_last_n` is {last_n} and the prompt has {num_tokens} tokens; the"
            " first one has no score, so it has to be less"
        )


def _last(scores: tuple[T | None, ...] | None, count: int | None) -> tuple[T | None, ...] | None:
    if scores is None or count is None:
        return scores
    return (None,) * (len(scores) - count) + scores[-count:]


def _loss_config(request: m.LossInput, served: c.Capabilities) -> Mapping[str, float]:
    if request.loss_fn not in served.losses:
        way_out = served.unserved_losses.get(
            request.loss_fn, _choices(request.loss_fn, sorted(served.losses))
        )
        raise UserError(f"loss `{request.loss_fn}` is not served; {way_out}")
    accepted = served.losses[request.loss_fn]
    config: dict[str, float] = {}
    for name, value in (request.loss_fn_config or {}).items():
        if name not in accepted:
            choices = _choices(name, sorted(accepted)) if accepted else "it takes none"
            raise UserError(f"loss `{request.loss_fn}` has no setting `{name}`; {choices}")
        if isinstance(value, str) or not math.isfinite(value):
            raise UserError(f"`loss_fn_config.{name}` is {value!r}; it has to be a finite number")
        config[name] = value
    return config


def _tokens(place: str, model_input: m.ModelInput) -> npt.NDArray[np.int64]:
    parts = []
    for chunk in model_input.chunks:
        if chunk.tokens is None:
            raise UserError(
                f"{place} has a chunk of type `{chunk.type}`; this server takes `encoded_text` only"
            )
        parts.append(chunk.tokens)
    return np.concatenate(parts) if parts else np.zeros(0, dtype=np.int64)


def _token_ids(place: str, array: npt.NDArray[np.generic]) -> npt.NDArray[np.int64]:
    """Return token ids as integers: the client's tensors are float32 unless told otherwise."""
    ids = array.astype(np.int64)
    if not np.array_equal(ids, array):
        raise UserError(f"{place}: `target_tokens` has values that are not whole numbers")
    return ids


def _stops(
    stop: str | Iterable[int | str] | None,
) -> tuple[tuple[int, ...] | None, tuple[str, ...]]:
    """Return stop tokens and stop strings.

    An empty list turns every stop off, the model's own too.
    """
    if stop is None:
        return None, ()
    items = (stop,) if isinstance(stop, str) else tuple(stop)
    if not items:
        return (), ()
    strings = tuple(item for item in items if isinstance(item, str))
    if strings:
        if len(strings) != len(items):
            raise UserError("`sampling_params.stop` mixes strings and token ids; send one kind")
        if not all(strings):
            raise UserError("`sampling_params.stop` has an empty string, which would stop at once")
        return None, strings
    return tuple(item for item in items if isinstance(item, int)), ()


def _choices(name: str, accepted: list[str]) -> str:
    close = difflib.get_close_matches(name, accepted, n=1)
    hint = f" (did you mean `{close[0]}`?)" if close else ""
    return f"available: {', '.join(accepted)}{hint}"
