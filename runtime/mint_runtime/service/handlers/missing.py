"""Endpoints of the published clients that this server leaves out: 404 with the reason."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from mint_runtime.errors import NotFound
from mint_runtime.service.call import Call, Endpoint
from mint_runtime.wire.routes import MISSING


def refusing(feature: str) -> Endpoint:
    """Return the endpoint of something that is not served."""

    async def refuse(call: Call[Any]) -> Response:
        raise NotFound(f"{feature} is not served here ({call.request.url.path})")

    return Endpoint(refuse)


ENDPOINTS = {name: refusing(feature) for _, _, name, feature in MISSING}
