"""Processes that begin with the large libraries imported: forks of one process that has them.

Importing torch and transformers takes seconds, a fork milliseconds. What the child runs is the
real program; its own modules are imported by it.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

_CONTEXT = multiprocessing.get_context("forkserver")
_LIBRARIES = (
    *("torch", "transformers.modeling_utils", "transformers.models.qwen3.modeling_qwen3"),
    *("httpx", "numpy", "pydantic", "starlette.applications", "uvicorn"),
)


class Forked:
    """A child process, with the methods of `subprocess.Popen` that tests use."""

    def __init__(
        self,
        body: Callable[..., None],
        *arguments: Any,
        env: Mapping[str, str],
        output: Path,
    ) -> None:
        """Call `body` in a child whose standard output and error are added to the file `output`.

        Args:
            body: a function of a module that can be imported.
            arguments: what can be pickled, and connections.
            env: every variable of the child. Libraries read theirs in the process that is forked,
                which has those of the first call.
            output: a file.
        """
        _CONTEXT.set_forkserver_preload(list(_LIBRARIES))
        self._process = _CONTEXT.Process(
            target=_run, args=(body, arguments, dict(env), str(output)), daemon=True
        )
        before = dict(os.environ)
        os.environ.update(env)
        try:
            self._process.start()
        finally:
            os.environ.clear()
            os.environ.update(before)
        assert self._process.pid is not None
        self.pid: int = self._process.pid

    @property
    def returncode(self) -> int | None:
        """Return the exit status, minus the number of the signal that ended it, or None."""
        return self._process.exitcode

    def poll(self) -> int | None:
        """Return the exit status, or None while it runs."""
        return self._process.exitcode

    def wait(self, timeout: float) -> int:
        """Wait until it ended, and return its exit status."""
        self._process.join(timeout)
        status = self._process.exitcode
        if status is None:
            raise subprocess.TimeoutExpired(str(self._process), timeout)
        return status

    def send_signal(self, number: int) -> None:
        """Send it a signal."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it as a power cut would."""
        self.send_signal(signal.SIGKILL)


def _run(
    body: Callable[..., None], arguments: tuple[Any, ...], env: dict[str, str], output: str
) -> None:
    os.environ.clear()
    os.environ.update(env)
    log = os.open(output, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    # As Python itself starts a program; the process that is forked ignores Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    body(*arguments)


def serve(*arguments: str) -> None:
    """Run `mint-runtime` with a command line."""
    from mint_runtime.cli import app

    app(list(arguments))
