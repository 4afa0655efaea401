"""The two child processes of a comparison, seen from outside."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from mint_migrate.bridge.errors import CannotRun
from mint_migrate.bridge.process import Tethered, start_tethered, tail
from mint_migrate.bridge.runtime import Runtime
from mint_migrate.parity.harness.spec import (
    ADAPTER,
    ALIGNED,
    ENDING,
    METRICS_PATH,
    REACHED,
    RECORD,
    REPLAY,
    ChildSpec,
)
from mint_migrate.parity.steps import Step, read_steps

MODULE = "mint_migrate.parity.harness"
POLL_INTERVAL_S = 0.05
_REFUSAL = re.compile(r"`--replay`: (.+?)(?: for self\.|$)", re.MULTILINE)
"""What the runtime says about a completion that it does not have; the client adds its own words."""
IGNORED_FOLDERS = (
    *(".git", ".hg", ".venv", "venv", "node_modules", "__pycache__", ".mypy_cache", ".ruff_cache"),
    *("wandb", "runs", ".mint-migrate"),
)
MAX_COPIED_BYTES = 8 * 1024 * 1024
"""Larger files of the script's folder are linked into the scratch copy, not copied."""


def scratch_copy(folder: Path, target: Path) -> None:
    """Copy a script's folder to where it may write.

    Left out are version control, environments and caches, and what an earlier training left
    behind, from which a script might resume. Large files are linked.

    Raises:
        CannotRun: something in the folder cannot be copied.
    """

    def copy(source: str, destination: str) -> str:
        if Path(source).stat().st_size > MAX_COPIED_BYTES:
            Path(destination).symlink_to(Path(source).resolve())
        else:
            shutil.copy2(source, destination)
        return destination

    try:
        shutil.copytree(folder, target, ignore=_left_out, copy_function=copy, dirs_exist_ok=True)
    except (OSError, shutil.Error) as error:
        raise CannotRun(f"the folder of the script cannot be copied: {error}") from error


def _left_out(folder: str, names: list[str]) -> set[str]:
    """Return what is not copied from a folder: by name, by kind, or as the output of a training."""
    base = Path(folder)
    return {name for name in names if name in IGNORED_FOLDERS or not _is_wanted(base / name)}


def _is_wanted(path: Path) -> bool:
    if path.is_dir():
        return not (path / "metrics.jsonl").exists() and not any(path.glob("checkpoint-*"))
    return path.is_file()


@dataclass(slots=True)
class Child:
    """A running script."""

    spec: ChildSpec
    process: Tethered
    deadline: float

    @property
    def output(self) -> Path:
        """The folder for what the child leaves behind."""
        return Path(self.spec.output)

    @property
    def name(self) -> str:
        """How messages call it."""
        return "the original" if self.spec.is_original else "the converted script"

    def wait_for(self, is_done: Callable[[], bool]) -> None:
        """Return when `is_done`, or when the process has ended.

        Raises:
            CannotRun: neither happened before the deadline.
        """
        while self.process.process.poll() is None and not is_done():
            if time.monotonic() > self.deadline:
                self.process.stop()
                raise CannotRun(
                    f"{self.name} is not done after its time limit; it printed last:\n"
                    f"{self.log_end()}"
                )
            time.sleep(POLL_INTERVAL_S)

    def check_status(self) -> None:
        """Raise if the script ended with an error.

        Raises:
            CannotRun: with the end of what it printed.
        """
        status = self.process.process.poll()
        if status:
            raise CannotRun(
                f"{self.name} ended with status {status}; it printed last:\n{self.log_end()}"
            )

    def log_text(self) -> str:
        """Return what the script printed."""
        return self.process.log.read_text(encoding="utf-8", errors="replace")

    def log_end(self) -> str:
        """Return the last lines of what the script printed."""
        return tail(self.process.log, num_lines=30)


def start_child(spec: ChildSpec, *, cwd: Path, env: Mapping[str, str], timeout_s: float) -> Child:
    """Start a script in its scratch copy. Use the process as a context manager."""
    output = Path(spec.output)
    output.mkdir(parents=True, exist_ok=True)
    spec_file = output / "spec.json"
    spec.write(spec_file)
    process = start_tethered(MODULE, [str(spec_file)], log=output / "log.txt", env=env, cwd=cwd)
    return Child(spec=spec, process=process, deadline=time.monotonic() + timeout_s)


def adapter_folder(original: Child) -> Path:
    """Return where the original writes the adapter that it starts from."""
    return original.output / ADAPTER


def replay_file(original: Child) -> Path:
    """Return where the original writes the completions that it trains on, if it does."""
    return original.output / REPLAY


def wait_for_start(original: Child) -> None:
    """Return once the converted script may start.

    That is after the original's first step, by which its adapter and whether it trains on what it
    generates are known; in that case, only when it has generated everything.

    Raises:
        CannotRun: the script ended without training.
    """
    adapter, record = adapter_folder(original), original.output / RECORD
    original.wait_for(lambda: adapter.is_dir() and record.is_file())
    if not adapter.is_dir():
        original.check_status()
        raise CannotRun(
            "the original ended without training: `train` of a trainer that is based on the one "
            "of transformers was not called"
        )
    if replay_file(original).is_file():
        original.wait_for(lambda: False)
        original.check_status()


def original_steps(original: Child) -> tuple[tuple[Step, ...], bool]:
    """Wait for the original; return its steps, and whether it was stopped before its own end."""
    original.wait_for(lambda: False)
    original.check_status()
    steps = read_steps(original.output / RECORD)
    ending = original.output / ENDING
    return steps, ending.is_file() and ending.read_text(encoding="utf-8") == REACHED


def aligned_shape(original: Child) -> str | None:
    """Return what replaced the original's trainable parameters, or None where they are its own."""
    file = original.output / ALIGNED
    return file.read_text(encoding="utf-8") if file.is_file() else None


def converted_steps(
    converted: Child, runtime: Runtime, num_steps: int, *, was_stopped: bool
) -> tuple[tuple[Step, ...], str | None]:
    """Wait until the converted script has recorded enough steps, end it, and return them.

    Where the original ended by itself, the script may record one step more, which is then a
    difference in number; where the original was stopped, only as many steps as it has are compared.
    With fewer steps comes a sentence on why the runtime had no completion for the next: the script
    asked for one that the original did not generate.

    Raises:
        CannotRun: the script failed, or wrote no metrics.
        RuntimeFailed: the runtime ended first.
    """
    limit = num_steps if was_stopped else num_steps + 1
    note = converted.output / METRICS_PATH

    def recorded() -> tuple[Step, ...]:
        return read_steps(Path(note.read_text(encoding="utf-8"))) if note.is_file() else ()

    converted.wait_for(lambda: len(recorded()) >= limit or not runtime.is_alive())
    steps = recorded()
    if len(steps) < limit and not runtime.is_alive():
        raise runtime.failure()
    refusal = _REFUSAL.search(converted.log_text()) if len(steps) < limit else None
    if len(steps) < limit and refusal is None:
        converted.check_status()
    converted.process.stop()
    if refusal is not None:
        return steps[:num_steps], refusal[1]
    if not note.is_file():
        raise CannotRun("the converted script ended without writing a metrics.jsonl")
    return steps[:limit], None
