"""G2: what a conversion costs beside parsing the script with libcst, its floor."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from benchmarks.cases import Case
from benchmarks.commands import SOURCE
from benchmarks.measure import Figure, Measure, Side, interleave
from benchmarks.processes import ROOT, running_worker
from benchmarks.report import Outcome, rows_of
from benchmarks.scripts import make_scripts, num_lines
from benchmarks.setting import Setting
from benchmarks.sides import OURS

SCRIPTS = 40


def run(setting: Setting) -> Outcome:
    """Measure the CPU time of edits and of whole conversions, by that of parsing."""
    folder = make_scripts(setting.scratch / "scripts", SCRIPTS)

    @contextmanager
    def open_side() -> Iterator[Measure]:
        with running_worker("migrating", PYTHONPATH=f"{SOURCE}:{ROOT}") as worker:
            converted = worker.call("load", folder=str(folder))
            assert converted == SCRIPTS, f"{converted} of {SCRIPTS} scripts are converted"

            def measure() -> Mapping[str, float]:
                parse = worker.call("parse")
                return {
                    "edit": worker.call("edit") / parse,
                    "convert": worker.call("migrate") / parse,
                    "parse_s": parse,
                }

            yield measure

    series = interleave([Side(name=OURS, open=open_side)], repeats=setting.repeats)
    lines = num_lines(folder)
    return Outcome(
        workload=f"{SCRIPTS} scripts with SFTTrainer, {lines:,} lines, in one process",
        rows=rows_of(
            series,
            [
                Figure(name="edit", unit="times parsing", more_is_better=False, target=1.7),
                Figure(name="convert", unit="times parsing", more_is_better=False, target=3.0),
                Figure(name="parse_s", unit="CPU s", more_is_better=False),
            ],
        ),
        notes=(
            "`parse_s` is `libcst.parse_module` of every script. `edit` is everything but what the "
            "templates say: analysis, decisions and the edits of the user's module, parsing "
            "included. `convert` adds the training loop, which is longer than most scripts, the "
            "checks of the result, and the difference.",
        ),
    )


CASE = Case(name="G2", title="a conversion beside parsing", run=run)
