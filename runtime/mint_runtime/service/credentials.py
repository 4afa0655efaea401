"""Where a request carries its key: `X-API-Key`, or `Authorization: Bearer` as others send it."""

from __future__ import annotations

from starlette.requests import Request

from mint_runtime.service.services import Services

_BEARER = "bearer "


def offered_key(request: Request) -> str | None:
    """Return the key of a request, from either header; `X-API-Key` goes first."""
    key = request.headers.get("x-api-key")
    if key:
        return key
    authorization = request.headers.get("authorization", "")
    if authorization.lower().startswith(_BEARER):
        return authorization[len(_BEARER) :].strip()
    return None


def with_key_header(request: Request) -> Request:
    """Return the request with its key in `X-API-Key`, where all endpoints look for it."""
    key = offered_key(request)
    if key is None or request.headers.get("x-api-key"):
        return request
    header = (b"x-api-key", key.encode("latin-1", "replace"))
    scope = {**request.scope, "headers": [*request.scope["headers"], header]}
    return Request(scope, request.receive, request._send)


def check_reader(services: Services, request: Request) -> None:
    """Let somebody read about the server: with its key if it has one, else anybody.

    A server without a key listens on this machine only, and what is read is not handed to other
    sites by a browser, so monitoring tools need no made-up key there.

    Raises:
        Unauthorized: The server has a key and the request does not carry it.
    """
    if services.settings.api_key is not None:
        services.keys.check(offered_key(request))
