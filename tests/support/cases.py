"""The fixtures and what `fixtures/cases/` says about them."""

from __future__ import annotations

import functools
import shutil
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
FIXTURES = ROOT / "fixtures"


@functools.cache
def cases() -> tuple[dict[str, Any], ...]:
    """Return every case of a script in `fixtures/cases/`."""
    return tuple(case for table in _tables() for case in table.get("case", ()))


@functools.cache
def launchers() -> tuple[dict[str, Any], ...]:
    """Return every case of a launcher in `fixtures/cases/`."""
    return tuple(case for table in _tables() for case in table.get("launcher", ()))


@functools.cache
def libraries() -> tuple[dict[str, Any], ...]:
    """Return every case of a Python file that uses verl or OpenRLHF in `fixtures/cases/`."""
    return tuple(case for table in _tables() for case in table.get("library", ()))


def _tables() -> list[dict[str, Any]]:
    files = sorted((FIXTURES / "cases").glob("*.toml"))
    return [tomllib.loads(path.read_text(encoding="utf-8")) for path in files]


def verifiable() -> list[str]:
    """Return the ids of the scripts that train under the pinned TRL."""
    return [case["id"] for case in cases() if case.get("verify")]


def arguments_of(case: str) -> list[str]:
    """Return the command line of a script, without its name."""
    return next((list(item.get("arguments", ())) for item in cases() if item["id"] == case), [])


def copy_case(case: str, folder: Path) -> Path:
    """Copy one TRL script, and the data and modules it may read, into *folder*; return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copytree(FIXTURES / "data", folder / "data", dirs_exist_ok=True)
    shutil.copytree(FIXTURES / "modules", folder, dirs_exist_ok=True)
    return Path(shutil.copy(FIXTURES / "before" / "trl" / f"{case}.py", folder))
