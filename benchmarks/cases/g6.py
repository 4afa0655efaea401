"""G6: launchers of verl and OpenRLHF, from shell text to checked scripts."""

from __future__ import annotations

import statistics
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from benchmarks.cases import Case
from benchmarks.commands import SOURCE, migrator, timed
from benchmarks.measure import Figure, Measure, Side, interleave, percentile
from benchmarks.processes import ROOT, running_worker
from benchmarks.report import Outcome, rows_of
from benchmarks.setting import Setting
from benchmarks.sides import OURS

FIXTURES = ROOT / "fixtures"
BASH = "bash -n"


def launchers() -> list[tuple[Path, str]]:
    """Return (path, release) of every launcher among the fixtures."""
    tables = [
        tomllib.loads(path.read_text(encoding="utf-8"))
        for path in sorted((FIXTURES / "cases").glob("*.toml"))
    ]
    cases = [case for table in tables for case in table.get("launcher", ())]
    return [(FIXTURES / case["path"], case["source_version"]) for case in cases]


def run(setting: Setting) -> Outcome:
    """Measure the CPU time of every launcher, beside reading it and beside bash's own check."""
    found = launchers()
    paths = [path for path, _ in found]
    command = migrator(*map(str, paths), "--check")

    @contextmanager
    def open_side() -> Iterator[Measure]:
        with running_worker("launching", PYTHONPATH=f"{SOURCE}:{ROOT}") as worker:
            given = [(str(path), release) for path, release in found]
            migrated = worker.call("load", launchers=given)
            assert migrated == len(found), f"{migrated} of {len(found)} launchers are migrated"

            def measure() -> Mapping[str, float]:
                parse, follow = worker.call("parse"), worker.call("follow")
                each = worker.call("migrate")
                return {
                    "launchers_per_s": len(each) / sum(each),
                    "median": 1000 * statistics.median(each),
                    "p90": 1000 * percentile(each, 90),
                    "cpu_ms": 1000 * sum(each) / len(each),
                    "parse_ms": 1000 * parse / len(each),
                    "follow_ms": 1000 * follow / len(each),
                    "command_ms": 1000 * timed(command)["cpu_s"] / len(each),
                }

            yield measure

    @contextmanager
    def open_bash() -> Iterator[Measure]:
        def measure() -> Mapping[str, float]:
            spent = [timed(["bash", "-n", str(path)], accepted=(0,))["cpu_s"] for path in paths]
            return {"cpu_ms": 1000 * sum(spent) / len(spent)}

        yield measure

    sides = [Side(name=OURS, open=open_side)]
    if setting.wants(BASH):
        sides.append(Side(name=BASH, open=open_bash))
    series = interleave(sides, repeats=setting.repeats)
    lines = sum(path.read_bytes().count(b"\n") for path in paths)
    return Outcome(
        workload=f"{len(paths)} launchers of verl and OpenRLHF, {lines:,} lines, in one process",
        rows=rows_of(
            series,
            [
                Figure(name="launchers_per_s", unit="launchers/CPU s"),
                Figure(name="cpu_ms", unit="CPU ms a launcher", more_is_better=False),
                Figure(name="command_ms", unit="CPU ms a launcher", more_is_better=False),
                Figure(name="median", unit="CPU ms", more_is_better=False),
                Figure(name="p90", unit="CPU ms", more_is_better=False),
                Figure(name="parse_ms", unit="CPU ms a launcher", more_is_better=False),
                Figure(name="follow_ms", unit="CPU ms a launcher", more_is_better=False),
            ],
        ),
        notes=(
            "A launcher is read with the files of configuration that it names, every option is "
            "decided, its scripts are written out and checked as Python; nothing is stored. "
            "`command_ms` is `mint-migrate LAUNCHERS --check` from its start to its end. "
            "`parse_ms` is the shell grammar alone, `follow_ms` also what each command gets when "
            "the launcher runs. `bash -n` parses a launcher in a process of its own and does "
            "nothing else: it is a floor, not a peer, and most of it is the process.",
        ),
    )


CASE = Case(name="G6", title="launchers", run=run, peers=(BASH,))
