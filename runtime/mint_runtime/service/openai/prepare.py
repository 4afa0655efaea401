"""From a body to work for the engine and the shape of its answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

from mint_runtime.service.openai import logprobs
from mint_runtime.service.openai.generation import Work, sample_command
from mint_runtime.service.openai.keeper import OpenAI
from mint_runtime.service.openai.prompts import chat_prompt, completion_prompts
from mint_runtime.service.openai.shapes import ChatShape, CompletionShape, Shape
from mint_runtime.service.openai.targets import Target
from mint_runtime.service.openai.tokenizer import Tokenizer
from mint_runtime.wire.openai import BadField, ChatRequest, CompletionRequest, Generation


async def completion(keeper: OpenAI, request: CompletionRequest) -> Shape:
    """Return a completion that is ready to be drawn; its target is acquired.

    Raises:
        BadField: A field or a combination of fields cannot be served.
        UnknownModel: `model` names nothing.
    """
    logprobs.check_completion(request)
    _check_stops(request)

    def work(target: Target, tokenizer: Tokenizer) -> Work:
        prompts = completion_prompts(request, tokenizer)
        of_prompt = request.echo and request.logprobs is not None
        commands = tuple(
            replace(
                sample_command(request, target, tokenizer, prompt, request.max_tokens),
                prompt_logprobs=of_prompt,
                topk_prompt_logprobs=(request.logprobs or 0) if of_prompt else 0,
            )
            for prompt in prompts
        )
        return Work(
            op="completions",
            target=target,
            tokenizer=tokenizer,
            prompts=prompts,
            commands=commands,
            num_choices=request.n,
            stop_strings=request.stop_strings(),
        )

    return CompletionShape(request, await _prepared(keeper, request.model, work))


async def chat(keeper: OpenAI, request: ChatRequest) -> Shape:
    """Return a chat completion that is ready to be drawn; its target is acquired.

    Raises:
        BadField: A field or a combination of fields cannot be served.
        UnknownModel: `model` names nothing.
    """
    logprobs.check_chat(request)
    _check_stops(request)

    def work(target: Target, tokenizer: Tokenizer) -> Work:
        prompt = chat_prompt(request, tokenizer)
        command = sample_command(request, target, tokenizer, prompt, request.token_limit())
        return Work(
            op="chat_completions",
            target=target,
            tokenizer=tokenizer,
            prompts=(prompt,),
            commands=(command,),
            num_choices=request.n,
            stop_strings=request.stop_strings(),
        )

    return ChatShape(request, await _prepared(keeper, request.model, work))


async def _prepared(keeper: OpenAI, model: str, work: Callable[[Target, Tokenizer], Work]) -> Work:
    target = await keeper.targets.acquire(model)
    try:
        tokenizer = await keeper.tokenizers.get(target.base.tokenizer_id)
        # Long prompts take a while to tokenize.
        return await asyncio.to_thread(work, target, tokenizer)
    except BaseException:
        keeper.targets.release(target)
        raise


def _check_stops(request: Generation) -> None:
    if not all(request.stop_strings()):
        raise BadField("`stop` has an empty string, which would stop at once", "stop")
