"""The status page at `/`, and what it shows as `/status.json`.

The page itself is the same for everybody and holds no data. What it shows needs the server's key,
if there is one.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
import time
from functools import cache
from importlib.resources import files
from typing import Any

from starlette.responses import JSONResponse, Response

from mint_runtime import __version__
from mint_runtime.observe.history import RunView
from mint_runtime.observe.rates import Rate
from mint_runtime.service.call import Call, Endpoint
from mint_runtime.service.credentials import check_reader
from mint_runtime.service.handlers.metrics import (
    checkpoint_totals,
    engine_counters,
    engine_gauges,
)
from mint_runtime.service.models import LiveModel
from mint_runtime.service.observed import num_long_polls
from mint_runtime.service.records import SessionRecord
from mint_runtime.service.services import Services

_MAX_SESSIONS = 50
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


async def status_page(call: Call[None]) -> Response:
    """Answer the page."""
    del call
    page = _page()
    headers = {**_HEADERS, "Content-Security-Policy": _policy(page)}
    return Response(page, media_type="text/html", headers=headers)


async def status(call: Call[None]) -> Response:
    """Answer what the page shows."""
    check_reader(call.services, call.request)
    body = await _view(call.services)
    return JSONResponse(body, headers={"Cache-Control": "no-store"})


async def _view(services: Services) -> dict[str, Any]:
    stats = services.engine.stats()
    count, size = await checkpoint_totals(services)
    return {
        "server": {
            "version": __version__,
            "uptime_s": time.time() - services.steps.started,
            "needs_key": services.settings.api_key is not None,
        },
        "base_models": [_base(info) for info in services.capabilities.base_models],
        "sessions": await _sessions(services),
        "runs": _runs(services),
        "queue": {
            "futures": services.futures.num_waiting,
            "long_polls": num_long_polls(services),
        },
        "engine": {**engine_gauges(stats), **engine_counters(stats)},
        "rates": [_rate(rate) for rate in services.steps.rates.rates()],
        "checkpoints": {"count": count, "bytes": size},
        "events": [_finite(event) for event in services.steps.history.events()],
    }


def _base(info: Any) -> dict[str, Any]:
    return {
        "name": info.name,
        "architecture": info.architecture,
        "max_context_length": info.max_context_length,
        "vocab_size": info.vocab_size,
        "max_lora_rank": info.max_lora_rank,
    }


async def _sessions(services: Services) -> list[dict[str, Any]]:
    """Return the open sessions, the one heard of last first."""
    by_silence = sorted(services.sessions.silence().items(), key=lambda entry: entry[1])
    shown = dict(by_silence[:_MAX_SESSIONS])

    def read() -> list[SessionRecord | None]:
        return [services.store.find_session(session_id) for session_id in shown]

    records = await asyncio.to_thread(read)
    return [
        _session(record, shown[record.session_id], services)
        for record in records
        if record is not None
    ]


def _session(record: SessionRecord, silent_s: float, services: Services) -> dict[str, Any]:
    return {
        "id": record.session_id,
        "sdk_version": record.sdk_version,
        "age_s": time.time() - record.created,
        "silent_s": silent_s,
        "tags": list(record.tags),
        "user_metadata": dict(record.user_metadata),
        "models": sum(1 for _ in services.models.of_session(record.session_id)),
    }


def _runs(services: Services) -> list[dict[str, Any]]:
    """Return live models and remembered runs, the one that did something last first."""
    past = services.steps.history.runs()
    live = {model.record.model_id: model for model in services.models.live()}
    runs = [_run(name, past.get(name), live.get(name)) for name in {**past, **live}]
    return sorted(runs, key=lambda run: -float(run["last_event"]))


def _run(model_id: str, past: RunView | None, live: LiveModel | None) -> dict[str, Any]:
    run: dict[str, Any] = {"id": model_id, "live": live is not None, "last_event": 0.0}
    if live is not None:
        run |= {
            "base_model": live.record.base_model,
            "rank": live.record.rank,
            "user_metadata": dict(live.record.user_metadata),
            "last_event": live.last_request,
        }
    if past is not None:
        run |= {
            "steps": past.steps,
            "tokens": past.tokens,
            "loss_fn": past.loss_fn,
            "loss": past.loss,
            "grad_norm": past.grad_norm,
            "learning_rate": past.learning_rate,
            "last_event": max(past.last_event, run["last_event"]),
            "curve": past.curve,
        }
    return _finite(run)


def _rate(rate: Rate) -> list[float]:
    return [round(rate.time, 1), round(rate.trained, 1), round(rate.sampled, 1)]


def _finite(entry: Any) -> dict[str, Any]:
    """Return an entry without the numbers that JSON has no words for."""
    return {
        name: None if isinstance(value, float) and value - value != 0 else value
        for name, value in entry.items()
    }


@cache
def _page() -> str:
    return files("mint_runtime.static").joinpath("status.html").read_text(encoding="utf-8")


@cache
def _policy(page: str) -> str:
    """Return the rule that nothing but the page's own script and style runs, named by their hash.

    It is a second wall: the script writes what clients say as text and never as markup.
    """
    hashes = {
        tag: base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        for tag, content in re.findall(r"<(script|style)>(.*?)</\1>", page, re.DOTALL)
    }
    return (
        f"default-src 'none'; script-src 'sha256-{hashes['script']}';"
        f" style-src 'sha256-{hashes['style']}'; connect-src 'self'; img-src data:;"
        " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


ENDPOINTS = {"status_page": Endpoint(status_page), "status": Endpoint(status)}
