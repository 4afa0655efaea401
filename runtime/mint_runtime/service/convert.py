"""Wire requests to engine commands, and engine results to wire results.

Only what the engine has no words for is refused here: base models and losses that are not served,
settings a loss does not have, and inputs that are not text. Numbers, shapes and ranges are the
engine's to check.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping

import numpy as np
import numpy.typing as npt

from mint_runtime.engine import commands as c
from mint_runtime.errors import NotFound, UserError
from mint_runtime.wire import messages as m


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
    losses: Mapping[str, frozenset[str]],
    *,
    backward: bool,
) -> c.TrainStep:
    """Return the step that `forward` or `forward_backward` asks for.

    Raises:
        UserError: A datum, the loss or its configuration cannot be used; the text says which and
            why.
    """
    config = _loss_config(request, losses)
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
        UserError: The prompt is not text, or a stop string is empty.
    """
    tokens = _tokens("the prompt", request.prompt)
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
        prompt_logprobs=bool(request.prompt_logprobs),
        topk_prompt_logprobs=request.topk_prompt_logprobs,
    )


def train_output(result: c.Result) -> m.ForwardBackwardOutput:
    """Return the answer to `forward` and `forward_backward`."""
    assert isinstance(result, c.TrainResult)
    return m.ForwardBackwardOutput(outputs=result.outputs, metrics=result.metrics)


def optim_output(result: c.Result) -> m.JsonResult:
    """Return the answer to `optim_step`."""
    assert isinstance(result, c.OptimResult)
    return m.JsonResult(fields={"metrics": dict(result.metrics), "type": "optim_step"})


def sample_output(result: c.Result) -> m.SampleResponse:
    """Return the answer to `asample`."""
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
        prompt_logprobs=result.prompt_logprobs,
        topk_prompt_logprobs=result.topk_prompt_logprobs,
    )


def _loss_config(request: m.LossInput, losses: Mapping[str, frozenset[str]]) -> Mapping[str, float]:
    if request.loss_fn not in losses:
        raise UserError(
            f"loss `{request.loss_fn}` is not served; {_choices(request.loss_fn, sorted(losses))}"
        )
    accepted = losses[request.loss_fn]
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


def _stops(
    stop: str | Iterable[int] | Iterable[str] | None,
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
        if not all(strings):
            raise UserError("`sampling_params.stop` has an empty string, which would stop at once")
        return None, strings
    return tuple(item for item in items if isinstance(item, int)), ()


def _choices(name: str, accepted: list[str]) -> str:
    close = difflib.get_close_matches(name, accepted, n=1)
    hint = f" (did you mean `{close[0]}`?)" if close else ""
    return f"available: {', '.join(accepted)}{hint}"
