"""Log-probabilities in the two shapes that OpenAI's endpoints have.

They are of the distribution that was sampled from, at its temperature, before top-k and top-p;
those of a prompt are at temperature 1. The engine reports the token that was drawn and not those it
was drawn from, so alternatives exist for prompts, and for greedy answers, whose token is its own
best.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from mint_runtime.engine.commands import SampleResult
from mint_runtime.service.openai.prompts import Prompt
from mint_runtime.service.openai.text import Detokenizer, TokenInfo
from mint_runtime.service.openai.tokenizer import Tokenizer
from mint_runtime.wire.openai import BadField, ChatRequest, CompletionRequest

_SMALLEST = -9999.0
"""Stands for minus infinity, which JSON has no word for."""


def check_completion(request: CompletionRequest) -> None:
    """Refuse log-probabilities that cannot be served.

    Raises:
        BadField: They would be of alternatives to sampled tokens, or of a prompt that is streamed.
    """
    wanted = request.logprobs
    if wanted is None:
        return
    if request.stream and request.echo:
        raise BadField(
            "`logprobs` of an echoed prompt cannot be streamed; drop `stream`", "logprobs"
        )
    if request.max_tokens > 0:
        _check_alternatives("logprobs", wanted, request.temperature)


def check_chat(request: ChatRequest) -> None:
    """Refuse log-probabilities that cannot be served.

    Raises:
        BadField: They would be of alternatives to sampled tokens, or `logprobs` is not set.
    """
    if request.top_logprobs and not request.logprobs:
        raise BadField("`top_logprobs` needs `logprobs` to be true", "top_logprobs")
    _check_alternatives("top_logprobs", request.top_logprobs, request.temperature)


def completion_view(
    tokens: Iterable[TokenInfo], tokenizer: Tokenizer, *, start: int, num_top: int
) -> dict[str, Any]:
    """Return `logprobs` of a completion, whose text begins at character `start`."""
    view = _empty(num_top)
    for one in tokens:
        text, logprob = tokenizer.token_text(one.token), _finite(one.logprob)
        _append(view, text, logprob, start + one.offset, {text: logprob})
    return view


def prompt_view(
    prompt: Prompt, result: SampleResult, tokenizer: Tokenizer, num_top: int
) -> dict[str, Any]:
    """Return `logprobs` of an echoed prompt. Its first token has none."""
    view = _empty(num_top)
    text_so_far, offset = Detokenizer(tokenizer.decode, ()), 0
    logprobs = result.prompt_logprobs or (None,) * len(prompt.tokens)
    alternatives = result.topk_prompt_logprobs or (None,) * len(prompt.tokens)
    for token, logprob, others in zip(prompt.tokens, logprobs, alternatives, strict=True):
        text = tokenizer.token_text(token)
        top = {tokenizer.token_text(other): _finite(value) for other, value in others or ()}
        if logprob is not None:
            top[text] = _finite(logprob)
        value = None if logprob is None else _finite(logprob)
        _append(view, text, value, offset, top or None)
        offset += len(text_so_far.add(token))
    return view


def joined(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Return two views, one after the other."""
    return {name: None if one[name] is None else [*one[name], *other[name]] for name in one}


def chat_view(tokens: Iterable[TokenInfo], tokenizer: Tokenizer, num_top: int) -> dict[str, Any]:
    """Return `logprobs` of a chat completion."""
    content = []
    for one in tokens:
        entry = _chat_entry(tokenizer.token_text(one.token), one.logprob)
        content.append({**entry, "top_logprobs": [entry] if num_top else []})
    return {"content": content, "refusal": None}


def _chat_entry(text: str, logprob: float) -> dict[str, Any]:
    is_whole = "\N{REPLACEMENT CHARACTER}" not in text
    return {
        "token": text,
        "logprob": _finite(logprob),
        "bytes": list(text.encode()) if is_whole else None,
    }


def _empty(num_top: int) -> dict[str, Any]:
    return {
        "tokens": [],
        "token_logprobs": [],
        "top_logprobs": [] if num_top else None,
        "text_offset": [],
    }


def _append(
    view: dict[str, Any],
    text: str,
    logprob: float | None,
    offset: int,
    top: dict[str, float] | None,
) -> None:
    view["tokens"].append(text)
    view["token_logprobs"].append(logprob)
    view["text_offset"].append(offset)
    if view["top_logprobs"] is not None:
        view["top_logprobs"].append(top)


def _check_alternatives(field: str, wanted: int, temperature: float) -> None:
    if wanted > 1 or (wanted == 1 and temperature > 0):
        raise BadField(
            f"`{field}` is {wanted}; alternatives to sampled tokens are not served:"
            " 0 reports the token that was drawn, and 1 needs `temperature` 0",
            field,
        )


def _finite(logprob: float) -> float:
    return max(float(logprob), _SMALLEST)
