"""The other endpoints' machinery as OpenAI's clients expect it: bearer keys, their errors."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from mint_runtime.service.call import Endpoint, answer
from mint_runtime.service.credentials import with_key_header
from mint_runtime.service.openai.errors import translated
from mint_runtime.service.services import Services
from mint_runtime.wire.routes import Route


async def answer_openai(
    route: Route, endpoint: Endpoint, services: Services, request: Request
) -> Response:
    """Return the response to one request, whatever happens."""
    response = await answer(route, endpoint, services, with_key_header(request))
    return response if response.status_code < 400 else translated(response)
