"""G4: single commands, from the shell to their end."""

from __future__ import annotations

import random
from collections.abc import Mapping

from benchmarks.cases import Case
from benchmarks.commands import command_side, migrator, timed
from benchmarks.measure import Figure, interleave
from benchmarks.report import Outcome, rows_of
from benchmarks.scripts import FIXTURES, script_of
from benchmarks.setting import Setting
from benchmarks.sides import OURS

LINES = 200


def run(setting: Setting) -> Outcome:
    """Measure the CPU time of converting one script, of an answer, and of doing nothing."""
    text = script_of(FIXTURES / "sft_argparse.py", LINES, random.Random(0))
    script = setting.scratch / "train.py"
    script.write_text(text, encoding="utf-8")

    def figures() -> Mapping[str, float]:
        return {
            "script": timed(migrator(str(script), "--diff"))["cpu_s"],
            "ask": timed(migrator("ask", "what replaces SFTTrainer"))["cpu_s"],
            "version": timed(migrator("--version"))["cpu_s"],
            "scan": timed(migrator("scan", str(script)))["cpu_s"],
        }

    series = interleave([command_side(OURS, figures)], repeats=setting.repeats)
    targets = {"script": 0.6, "ask": 0.25, "version": 0.25, "scan": None}
    return Outcome(
        workload=f"one script of {text.count(chr(10))} lines; a question; `--version`",
        rows=rows_of(
            series,
            [
                Figure(name=name, unit="CPU s", more_is_better=False, target=target)
                for name, target in targets.items()
            ],
        ),
        notes=("The import of libcst is about 0.2 s of `script`; `scan` does without.",),
    )


CASE = Case(name="G4", title="one command", run=run)
