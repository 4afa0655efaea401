"""The project around a script: its root folder, and the release of a framework it pins.

Only exact pins count (`==`, `===`, or a lock file); a range says what may be installed, not what
the script was written for.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

ROOT_MARKS = (".git", "pyproject.toml")
_RELEASE = r"v?(?P<version>\d[\w.]*)"
_SCRIPT_BLOCK = re.compile(r"^# /// script\n(?P<body>(?:#.*\n)+?)# ///$", re.MULTILINE)
_INSTALLS = re.compile(r"\bpip3? install\b(?:[^\n\\]|\\[^\n]|\\\n)*")
_PINS = ("requirements*.txt", "requirements/*.txt", "constraints*.txt", "environment*.y*ml")


def find_root(path: Path) -> Path:
    """Return the nearest folder at or above *path* with `.git` or `pyproject.toml`.

    Without one it is the folder of *path* (or *path* itself when that is a folder).
    """
    start = path.resolve()
    start = start if start.is_dir() else start.parent
    return next((folder for folder in (start, *start.parents) if is_marked(folder)), start)


def is_marked(folder: Path) -> bool:
    """Say whether *folder* is the root of a project by what lies in it."""
    return any((folder / mark).exists() for mark in ROOT_MARKS)


@cache
def _pin(package: str) -> re.Pattern[str]:
    return re.compile(
        rf"(?<![\w.-]){package}\s*(?:\[[^\]]*\])?\s*={{2,3}}\s*{_RELEASE}", re.IGNORECASE
    )


@cache
def _locked(package: str) -> re.Pattern[str]:
    return re.compile(rf'^name = "{package}"\s*\nversion = "{_RELEASE}"', re.MULTILINE)


def find_version(path: Path, text: str, package: str = "trl") -> tuple[str, str] | None:
    """Return the pinned release of *package* and where it was read, or None.

    Looked at, in this order: the inline metadata of the script itself (PEP 723), what its own text
    says is to be installed, lock files, requirement files, `pyproject.toml`; in the script's folder
    and each one up to the project root.
    """
    block = _SCRIPT_BLOCK.search(text)
    inline = _pin(package).search(block["body"]) if block else None
    if inline:
        return inline["version"], f"inline metadata of {path.name}: {inline[0]}"
    for line in _INSTALLS.findall(text):
        if installed := _pin(package).search(line):
            return installed["version"], f"what {path.name} installs: {installed[0]}"
    folder, root = path.resolve().parent, find_root(path)
    while True:
        found = _version_in(folder, package)
        if found or folder == root or folder == folder.parent:
            return found
        folder = folder.parent


def launched_version(path: Path, text: str) -> tuple[str, str, str] | None:
    """Return (package, release, evidence) of what a launcher may start, where that is pinned."""
    for package in ("verl", "openrlhf"):
        found = find_version(path, text, package)
        if found is not None:
            return (package, *found)
    return None


def _version_in(folder: Path, package: str) -> tuple[str, str] | None:
    for name in ("uv.lock", "poetry.lock", "pdm.lock"):
        found = _locked(package).search(_text_of(folder / name))
        if found:
            return found["version"], f"{name}: {package} {found['version']}"
    pinned = [file for pattern in _PINS for file in sorted(folder.glob(pattern))]
    for file in [*pinned, folder / "pyproject.toml"]:
        for number, line in enumerate(_text_of(file).splitlines(), start=1):
            found = _pin(package).search(line.split("#", 1)[0])
            if found:
                return found["version"], f"{file.name}:{number}: {found[0]}"
    return None


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
