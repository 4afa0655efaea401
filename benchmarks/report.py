"""The outcome of a case, as JSON carries it."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from benchmarks.measure import Figure, Row, Series, build_rows
from benchmarks.setting import Setting

VERSION = 1
_PACKAGES = ("torch", "transformers", "peft", "tinker", "mindlab-toolkit", "trl", "numpy")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a case measured."""

    workload: str
    """One sentence: sizes, lengths, losses."""
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()
    seeds: tuple[int, ...] = (0,)
    details: Mapping[str, Any] = field(default_factory=dict)
    """What else was recorded, for example the memory of every minute of a soak."""


def rows_of(
    series: Mapping[str, Series], figures: Sequence[Figure], *, ours: str = "ours"
) -> tuple[Row, ...]:
    """Return the rows of every figure: ours, then ours beside each peer."""
    peers = {name: each for name, each in series.items() if name != ours}
    return tuple(row for figure in figures for row in build_rows(series[ours], peers, figure))


def to_json(name: str, title: str, outcome: Outcome, setting: Setting) -> dict[str, Any]:
    """Return the document of one case."""
    return {
        "version": VERSION,
        "case": name,
        "title": title,
        "workload": outcome.workload,
        "command": command_of(sys.argv[1:]),
        "model": setting.model.name,
        "device": setting.device,
        "dtype": setting.dtype,
        "threads": setting.threads,
        "seeds": list(outcome.seeds),
        "machine": {
            "cores": os.cpu_count(),
            "architecture": platform.machine(),
            "flops": setting.machine.flops,
            "bandwidth": setting.machine.bandwidth,
            "load": os.getloadavg()[0],
        },
        "versions": versions(),
        "rows": [row.to_json() for row in outcome.rows],
        "notes": list(outcome.notes),
        "details": dict(outcome.details),
    }


def command_of(arguments: Sequence[str]) -> str:
    """Return the command line without `--json PATH`, which says nothing about the figures."""
    kept = list(arguments)
    if "--json" in kept:
        place = kept.index("--json")
        del kept[place : place + 2]
    return " ".join(["python -m benchmarks", *kept])


def versions() -> dict[str, str]:
    """Return the versions of Python and of what the figures depend on."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def write_json(path: Path, document: Mapping[str, Any]) -> None:
    """Write `document` to `path`, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    fresh.replace(path)
