"""Errors in the shape that OpenAI's clients read."""

from __future__ import annotations

import json
import re

from starlette.responses import JSONResponse, Response

from mint_runtime.errors import NotFound, RuntimeServerError, UserError
from mint_runtime.wire.openai import BadField, error_body

_CODES = {401: "invalid_api_key", 404: "not_found"}
# Our sentences begin with the field they are about.
_FIELD = re.compile(r"`(\w+)`")


class UnknownModel(NotFound):
    """`model` names neither a base model, nor a checkpoint, nor a sampler."""


class NotServed(UserError):
    """A combination of fields that each are served. The second argument is the field to change."""


def response_of(error: RuntimeServerError | BadField) -> Response:
    """Return the answer to a request that failed."""
    status = 400 if isinstance(error, BadField) else error.status
    return JSONResponse(body_of(error), status_code=status)


def body_of(error: Exception) -> dict[str, object]:
    """Return the body for `error`; one that is a bug of ours says no more than that."""
    if isinstance(error, UnknownModel):
        return _body(str(error), 404, "model", "model_not_found")
    if isinstance(error, BadField | NotServed):
        return _body(str(error.args[0]), 400, str(error.args[1]))
    if isinstance(error, RuntimeServerError):
        field = _FIELD.match(str(error))
        return _body(str(error), error.status, field[1] if field else None)
    return _body("the server failed; its log has the details", 500)


def translated(response: Response) -> Response:
    """Return an answer of the other endpoints' machinery, such as a refused key, in this shape."""
    content = json.loads(bytes(response.body))
    if "error" in content:
        return response
    headers = {
        name: value
        for name, value in response.headers.items()
        if name not in {"content-length", "content-type"}
    }
    body = _body(str(content["detail"]), response.status_code)
    return JSONResponse(body, status_code=response.status_code, headers=headers)


def _body(
    message: str, status: int, param: str | None = None, code: str | None = None
) -> dict[str, object]:
    kind = "invalid_request_error" if status < 500 else "server_error"
    return error_body(message, kind=kind, param=param, code=code or _CODES.get(status))
