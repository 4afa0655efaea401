"""Migrating launchers in one process, beside reading them as shell text."""

from __future__ import annotations

import gc
import time
from pathlib import Path

from mint_migrate.batch import migrate_path
from mint_migrate.launches.script import read_shell
from mint_migrate.model.outcome import Migrated
from mint_migrate.model.source import Options
from mint_migrate.shell.grammar import parse

from benchmarks.processes import answer_calls

_launchers: list[tuple[Path, Options]] = []
_texts: list[str] = []


def load(launchers: list[tuple[str, str]]) -> int:
    """Take (path, release such as `verl==0.9.1`) of launchers; return how many are migrated."""
    # As the command line does.
    gc.set_threshold(100_000, 20, 20)
    for path, release in launchers:
        framework, version = release.split("==")
        given = (framework, version, "given with --source-version")
        _launchers.append((Path(path), Options(launched_version=given)))
        _texts.append(Path(path).read_text(encoding="utf-8"))
    return sum(isinstance(migrate_path(*each)[0], Migrated) for each in _launchers)


def parse_all() -> float:
    """Return the CPU seconds of parsing every launcher."""
    start = time.process_time()
    for text in _texts:
        parse(text)
    return time.process_time() - start


def follow() -> float:
    """Return the CPU seconds of parsing every launcher and following it as it would run."""
    start = time.process_time()
    for text in _texts:
        read_shell(text)
    return time.process_time() - start


def migrate() -> list[float]:
    """Return the CPU seconds of each launcher: read, converted, its scripts checked."""
    found = []
    for path, options in _launchers:
        start = time.process_time()
        migrate_path(path, options)
        found.append(time.process_time() - start)
    return found


if __name__ == "__main__":
    answer_calls({"load": load, "parse": parse_all, "follow": follow, "migrate": migrate})
