"""Child processes that never outlive this one, and the end of what they printed."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from mint_migrate.bridge import tether

STOP_TIMEOUT_S = 10.0
"""How long a child may take to stop after SIGTERM before it is killed."""

PR_SET_PDEATHSIG = 1
"""Option of prctl(2): the signal a process gets when its parent dies."""


class Interrupted(BaseException):
    """This process was asked to end by a signal. Not an `Exception`: only `finally` sees it."""

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.signum = signum


@dataclass(slots=True)
class Tethered:
    """A running program in a process group of its own, bound to this process by a pipe."""

    process: subprocess.Popen[bytes]
    log: Path
    """Receives stdout and stderr."""
    _lifeline: int | None

    def stop(self) -> None:
        """End the program and everything it started. Safe to call twice."""
        if self.process.poll() is None:
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(STOP_TIMEOUT_S)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        if self._lifeline is not None:
            os.close(self._lifeline)
            self._lifeline = None

    def __enter__(self) -> Tethered:
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()


def start_tethered(
    module: str, args: Sequence[str], *, log: Path, env: Mapping[str, str], cwd: Path
) -> Tethered:
    """Start `python -m module args` so that it cannot outlive this process.

    The working directory is not put on the module search path: a `types.py` of the user must not be
    imported.
    """
    read_end, write_end = os.pipe()
    command = [sys.executable, "-P", tether.__file__, str(read_end), module, *args]
    try:
        with log.open("ab") as output:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=cwd,
                env=dict(env),
                pass_fds=(read_end,),
                start_new_session=True,
            )
    except BaseException:
        os.close(write_end)
        raise
    finally:
        os.close(read_end)
    return Tethered(process=process, log=log, _lifeline=write_end)


def die_with_parent() -> Callable[[], None] | None:
    """Return what a child calls before it becomes its program; None where nothing is offered.

    On Linux the kernel then sends the child SIGTERM when its parent is gone, however the parent
    went.
    """
    if not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None).prctl

    def bind() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGTERM)

    return bind


def tail(log: Path, *, num_lines: int = 20) -> str:
    """Return the last lines of a log, or nothing where there is none."""
    if not log.is_file():
        return ""
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-num_lines:])


@contextlib.contextmanager
def termination_raises() -> Iterator[None]:
    """Turn SIGTERM and SIGHUP into `Interrupted`, so that children are stopped on the way out.

    Outside the main thread signals cannot be handled and the block runs as it is.
    """

    def handle(signum: int, _frame: FrameType | None) -> None:
        raise Interrupted(signum)

    previous: dict[signal.Signals, object] = {}
    for signum in (signal.SIGTERM, signal.SIGHUP):
        with contextlib.suppress(ValueError):
            previous[signum] = signal.signal(signum, handle)
    try:
        yield
    finally:
        for signum, handler in previous.items():
            signal.signal(signum, handler)  # type: ignore[arg-type]  # signal() returned it
