"""Wait until a runtime that was just started answers requests."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path

from mint_migrate.bridge.errors import RuntimeFailed
from mint_migrate.bridge.process import Tethered, tail

READY_TIMEOUT_S = 300.0
"""Enough to load a few billion parameters from disk; a download may take longer."""

POLL_INTERVAL_S = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where a ready server listens."""

    url: str
    pid: int


def wait_until_ready(
    server: Tethered, ready_file: Path, *, timeout_s: float = READY_TIMEOUT_S
) -> Address:
    """Return the server's address once it has written `ready_file`.

    The file is `{"url": ..., "pid": ...}` and appears whole.

    Raises:
        RuntimeFailed: the server exited first, or nothing happened within `timeout_s`. The text
            ends with what the server printed last.
    """
    deadline = time.monotonic() + timeout_s
    while not ready_file.exists():
        status = server.process.poll()
        if status is not None:
            raise RuntimeFailed(
                f"the runtime ended with status {status} before it was ready; it printed:\n"
                f"{tail(server.log)}"
            )
        if time.monotonic() > deadline:
            raise RuntimeFailed(
                f"the runtime was not ready after {timeout_s:.0f} s; it printed:\n"
                f"{tail(server.log)}"
            )
        time.sleep(POLL_INTERVAL_S)
    content = json.loads(ready_file.read_text(encoding="utf-8"))
    return Address(url=str(content["url"]), pid=int(content["pid"]))
