"""A server that answers the client's protocol without doing anything: what the client itself costs.

Every request that ends in a future is answered at once, and so is the future. Started as
`python -m benchmarks.stub_server PORT`.
"""

from __future__ import annotations

import itertools
import json
import sys
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

_numbers = itertools.count()
_results: dict[str, dict[str, Any]] = {}


def _acknowledge(result: dict[str, Any]) -> Response:
    request_id = f"request-{next(_numbers)}"
    _results[request_id] = result
    return JSONResponse({"request_id": request_id})


async def _config(request: Request) -> Response:
    return JSONResponse({"pjwt_auth_enabled": False, "use_pyqwest_transport": False})


async def _create_session(request: Request) -> Response:
    return JSONResponse({"session_id": f"session-{next(_numbers)}", "type": "create_session"})


async def _heartbeat(request: Request) -> Response:
    return JSONResponse({"type": "session_heartbeat"})


async def _create_model(request: Request) -> Response:
    body = await request.json()
    model_id = f"{body['session_id']}:train:{body['model_seq_id']}"
    return _acknowledge({"model_id": model_id, "type": "create_model"})


async def _train(request: Request) -> Response:
    body = json.loads(await request.body())
    given = body.get("forward_backward_input") or body["forward_input"]
    outputs = []
    for datum in given["data"]:
        shape = datum["loss_fn_inputs"]["target_tokens"]["shape"]
        values = {"data": [0.0] * shape[0], "dtype": "float32", "shape": shape}
        outputs.append({"logprobs": values})
    return _acknowledge(
        {"loss_fn_output_type": "ArrayRecord", "loss_fn_outputs": outputs, "metrics": {}}
    )


async def _optim_step(request: Request) -> Response:
    await request.body()
    return _acknowledge({"metrics": {}, "type": "optim_step"})


async def _retrieve(request: Request) -> Response:
    body = await request.json()
    return JSONResponse(_results.pop(body["request_id"]))


async def _health(request: Request) -> Response:
    return JSONResponse({"status": "ok"})


def _post(path: str, handler: Any) -> Route:
    return Route(f"/api/v1/{path}", handler, methods=["POST"])


app = Starlette(
    routes=[
        _post("client/config", _config),
        _post("create_session", _create_session),
        _post("session_heartbeat", _heartbeat),
        _post("telemetry", _heartbeat),
        _post("create_model", _create_model),
        _post("forward", _train),
        _post("forward_backward", _train),
        _post("optim_step", _optim_step),
        _post("retrieve_future", _retrieve),
        Route("/api/v1/healthz", _health),
    ]
)

if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
