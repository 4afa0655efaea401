"""G3: a large tree with one process and with two."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.cases import Case
from benchmarks.commands import command_side, migrator, timed
from benchmarks.measure import Figure, interleave
from benchmarks.report import Outcome, rows_of
from benchmarks.scripts import make_modules, make_scripts, num_lines
from benchmarks.setting import Setting
from benchmarks.sides import OURS

ONE = "one process"
SCRIPTS, MODULES = 300, 100


def run(setting: Setting) -> Outcome:
    """Measure the wall time of converting a tree, written out each time."""
    folder = setting.scratch / "tree"
    make_scripts(folder / "train", SCRIPTS)
    make_modules(folder / "lib", MODULES)
    place = setting.scratch / "out"

    def seconds(*options: str) -> Mapping[str, float]:
        found = timed(migrator(str(folder), "-o", str(place), "--format", "json", *options))
        return {"wall_s": found["wall_s"], "cpu_s": found["cpu_s"]}

    sides = [
        command_side(OURS, lambda: seconds("--jobs", "2")),
        command_side(ONE, lambda: seconds("--jobs", "1")),
    ]
    series = interleave(sides, repeats=setting.repeats, warmups=1)
    wall = Figure(name="wall_s", unit="s", more_is_better=False, ratio_targets={ONE: 1.8})
    return Outcome(
        workload=f"{SCRIPTS} scripts and {MODULES} other modules, {num_lines(folder):,} lines",
        rows=rows_of(series, [wall, Figure(name="cpu_s", unit="s", more_is_better=False)]),
        notes=("Neighbors that want a core make two processes look worse than they are.",),
    )


CASE = Case(name="G3", title="two cores", run=run, peers=(ONE,))
