"""What the wire layer rejects, and the two bodies in which any error travels.

On submission an error is a status with `{"detail": text}`. From `retrieve_future` the same text is
`{"error": text, "category": category}` with status 200, because clients retry every other status of
that endpoint.
"""

from __future__ import annotations

import json
from http import HTTPStatus


class WireError(ValueError):
    """A body that cannot be read. The first argument is the sentence a client reads."""

    status = HTTPStatus.BAD_REQUEST


class MalformedBody(WireError):
    """The bytes are not the format that the content type names."""


class WrongShape(WireError):
    """The bytes are well formed, but a field is missing or has the wrong type."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY


class UnsupportedEncoding(WireError):
    """The content type or content encoding is not one this server reads."""

    status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE


def submission_body(detail: str) -> bytes:
    """Return the body of an error status."""
    return json.dumps({"detail": detail}).encode()


def failure_body(error: str, category: str) -> bytes:
    """Return the body with which `retrieve_future` reports a failed operation."""
    return json.dumps({"error": error, "category": category}).encode()
