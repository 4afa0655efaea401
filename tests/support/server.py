"""A real server process, and the real client in a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
KEY = "sk-test-0123456789"
# A process that imports torch needs seconds on a busy machine; nothing here waits this long when
# all is well.
_START_S = 120.0
_STOP_S = 20.0


class Server:
    """One `mint-runtime serve` process."""

    def __init__(self, process: subprocess.Popen[str], url: str, model: Path, log: Path) -> None:
        self.process = process
        self.model = model
        self.url = url
        self.log = log

    def kill(self) -> None:
        """End the process as a power cut would."""
        self.process.kill()
        self.process.wait(_STOP_S)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Ask the process to stop and return its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(_STOP_S)


def environment(**changes: str) -> dict[str, str]:
    """Return the environment of a child process: the sources importable, no network, one thread."""
    variables = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("MINT_", "TINKER_"))
    }
    variables.update(
        PYTHONPATH=os.pathsep.join(str(ROOT / name) for name in ("runtime", "migrator", "tests")),
        OMP_NUM_THREADS="1",
        HF_HUB_OFFLINE="1",
    )
    variables.update(changes)
    return variables


def run_cli(*arguments: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    """Run `mint-runtime` to its end."""
    return subprocess.run(
        [sys.executable, "-m", "mint_runtime", *arguments],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=timeout,
    )


def start_server(model: Path, state: Path, *options: str, name: str = "tiny") -> Server:
    """Start a server for `model` under `name` on a free port, and wait until it answers."""
    state.mkdir(parents=True, exist_ok=True)
    ready, log = state / "ready.json", state / "server.log"
    ready.unlink(missing_ok=True)
    command = [sys.executable, "-m", "mint_runtime", "serve", "--base-model", f"{name}={model}"]
    command += ["--port", "0", "--state-dir", str(state), "--ready-file", str(ready), *options]
    with log.open("a") as stderr:
        process = subprocess.Popen(
            command, env=environment(), stdout=subprocess.DEVNULL, stderr=stderr, text=True
        )
    deadline = time.monotonic() + _START_S
    while not ready.exists():
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            raise AssertionError(f"the server did not start:\n{log.read_text()}")
        time.sleep(0.05)
    return Server(process, json.loads(ready.read_text())["url"], model, log)


@contextmanager
def running_server(model: Path, state: Path, *options: str, name: str = "tiny") -> Iterator[Server]:
    """Yield a server that is stopped afterwards."""
    server = start_server(model, state, *options, name=name)
    try:
        yield server
    finally:
        server.stop()


class Client:
    """A process with the `mint` client, pointed at one server. Runs scripts one after the other.

    A process of its own, because the client reads its environment when it is imported; one for
    many scripts, because the import takes seconds. Every script starts in an empty namespace.
    """

    def __init__(self, url: str, *, key: str = KEY, **variables: str) -> None:
        settings = {"MINT_BASE_URL": url, "MINT_API_KEY": key, "TINKER_TELEMETRY": "0", **variables}
        self._process = subprocess.Popen(
            [sys.executable, "-c", _DRIVER],
            env=environment(**settings),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, script: str) -> dict[str, Any]:
        """Run `script` and return what it assigned to `result`, as JSON carries it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(script) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        assert "error" not in answer, answer["error"]
        result: dict[str, Any] = answer["result"]
        return result

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait(_STOP_S)
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            stream.close()


_DRIVER = """
import gc, json, sys, traceback
# Modules are imported faster without it, and the process is a short one.
gc.disable()
answers, sys.stdout = sys.stdout, sys.stderr
for line in sys.stdin:
    names = {}
    try:
        exec(json.loads(line), names)
        answer = {"result": names.get("result")}
    except BaseException:
        answer = {"error": traceback.format_exc()}
    print(json.dumps(answer), file=answers, flush=True)
"""


@contextmanager
def running_client(url: str, *, key: str = KEY, **variables: str) -> Iterator[Client]:
    """Yield a client process that is ended afterwards."""
    client = Client(url, key=key, **variables)
    try:
        yield client
    finally:
        client.close()
