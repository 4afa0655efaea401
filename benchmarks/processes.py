"""Child processes: workers that answer calls over pipes, and servers that answer HTTP.

Whatever is measured runs in a process of its own, so that its memory, threads and interpreter lock
are its own.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import mint_runtime

ROOT = Path(__file__).resolve().parents[1]
_START_S = 300.0
_STOP_S = 20.0


class WorkerError(Exception):
    """A call failed inside a worker; the text is its traceback."""


class Worker:
    """A Python process that runs one module of `benchmarks.workers` and answers calls."""

    def __init__(self, module: str, *, python: Path | None = None, **variables: str) -> None:
        """Start `python -m benchmarks.workers.<module>`."""
        self._process = subprocess.Popen(
            [str(python or sys.executable), "-m", f"benchmarks.workers.{module}"],
            env=environment(**variables),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    @property
    def pid(self) -> int:
        """Return the process id."""
        return self._process.pid

    def send(self, method: str, **arguments: Any) -> None:
        """Start a call; `receive` waits for its answer."""
        pipe = self._pipe(self._process.stdin)
        pipe.write(json.dumps({"method": method, "arguments": arguments}) + "\n")
        pipe.flush()

    def receive(self) -> Any:
        """Return the answer of the call that was sent.

        Raises:
            WorkerError: It failed, or the process ended.
        """
        line = self._pipe(self._process.stdout).readline()
        if not line:
            raise WorkerError(f"the worker ended with status {self._process.wait()}")
        answer = json.loads(line)
        if "error" in answer:
            raise WorkerError(answer["error"])
        return answer["result"]

    def call(self, method: str, **arguments: Any) -> Any:
        """Run a method of the worker and return its answer."""
        self.send(method, **arguments)
        return self.receive()

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait(_STOP_S)
        for stream in (self._process.stdin, self._process.stdout):
            self._pipe(stream).close()

    @staticmethod
    def _pipe(stream: IO[str] | None) -> IO[str]:
        assert stream is not None
        return stream


@contextmanager
def running_worker(module: str, **options: Any) -> Iterator[Worker]:
    """Yield a worker that is ended afterwards."""
    worker = Worker(module, **options)
    try:
        yield worker
    finally:
        worker.close()


def answer_calls(methods: Mapping[str, Callable[..., Any]]) -> None:
    """Answer calls from standard input until it ends. What libraries print goes to stderr."""
    import traceback

    answers, sys.stdout = sys.stdout, sys.stderr
    for line in sys.stdin:
        call = json.loads(line)
        try:
            answer = {"result": methods[call["method"]](**call["arguments"])}
        except Exception:
            answer = {"error": traceback.format_exc()}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def environment(**changes: str) -> dict[str, str]:
    """Return the variables of a child: our sources importable, no network, no telemetry."""
    variables = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("MINT_", "TINKER_"))
    }
    source = Path(mint_runtime.__file__).resolve().parents[1]
    variables.update(
        PYTHONPATH=os.pathsep.join((str(source), str(ROOT))),
        HF_HUB_OFFLINE="1",
        TINKER_TELEMETRY="0",
        TOKENIZERS_PARALLELISM="false",
    )
    variables.update(changes)
    return variables


def python_of(name: str) -> Path:
    """Return the Python of `tests/environments/<name>.txt`, built by the first who asks."""
    sys.path.insert(0, str(ROOT / "tests"))
    try:
        build = importlib.import_module("support.environments").environment
    finally:
        sys.path.pop(0)
    python: Path = build(name)
    return python


@contextmanager
def running_process(
    command: Sequence[str],
    *,
    log: Path,
    is_ready: Callable[[], bool],
    variables: Mapping[str, str],
) -> Iterator[subprocess.Popen[bytes]]:
    """Run `command` in a process group of its own, from readiness until the body ends.

    Raises:
        RuntimeError: It ended, or was not ready in time; the text is the end of its output.
    """
    with log.open("ab") as output:
        process = subprocess.Popen(
            list(command),
            env=environment(**variables),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        _await_ready(process, is_ready, log)
        yield process
    finally:
        _stop(process)


def _await_ready(process: subprocess.Popen[bytes], is_ready: Callable[[], bool], log: Path) -> None:
    deadline = time.monotonic() + _START_S
    while not is_ready():
        if process.poll() is not None or time.monotonic() > deadline:
            tail = log.read_text(errors="replace")[-3000:]
            raise RuntimeError(f"`{process.args!r}` did not start:\n{tail}")
        time.sleep(0.05)


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the group that `process` leads: a server may have started others."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_STOP_S)


def resident_bytes(pid: int) -> int:
    """Return the resident memory of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def peak_resident_bytes() -> int:
    """Return the most memory this process had resident since `forget_peak`."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("/proc/self/status has no VmHWM; peak memory is measured on Linux only")


def forget_peak() -> None:
    """Let the peak start again from what is resident now."""
    Path("/proc/self/clear_refs").write_text("5")


def num_open_files(pid: int) -> int:
    """Return how many files and sockets a process has open."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))
