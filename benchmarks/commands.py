"""Command lines that are timed from outside: CPU seconds of all their processes, and wall time."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import mint_migrate

from benchmarks.measure import Measure, Side
from benchmarks.processes import ROOT, environment

SOURCE = Path(mint_migrate.__file__).resolve().parents[1]


def migrator(*arguments: str) -> list[str]:
    """Return the command line of the migrator with `arguments`."""
    return [sys.executable, "-m", "mint_migrate", *arguments]


def timed(
    command: Sequence[str], *, cwd: Path | None = None, accepted: Sequence[int] = (0, 1)
) -> dict[str, float]:
    """Run a command to its end and return `cpu_s`, of it and its children, and `wall_s`.

    Raises:
        RuntimeError: its status is none of `accepted`; the text is the end of what it wrote.
    """
    variables = environment(PYTHONPATH=os.pathsep.join((str(SOURCE), str(ROOT))))
    start = time.perf_counter()
    with subprocess.Popen(
        command, cwd=cwd, env=variables, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as process:
        assert process.stderr is not None
        said = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in accepted:
        shown = said.decode(errors="replace")[-2000:]
        raise RuntimeError(f"`{' '.join(command)}` ended with {process.returncode}:\n{shown}")
    return {
        "cpu_s": usage.ru_utime + usage.ru_stime,
        "wall_s": time.perf_counter() - start,
    }


def command_side(name: str, run: Callable[[], Mapping[str, float]]) -> Side:
    """Return a side that needs no opening: each measurement runs its commands."""

    @contextmanager
    def open_side() -> Iterator[Measure]:
        yield run

    return Side(name=name, open=open_side)
