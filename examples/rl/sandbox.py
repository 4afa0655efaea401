"""Run a program that nobody has read, and see what it prints.

The program runs in a process of its own, in which `sandbox_child.py` gives up, before the program's
first line, what it could do harm with:

    files       none can be written or removed; only Python's own library can be read (Landlock)
    processes   no fork, no thread, no signal to others (seccomp)
    network     no socket of any kind (seccomp)
    memory, processor time, open files: rlimits; wall time: the parent kills it
    secrets     the environment is empty, /proc out of reach; python -I ignores the user's files

What is left: the kernel itself is shared. For programs of people who want to break out, use a
virtual machine; for what a language model writes by mistake or for reward, this is enough.
Linux 5.13 or newer on x86-64 or arm64; anywhere else `run_program` refuses.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

CHILD = Path(__file__).with_name("sandbox_child.py")
UNAVAILABLE = 97
"""Exit status of a child that could not confine itself; the program did not run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a program may use."""

    wall_s: float = 5.0
    cpu_s: int = 2
    memory_bytes: int = 256 * 2**20
    output_bytes: int = 64 * 2**10


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a program ended."""

    status: Literal["ok", "error", "timeout"]
    """`error` is any exit status but 0, an end by a limit included."""
    stdout: str
    stderr: str


class SandboxUnavailable(RuntimeError):
    """This machine cannot confine a program; nothing was run."""


def run_program(program: str, stdin: str = "", limits: Limits | None = None) -> Outcome:
    """Run Python source text, confined.

    Args:
        program: the source.
        stdin: what it can read.
        limits: what it may use; None takes the defaults.

    Raises:
        SandboxUnavailable: the kernel lacks what the sandbox is made of.
    """
    limits = limits or Limits()
    with tempfile.TemporaryDirectory(prefix="sandbox-") as name:
        folder = Path(name)
        (folder / "program.py").write_text(program, encoding="utf-8", errors="replace")
        (folder / "stdin").write_text(stdin, encoding="utf-8")
        # Files, not pipes: the limit on file size then bounds the output, too.
        with (
            (folder / "stdin").open("rb") as source,
            (folder / "stdout").open("wb") as out,
            (folder / "stderr").open("wb") as err,
        ):
            arguments = (limits.cpu_s, limits.memory_bytes, limits.output_bytes)
            process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-B", CHILD, "program.py", *map(str, arguments)],
                cwd=folder,
                env={},
                stdin=source,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
            status = _wait(process, limits.wall_s)
        stdout, stderr = (
            (folder / each).read_bytes().decode(errors="replace") for each in ("stdout", "stderr")
        )
    if process.returncode == UNAVAILABLE:
        raise SandboxUnavailable(
            f"{stderr.strip()}; the sandbox needs Linux 5.13 or newer with Landlock and seccomp, "
            "on x86-64 or arm64. Pass CodeRL another `execute`, such as one that uses containers"
        )
    return Outcome(status=status, stdout=stdout, stderr=stderr)


def _wait(process: subprocess.Popen[bytes], wall_s: float) -> Literal["ok", "error", "timeout"]:
    try:
        returncode = process.wait(wall_s)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return "timeout"
    # The kernel ends a process that is past its processor time with one of these.
    if returncode in (-signal.SIGXCPU, -signal.SIGKILL):
        return "timeout"
    return "ok" if returncode == 0 else "error"
