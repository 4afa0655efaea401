"""G1: a tree whose files use no source framework, from the command line."""

from __future__ import annotations

from collections.abc import Mapping

from mint_migrate.folders import list_files

from benchmarks.cases import Case
from benchmarks.commands import command_side, migrator, timed
from benchmarks.measure import Figure, interleave
from benchmarks.processes import python_of
from benchmarks.report import Outcome, rows_of
from benchmarks.scripts import STDLIB
from benchmarks.setting import Setting
from benchmarks.sides import OURS

RUFF = "ruff"


def run(setting: Setting) -> Outcome:
    """Measure lines a second over Python's standard library, start of the process included."""
    paths = list_files(STDLIB, (".py",)).paths
    num_lines = 0
    for path in paths:
        with open(path, "rb") as file:
            num_lines += file.read().count(b"\n")

    def figures(command: list[str]) -> Mapping[str, float]:
        found = timed(command)
        return {
            "lines_per_cpu_s": num_lines / found["cpu_s"],
            "lines_per_s": num_lines / found["wall_s"],
        }

    sides = [
        command_side(OURS, lambda: figures(migrator(str(STDLIB), "--check"))),
        command_side("scan", lambda: figures(migrator("scan", str(STDLIB)))),
    ]
    if setting.wants(RUFF):
        python = python_of(RUFF)
        options = ["check", "--isolated", "--no-cache", "--select", "UP", "--diff", str(STDLIB)]
        sides.append(command_side(RUFF, lambda: figures([str(python.with_name(RUFF)), *options])))
    series = interleave(sides, repeats=setting.repeats, warmups=1)
    return Outcome(
        workload=f"the {len(paths)} files and {num_lines:,} lines of Python's standard library",
        rows=rows_of(
            series,
            [
                Figure(name="lines_per_cpu_s", unit="lines/s", target=1e6),
                Figure(name="lines_per_s", unit="lines/s"),
            ],
        ),
        notes=(
            "`ours` is `mint-migrate FOLDER --check`, `scan` is `mint-migrate scan FOLDER`, which "
            "looks for more frameworks; ruff parses every file, applies its rules for old syntax "
            "and may use both cores. The target "
            "is set on CPU time, which neighbors of a shared machine do not take away.",
        ),
    )


CASE = Case(name="G1", title="files that use no framework", run=run, peers=("scan", RUFF))
