"""Errors a client can meet.

    RuntimeServerError
    |-- UserError         400, category "user": the request is wrong; the text says how to mend it
    |   |-- NotFound      404
    |   |-- Unprocessable 422
    |   `-- Unauthorized  401
    `-- ServerFault       500, category "server": our side failed; the log has the request id

On submission the status goes out with `{"detail": text}`; from a future the same text goes out as
`{"error": text, "category": category}` with status 200. All of them pickle.
"""

from __future__ import annotations


class RuntimeServerError(Exception):
    """Root of this package's errors. The first argument is the sentence a client reads."""

    status = 500
    category = "server"


class UserError(RuntimeServerError, ValueError):
    """The caller can mend this."""

    status = 400
    category = "user"


class NotFound(UserError):
    """A model, sampler, checkpoint or future with this id is not known."""

    status = 404


class Unprocessable(UserError):
    """The body does not have the shape of the endpoint."""

    status = 422


class Unauthorized(UserError):
    """The key is missing or not the server's."""

    status = 401


class ServerFault(RuntimeServerError):
    """A failure on the server's side, such as a full disk."""
