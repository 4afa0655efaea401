"""OpenAI-style endpoints: completions, chat completions, and the models they take."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any

from starlette.responses import JSONResponse, Response, StreamingResponse

from mint_runtime.engine.commands import SampleResult
from mint_runtime.errors import RuntimeServerError
from mint_runtime.service.call import Call, Endpoint
from mint_runtime.service.openai import prepare
from mint_runtime.service.openai.errors import body_of, response_of
from mint_runtime.service.openai.generation import draw, stream
from mint_runtime.service.openai.keeper import OpenAI
from mint_runtime.service.openai.listing import find_model, list_models
from mint_runtime.service.openai.shapes import Shape
from mint_runtime.service.openai.text import Piece
from mint_runtime.service.ordering import failure_of
from mint_runtime.service.services import Services
from mint_runtime.wire.openai import BadField, ChatRequest, CompletionRequest, OpenBody, parse

_HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
_DONE = b"data: [DONE]\n\n"


async def completions(call: Call[OpenBody]) -> Response:
    """Continue prompts."""
    return await _answered(call, CompletionRequest, prepare.completion)


async def chat_completions(call: Call[OpenBody]) -> Response:
    """Answer a conversation."""
    return await _answered(call, ChatRequest, prepare.chat)


async def models(call: Call[None]) -> Response:
    """List what `model` may be: base models, then the latest checkpoints."""
    listed = await list_models(call.services)
    return JSONResponse({"object": "list", "data": listed})


async def model(call: Call[None]) -> Response:
    """Describe one base model or checkpoint."""
    try:
        return JSONResponse(await find_model(call.services, call.path("model")))
    except RuntimeServerError as error:
        return response_of(error)


async def _answered(
    call: Call[OpenBody],
    kind: type[Any],
    prepared: Callable[[OpenAI, Any], Awaitable[Shape]],
) -> Response:
    try:
        request = parse(kind, call.body)
        shape = await prepared(call.services.openai, request)
        if request.stream:
            return await _streamed(call.services, shape, request.stream_options.include_usage)
        choices, results = await draw(call.services, call.services.openai.targets, shape.work)
        return JSONResponse(shape.whole(choices, results))
    except (BadField, RuntimeServerError) as error:
        return response_of(error)


async def _streamed(services: Services, shape: Shape, with_usage: bool) -> Response:
    """Return a stream that has its first piece, so that a request that fails at once has a status.

    Raises:
        RuntimeServerError: The engine refused the request.
    """
    results: list[SampleResult] = []
    pieces = stream(services, services.openai.targets, shape.work, results)
    first = await anext(pieces, None)
    events = _events(shape, first, pieces, results, with_usage)
    return StreamingResponse(events, media_type="text/event-stream", headers=_HEADERS)


async def _events(
    shape: Shape,
    first: tuple[int, Piece] | None,
    pieces: AsyncIterator[tuple[int, Piece]],
    results: list[SampleResult],
    with_usage: bool,
) -> AsyncIterator[bytes]:
    no_usage = {"usage": None} if with_usage else {}
    async with aclosing(pieces):  # type: ignore[type-var]
        for body in shape.opening():
            yield _event({**body, **no_usage})
        try:
            async for index, piece in _chain(first, pieces):
                for body in shape.chunk(index, piece):
                    yield _event({**body, **no_usage})
        except Exception as error:
            # The status is sent; what is left is to say it in the stream. The log has the details.
            failure_of(error, f"stream-{time.time_ns():x}")
            yield _event(body_of(error))
            return
        if with_usage:
            yield _event(shape.closing(results))
        yield _DONE


async def _chain(
    first: tuple[int, Piece] | None, rest: AsyncIterator[tuple[int, Piece]]
) -> AsyncIterator[tuple[int, Piece]]:
    if first is not None:
        yield first
    async for one in rest:
        yield one


def _event(body: dict[str, Any]) -> bytes:
    return f"data: {json.dumps(body, ensure_ascii=False)}\n\n".encode()


ENDPOINTS = {
    "openai_completions": Endpoint(completions),
    "openai_chat_completions": Endpoint(chat_completions),
    "openai_models": Endpoint(models),
    "openai_model": Endpoint(model),
}
