"""Sampling commands to requests of the sampler and back: checks, defaults and stop rules.

Stop rules: `stop_tokens=None` means the model's own end-of-sequence tokens, with or without stop
strings; given stop tokens replace them, and an empty tuple removes them.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from functools import partial

import numpy as np

from mint_runtime.engine.commands import (
    MAX_SAMPLES,
    Result,
    Sample,
    SampledSequence,
    SampledToken,
    SampleResult,
)
from mint_runtime.engine.models import Sampler
from mint_runtime.engine.validation import check_tokens
from mint_runtime.errors import UserError
from mint_runtime.model.load import BaseModel
from mint_runtime.sampler.logits import Choice
from mint_runtime.sampler.request import Continuation, Draw, Generation, NewToken, Request
from mint_runtime.sampler.stop import StopRule


def make_request(sampler: Sampler, command: Sample, future: Future[Result]) -> Request:
    """Return what the scheduler of the sampler's base model has to do for `command`.

    The answer goes to `future`, which must be running already.

    Raises:
        UserError: a parameter is out of range, a token outside the vocabulary, or the context too
            short. Nothing has happened to the future then.
    """
    base = sampler.base
    prompt_T = check_tokens(command.tokens, "`prompt`", base)
    return Request(
        adapter=sampler.adapter,
        prompt_T=prompt_T,
        draw=_draw(base, len(prompt_T), command),
        done=lambda generation: future.set_result(_result(generation)),
        # The frames of a traceback hold the tensors of a pass, and the future itself.
        failed=lambda error: future.set_exception(error.with_traceback(None)),
        listener=_listener(command.listener),
    )


def _listener(tell: Callable[[SampledToken], None] | None) -> Callable[[NewToken], None] | None:
    if tell is None:
        return None

    def listen(new: NewToken) -> None:
        tell(
            SampledToken(
                sequence=new.sequence,
                token=new.token,
                logprob=new.logprob,
                stop_reason=new.stop_reason,
            )
        )

    return listen


def _draw(base: BaseModel, num_prompt: int, command: Sample) -> Draw:
    _check_numbers(base, command)
    return Draw(
        num_samples=command.num_samples,
        max_tokens=_max_tokens(base, num_prompt, command.max_tokens),
        choice=Choice(temperature=command.temperature, top_k=command.top_k, top_p=command.top_p),
        seed=command.seed,
        stop=_stop_rule(base, command),
        # Clients that ask for the best tokens of the prompt expect its log-probabilities too.
        prompt_logprobs=command.prompt_logprobs or command.topk_prompt_logprobs > 0,
        num_top_prompt=command.topk_prompt_logprobs,
    )


def _check_numbers(base: BaseModel, command: Sample) -> None:
    infinity = float("inf")
    checks = (
        (
            "num_samples",
            command.num_samples,
            1 <= command.num_samples <= MAX_SAMPLES,
            f"1 to {MAX_SAMPLES}",
        ),
        ("temperature", command.temperature, 0 <= command.temperature < infinity, "0 or above"),
        ("top_p", command.top_p, 0 < command.top_p <= 1, "above 0 and at most 1"),
        ("top_k", command.top_k, command.top_k >= -1, "at least 1, or -1 for all tokens"),
        (
            "topk_prompt_logprobs",
            command.topk_prompt_logprobs,
            0 <= command.topk_prompt_logprobs <= base.vocab_size,
            f"0 to {base.vocab_size}",
        ),
    )
    for name, value, is_valid, accepted in checks:
        if not is_valid:
            raise UserError(f"`{name}` is {value}; it must be {accepted}")


def _max_tokens(base: BaseModel, num_prompt: int, requested: int | None) -> int:
    room = base.max_context_length - num_prompt
    if room < 0:
        raise UserError(
            f"the prompt has {num_prompt} tokens; {base.name!r} takes {base.max_context_length}"
        )
    if requested is None:
        return room
    if not 0 <= requested <= room:
        raise UserError(
            f"`max_tokens` is {requested}; after a prompt of {num_prompt} tokens "
            f"{base.name!r} has room for {room}"
        )
    return requested


def _stop_rule(base: BaseModel, command: Sample) -> StopRule:
    tokens = base.eos_tokens if command.stop_tokens is None else frozenset(command.stop_tokens)
    if not command.stop_strings:
        return StopRule(tokens=tokens)
    if "" in command.stop_strings:
        raise UserError("`stop` holds an empty string, which every text contains; remove it")
    if base.tokenizer is None:
        raise UserError(
            f"base model {base.name!r} has no tokenizer here, so `stop` must be token ids, "
            "not strings"
        )
    decode = partial(
        base.tokenizer.decode, skip_special_tokens=False, clean_up_tokenization_spaces=False
    )
    return StopRule(tokens=tokens, strings=command.stop_strings, decode=decode)


def _result(generation: Generation) -> SampleResult:
    prompt, top = generation.prompt_logprobs, generation.top_prompt
    return SampleResult(
        sequences=tuple(_sequence(continuation) for continuation in generation.continuations),
        prompt_logprobs=None if prompt is None else (None, *prompt),
        topk_prompt_logprobs=None if top is None else (None, *(tuple(row) for row in top)),
        prompt_cache_hit_tokens=generation.num_cached,
    )


def _sequence(continuation: Continuation) -> SampledSequence:
    return SampledSequence(
        tokens=np.array(continuation.tokens, dtype=np.int64),
        logprobs=np.array(continuation.logprobs, dtype=np.float32),
        stop_reason=continuation.stop_reason,
    )
