"""The service over a fake engine behind a real socket, for what needs one."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from mint_runtime.server import bind
from mint_runtime.service.app import build_app
from mint_runtime.service.settings import ServiceSettings

from support.fake_engine import FakeEngine

KEY = "sk-test"


@contextmanager
def served(
    state: Path, engine: FakeEngine | None = None, **settings: Any
) -> Iterator[tuple[httpx.Client, FakeEngine]]:
    """Yield a client whose base URL is that of a service on a free port, and its engine."""
    engine = engine or FakeEngine()
    app = build_app(engine, ServiceSettings(state_dir=state, **settings))
    server = uvicorn.Server(
        uvicorn.Config(app, log_config=None, lifespan="on", timeout_graceful_shutdown=1)
    )
    sock = bind("127.0.0.1", 0)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]}, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    url = f"http://127.0.0.1:{sock.getsockname()[1]}"
    try:
        key = settings.get("api_key") or KEY
        with httpx.Client(base_url=url, headers={"X-API-Key": key}, timeout=30) as client:
            yield client, engine
    finally:
        engine.gate.set()
        engine.token_gate.set()
        app.release_waiting()
        server.should_exit = True
        thread.join()
        engine.close()
        sock.close()
