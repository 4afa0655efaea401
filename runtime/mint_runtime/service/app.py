"""The ASGI application: the table of routes joined with the handlers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route as HttpRoute

from mint_runtime.engine.protocol import Engine
from mint_runtime.service.call import Endpoint, answer
from mint_runtime.service.handlers import ENDPOINTS
from mint_runtime.service.handlers.missing import refusing
from mint_runtime.service.observed import observed
from mint_runtime.service.openai.answer import answer_openai
from mint_runtime.service.services import Services, running_services
from mint_runtime.service.settings import ServiceSettings
from mint_runtime.wire.routes import ROUTES, Route


class App(Starlette):
    """The application, and a way to let waiting clients go before it stops."""

    services: Services | None = None

    def release_waiting(self) -> None:
        """End every long poll now. For the start of a shutdown, which would wait for them."""
        if self.services is not None:
            self.services.futures.close()


def build_app(engine: Engine, settings: ServiceSettings) -> App:
    """Return the application over `engine`, which stays the caller's to close."""

    @asynccontextmanager
    async def lifespan(app: App) -> AsyncIterator[None]:
        async with running_services(settings, engine) as services:
            app.services = services
            yield
            app.services = None

    missing = {name: refusing(words) for name, words in settings.profile.routes.items()}
    endpoints = {**ENDPOINTS, **missing}
    routes = [
        HttpRoute(
            route.path,
            _endpoint(route, endpoints[route.name]),
            methods=[route.method],
            name=f"{route.method} {route.path}",
        )
        for route in ROUTES
    ]
    return App(routes=routes, lifespan=lifespan, exception_handlers={HTTPException: _http_error})


def _endpoint(route: Route, endpoint: Endpoint) -> Callable[[Request], Awaitable[Response]]:
    async def respond(request: Request) -> Response:
        services: Services | None = request.app.services
        assert services is not None
        answered = answer_openai if route.openai else answer
        return await observed(
            services, route, request, lambda: answered(route, endpoint, services, request)
        )

    return respond


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    detail = error.detail
    if error.status_code == 404:
        detail = f"{request.method} {request.url.path} is not an endpoint of this server"
    services: Services | None = request.app.services
    if services is not None:
        services.steps.metrics.unknown_request(request.method, error.status_code)
    return JSONResponse({"detail": detail}, status_code=error.status_code, headers=error.headers)
