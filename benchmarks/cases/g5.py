"""G5: a project of which one file in five uses TRL, beside other migration tools."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from benchmarks.cases import Case
from benchmarks.commands import command_side, migrator, timed
from benchmarks.measure import Figure, Series, interleave
from benchmarks.processes import python_of
from benchmarks.report import Outcome, rows_of
from benchmarks.scripts import make_modules, make_scripts, num_lines
from benchmarks.setting import Setting
from benchmarks.sides import OURS

RUFF, FIXIT, TORCHFIX, BUMP = "ruff", "fixit", "torchfix", "bump-pydantic"
SCRIPTS, MODULES = 24, 96
FEW_SCRIPTS, FEW_MODULES = 3, 12
"""For bump-pydantic, which needs a minute for what the others do in seconds."""


def run(setting: Setting) -> Outcome:
    """Measure the CPU time of each tool over the same tree, nothing written."""
    whole = _project(setting.scratch / "project", SCRIPTS, MODULES)
    small = _project(setting.scratch / "small", FEW_SCRIPTS, FEW_MODULES)
    found: dict[str, Series] = {}
    peers = [name for name in (RUFF, FIXIT, TORCHFIX) if setting.wants(name)]
    sides = [command_side(OURS, _tool(OURS, whole))]
    sides += [command_side(name, _tool(name, whole)) for name in peers]
    found = interleave(sides, repeats=setting.repeats, warmups=1)
    rows = rows_of(found, [_figure("cpu_s", (FIXIT, TORCHFIX))])
    if setting.wants(BUMP):
        sides = [command_side(name, _tool(name, small, "small_cpu_s")) for name in (OURS, BUMP)]
        series = interleave(sides, repeats=max(1, setting.repeats // 2), warmups=1)
        rows += rows_of(series, [_figure("small_cpu_s", (BUMP,))])
    return Outcome(
        workload=(
            f"{SCRIPTS} scripts with SFTTrainer and {MODULES} modules of the standard library, "
            f"{num_lines(whole):,} lines; `small`: {FEW_SCRIPTS} and {FEW_MODULES}, "
            f"{num_lines(small):,} lines"
        ),
        rows=rows,
        notes=(
            "Each tool does its own work: `mint-migrate --check`, `ruff check --select UP,NPY "
            "--diff`, `fixit lint` with its default rules, `torchfix --select ALL`, `bump-pydantic "
            "--diff`. TorchFix passes over files without the word torch. CPU seconds count every "
            "process of a tool.",
        ),
    )


def _figure(name: str, peers: tuple[str, ...]) -> Figure:
    targets = dict.fromkeys(peers, 15.0)
    return Figure(name=name, unit="s", more_is_better=False, ratio_targets=targets)


def _project(folder: Path, scripts: int, modules: int) -> Path:
    make_scripts(folder / "train", scripts)
    make_modules(folder / "lib", modules)
    # The tools look for the root of a project, and no further up.
    (folder / "pyproject.toml").write_text("[project]\nname = 'project'\nversion = '1'\n")
    return folder


def _tool(name: str, folder: Path, figure: str = "cpu_s") -> Callable[[], Mapping[str, float]]:
    """Return what runs a tool over `folder` and gives its CPU seconds."""
    tree = os.fspath(folder)
    if name == OURS:
        command = migrator(tree, "--check")
    else:
        options = {
            RUFF: ["check", "--isolated", "--no-cache", "--select", "UP,NPY", "--diff", tree],
            FIXIT: ["lint", tree],
            TORCHFIX: ["--select", "ALL", tree],
            # It finds the package of a file only below the folder where it runs.
            BUMP: ["--diff", folder.name],
        }
        command = [os.fspath(python_of(name).with_name(name)), *options[name]]

    def measure() -> Mapping[str, float]:
        # 1 says that there are findings; of bump-pydantic, which leaves a log where it runs, that
        # it failed.
        found = timed(command, cwd=folder.parent, accepted=(0,) if name == BUMP else (0, 1))
        return {figure: found["cpu_s"]}

    return measure


CASE = Case(
    name="G5", title="a project, beside other tools", run=run, peers=(RUFF, FIXIT, TORCHFIX, BUMP)
)
