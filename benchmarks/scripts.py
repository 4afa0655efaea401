"""Trees of scripts for the cases of the migrator.

Real training scripts have 171 lines in the median and 404 at the 90th percentile, most of them
their own functions. The fixtures are shorter, so each is followed by functions of Python's standard
library until it has the length that it drew. A tree also has files without a framework: modules of
the standard library as they are.
"""

from __future__ import annotations

import ast
import random
import shutil
import sysconfig
from functools import cache
from pathlib import Path

from mint_migrate.check.names import undefined_names

from benchmarks.processes import ROOT

FIXTURES = ROOT / "fixtures" / "before" / "trl"
MEDIAN_LINES = 171
STDLIB = Path(sysconfig.get_path("stdlib"))
_SOURCES = (
    *(
        "ast",
        "asyncio/base_events",
        "bisect",
        "calendar",
        "colorsys",
        "copy",
        "difflib",
        "functools",
    ),
    *("heapq", "inspect", "ntpath", "opcode", "pprint", "random", "shutil", "statistics", "string"),
    *("textwrap", "threading", "traceback", "types", "urllib/parse", "uuid"),
)


def make_scripts(folder: Path, count: int, *, seed: int = 0) -> Path:
    """Write `count` scripts that use TRL into `folder`, and return it."""
    folder.mkdir(parents=True, exist_ok=True)
    draw = random.Random(seed)
    fixtures = [path for path in sorted(FIXTURES.glob("sft_*.py")) if _lines(path) >= 20]
    for number in range(count):
        lines = min(600, max(60, round(draw.lognormvariate(5.14, 0.67))))
        text = script_of(fixtures[number % len(fixtures)], lines, draw)
        (folder / f"train_{number:04}.py").write_text(text, encoding="utf-8")
    return folder


def script_of(fixture: Path, num_lines: int, draw: random.Random) -> str:
    """Return the text of a fixture, lengthened by functions to about `num_lines` lines."""
    text = fixture.read_text(encoding="utf-8").rstrip() + "\n"
    while (left := num_lines - text.count("\n")) > 5:
        fitting = [each for each in _functions() if each.count("\n") + 4 <= left]
        if not fitting:
            break
        text += f"\n\n{draw.choice(fitting)}\n"
    return text


def make_modules(folder: Path, count: int, *, seed: int = 0) -> Path:
    """Copy `count` modules of the standard library into `folder`, and return it."""
    folder.mkdir(parents=True, exist_ok=True)
    found = [path for path in sorted(STDLIB.glob("*.py")) if 50 <= _lines(path) <= 600]
    for path in random.Random(seed).sample(found, min(count, len(found))):
        shutil.copyfile(path, folder / path.name)
    return folder


def num_lines(folder: Path) -> int:
    """Return how many lines the scripts under `folder` have."""
    return sum(_lines(path) for path in folder.rglob("*.py"))


def _lines(path: Path) -> int:
    return path.read_bytes().count(b"\n")


@cache
def _functions() -> tuple[str, ...]:
    """Return functions of the standard library that need nothing around them."""
    found: list[str] = []
    for name in _SOURCES:
        text = (STDLIB / f"{name}.py").read_text(encoding="utf-8")
        for node in ast.parse(text).body:
            segment = ast.get_source_segment(text, node)
            if isinstance(node, ast.FunctionDef) and segment and not undefined_names(segment):
                found.append(segment)
    return tuple(found)
