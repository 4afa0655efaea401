"""Counts and times every request around its endpoint."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response

from mint_runtime.service.services import Services
from mint_runtime.wire.routes import Route

# Under this name long polls are found among the open requests.
LONG_POLL = "retrieve_future"


async def observed(
    services: Services, route: Route, request: Request, respond: Callable[[], Awaitable[Response]]
) -> Response:
    """Return what `respond` returns, and count it under the name of `route`."""
    with services.steps.metrics.request(request.method, route.name) as status:
        response = await respond()
        status.append(response.status_code)
    return response


def num_long_polls(services: Services) -> int:
    """Return how many clients wait for a result now."""
    return services.steps.metrics.open_requests(LONG_POLL)
