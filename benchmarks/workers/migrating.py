"""Migrating the scripts of a folder in one process, beside parsing them with libcst."""

from __future__ import annotations

import gc
import time
from pathlib import Path

import libcst
from mint_migrate import batch, files
from mint_migrate.analyse.facts import collect
from mint_migrate.analyse.text import parsed
from mint_migrate.gather import Script
from mint_migrate.model.source import Options, Source
from mint_migrate.plan.build import build_plan
from mint_migrate.rewrite.module import rewrite_module
from mint_migrate.tables.lookup import Tables, load_tables

from benchmarks.processes import answer_calls

_sources: list[Source] = []
_tables: Tables | None = None


def load(folder: str) -> int:
    """Read the scripts of `folder`, and return how many of them are converted."""
    global _tables
    # As the command line does.
    gc.set_threshold(100_000, 20, 20)
    _tables = load_tables()
    found = [files.read(path) for path in sorted(Path(folder).glob("*.py"))]
    _sources.extend(source for source in found if isinstance(source, Source))
    return sum(bool(_landed(source).text) for source in _sources)


def parse() -> float:
    """Return the CPU seconds of parsing every script."""
    start = time.process_time()
    for source in _sources:
        libcst.parse_module(source.text)
    return time.process_time() - start


def edit() -> float:
    """Return the CPU seconds of every edit that the tables and rules ask for.

    All but what the templates say: analysis, decisions, edits and imports of the user's module.
    """
    assert _tables is not None
    start = time.process_time()
    for source in _sources:
        tree = parsed(source.text)
        plan = build_plan(collect(source.text, tree), _tables, Options())
        rewrite_module(source.text, tree, plan, "", "Converted.")
    return time.process_time() - start


def migrate() -> float:
    """Return the CPU seconds of the whole: reading, converting, checking, comparing, diff."""
    start = time.process_time()
    for source in _sources:
        _landed(source)
    return time.process_time() - start


def _landed(source: Source) -> batch.Landing:
    job = batch.Job(mode=batch.Mode.PRINT)
    return next(iter(batch.land([Script(path=Path(source.path))], job)))


if __name__ == "__main__":
    answer_calls({"load": load, "parse": parse, "edit": edit, "migrate": migrate})
