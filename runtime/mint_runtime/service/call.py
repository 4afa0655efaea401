"""One HTTP request on its way to a handler: key, body, decoding, errors.

A handler gets a `Call` and returns a response. Operations that end in a future report even our own
bugs through it: clients repeat a status of 500 for minutes, but a failed future ends at once.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Generic, TypeVar

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from mint_runtime.errors import RuntimeServerError, Unprocessable
from mint_runtime.service.auth import ExpiredToken
from mint_runtime.service.decoding import SMALL_BYTES
from mint_runtime.service.ordering import failure_of
from mint_runtime.service.services import Services
from mint_runtime.wire import codec, errors
from mint_runtime.wire.routes import Route

_LOG = logging.getLogger("mint_runtime.service")
_MAX_PAGE = 1000

BodyT = TypeVar("BodyT")


@dataclass(frozen=True, slots=True)
class Call(Generic[BodyT]):
    """A request whose key was accepted.

    `body` is what the endpoint's `prepare` made of the bytes.
    """

    services: Services
    request: Request
    body: BodyT

    def path(self, name: str) -> str:
        """Return a segment of the path."""
        return str(self.request.path_params[name])

    def page(self, default_limit: int) -> tuple[int, int]:
        """Return `limit` and `offset` of a listing.

        Raises:
            Unprocessable: One of them is not a count.
        """
        limit = self._count("limit", default_limit)
        return min(limit, _MAX_PAGE), self._count("offset", 0)

    def _count(self, name: str, default: int) -> int:
        text = self.request.query_params.get(name)
        if text is None:
            return default
        if not text.isascii() or not text.isdigit() or len(text) > 9:
            raise Unprocessable(f"`{name}` is {text!r}; it has to be a count")
        return int(text)


Handler = Callable[[Call[Any]], Awaitable[Response]]
Prepare = Callable[[Services, Any], Any]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A handler.

    `prepare` turns the decoded request into `Call.body`, off the event loop and in order of
    arrival.
    """

    handle: Handler
    prepare: Prepare | None = None
    is_future: bool = False


async def answer(
    route: Route, endpoint: Endpoint, services: Services, request: Request
) -> Response:
    """Return the response to one request, whatever happens."""
    try:
        if not route.public:
            services.keys.check(request.headers.get("x-api-key"))
        body = b"" if route.own_body else await _read(route, services, request)
        prepared = await _prepared(route, endpoint, services, request, body)
        return await endpoint.handle(Call(services, request, prepared))
    except (RuntimeServerError, errors.WireError) as error:
        return (
            _own_failure(endpoint, services, error)
            if error.status >= 500
            else error_response(error)
        )
    except ClientDisconnect:
        return Response(status_code=400)
    except Exception as error:
        return _own_failure(endpoint, services, error)


def acknowledgement(request_id: str, **fields: object) -> Response:
    """Return the answer that names a future."""
    body = codec.encode_fields({"request_id": request_id, **fields})
    return Response(body, media_type=codec.JSON)


def error_response(error: RuntimeServerError | errors.WireError) -> Response:
    """Return an error as status and `detail`."""
    headers = {}
    if isinstance(error, ExpiredToken):
        headers["WWW-Authenticate"] = 'Bearer error="invalid_token"'
    elif error.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    body = errors.submission_body(str(error))
    return Response(body, status_code=error.status, media_type=codec.JSON, headers=headers)


async def _read(route: Route, services: Services, request: Request) -> bytes:
    """Return the body.

    One that is too large is read to its end, so that the client sees the answer.
    """
    encoding = request.headers.get("content-encoding", "identity")
    if encoding != "identity":
        raise errors.UnsupportedEncoding(
            f"content encoding `{encoding}` is not read here; send it plain"
        )
    limit = services.settings.max_body_bytes
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if route.request is not None and size <= limit:
            chunks.append(chunk)
    if size > limit:
        raise BodyTooLarge(
            f"the body has {size} bytes, at most {limit} are read; send fewer datums at once"
        )
    return b"".join(chunks)


class BodyTooLarge(errors.WireError):
    """The body has more bytes than the server is set to read."""

    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE


async def _prepared(
    route: Route, endpoint: Endpoint, services: Services, request: Request, body: bytes
) -> Any:
    kind = route.request
    if kind is None:
        return None
    content_type = request.headers.get("content-type", codec.JSON)

    def work() -> Any:
        decoded = codec.decode(kind, body, content_type)
        return endpoint.prepare(services, decoded) if endpoint.prepare else decoded

    # Only endpoints that queue something have to keep the order of arrival.
    if endpoint.prepare is None and len(body) <= SMALL_BYTES:
        return work()
    return await services.decoder.run(work, len(body))


def _own_failure(endpoint: Endpoint, services: Services, error: Exception) -> Response:
    if endpoint.is_future:
        request_id = services.futures.open()
        services.futures.resolve(request_id, failure_of(error, request_id))
        return acknowledgement(request_id)
    if isinstance(error, RuntimeServerError):
        return error_response(error)
    incident = secrets.token_hex(4)
    _LOG.error("request %s failed", incident, exc_info=error)
    detail = f"the server failed; its log has the details under request `{incident}`"
    return JSONResponse({"detail": detail}, status_code=500, headers={"x-should-retry": "false"})
