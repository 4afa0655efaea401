"""Is the server up, what does it serve, and how should a client talk to it."""

from __future__ import annotations

from starlette.responses import JSONResponse, Response

from mint_runtime.service.call import Call, Endpoint

# Without token mode the client library refuses `sk-` keys before it sends one. Its default
# transport follows redirects, which breaks archive links; the other one does not.
_CLIENT_CONFIG = {"pjwt_auth_enabled": True, "use_pyqwest_transport": False}


async def health(call: Call[None]) -> Response:
    """Answer that the server is up. Needs no key."""
    del call
    return JSONResponse({"status": "ok"})


async def client_config(call: Call[object]) -> Response:
    """Answer `client/config`, which clients fetch first."""
    del call
    return JSONResponse(_CLIENT_CONFIG)


async def dynamic_config(call: Call[None]) -> Response:
    """Answer `client/dynamic_config`; nothing departs from the defaults."""
    del call
    return JSONResponse({})


async def auth_token(call: Call[None]) -> Response:
    """Exchange a key, or a token, for a new token."""
    return JSONResponse({"jwt": call.services.keys.issue()})


async def telemetry(call: Call[None]) -> Response:
    """Accept and drop the client's reports.

    A client whose reports fail repeats them every second.
    """
    del call
    return JSONResponse({"status": "accepted"})


async def get_server_capabilities(call: Call[None]) -> Response:
    """List the base models that are served."""
    models = [
        {
            "model_name": info.name,
            "max_context_length": info.max_context_length,
            "trainable": True,
            "sampleable": True,
        }
        for info in call.services.capabilities.base_models
    ]
    return JSONResponse({"supported_models": models})


ENDPOINTS = {
    "health": Endpoint(health),
    "client_config": Endpoint(client_config),
    "dynamic_config": Endpoint(dynamic_config),
    "auth_token": Endpoint(auth_token),
    "telemetry": Endpoint(telemetry),
    "get_server_capabilities": Endpoint(get_server_capabilities),
}
