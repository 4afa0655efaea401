"""A real server process, and the real client in a process of its own."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from support import forked

ROOT = Path(__file__).resolve().parents[2]
KEY = "sk-test-0123456789"
Process = forked.Forked | subprocess.Popen[bytes]
# A process that imports torch needs seconds on a busy machine; nothing here waits this long when
# all is well.
_START_S = 120.0
_STOP_S = 20.0


class Server:
    """One `mint-runtime serve` process."""

    def __init__(self, process: Process, url: str, model: Path, log: Path) -> None:
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


def fork(arguments: Sequence[str], log: Path) -> Process:
    """Start `mint-runtime` from a process that has imported what takes long."""
    return forked.Forked(forked.serve, *arguments, env=environment(), output=log)


def refusal(*arguments: str) -> str:
    """Return what `mint-runtime` says, which must end with status 2."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "said"
        assert fork(arguments, log).wait(_START_S) == 2, log.read_text()
        return log.read_text()


def execute(arguments: Sequence[str], log: Path) -> Process:
    """Start `mint-runtime` as a shell does."""
    with log.open("a") as stderr:
        return subprocess.Popen(
            [sys.executable, "-m", "mint_runtime", *arguments],
            env=environment(),
            stdout=subprocess.DEVNULL,
            stderr=stderr,
        )


def start_server(
    model: Path,
    state: Path,
    *options: str,
    name: str = "tiny",
    start: Callable[[Sequence[str], Path], Process] = fork,
) -> Server:
    """Start a server for `model` under `name` on a free port, and wait until it answers."""
    state.mkdir(parents=True, exist_ok=True)
    ready, log = state / "ready.json", state / "server.log"
    ready.unlink(missing_ok=True)
    arguments = ["serve", "--base-model", f"{name}={model}", "--port", "0"]
    arguments += ["--state-dir", str(state), "--ready-file", str(ready), *options]
    process = start(arguments, log)
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

    def __init__(self, url: str, log: Path, *, key: str = KEY, **variables: str) -> None:
        settings = {"MINT_BASE_URL": url, "MINT_API_KEY": key, "TINKER_TELEMETRY": "0", **variables}
        self._answers, theirs = multiprocessing.Pipe()
        self._process = forked.Forked(
            answer_scripts, theirs, env=environment(**settings), output=log
        )
        theirs.close()

    def run(self, script: str) -> dict[str, Any]:
        """Run `script` and return what it assigned to `result`, as JSON carries it."""
        self._answers.send_bytes(script.encode())
        answer = json.loads(self._answers.recv_bytes())
        assert "error" not in answer, answer["error"]
        result: dict[str, Any] = answer["result"]
        return result

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait(_STOP_S)
        self._answers.close()


def answer_scripts(questions: Connection) -> None:
    """Run each script that arrives in an empty namespace; answer with its `result`."""
    while True:
        try:
            script = questions.recv_bytes()
        except EOFError:
            return
        names: dict[str, Any] = {}
        try:
            exec(script, names)
            answer = {"result": names.get("result")}
        except BaseException:
            answer = {"error": traceback.format_exc()}
        questions.send_bytes(json.dumps(answer).encode())


@contextmanager
def running_client(url: str, *, key: str = KEY, **variables: str) -> Iterator[Client]:
    """Yield a client process that is ended afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        client = Client(url, Path(folder) / "client.log", key=key, **variables)
        try:
            yield client
        finally:
            client.close()
