"""The project around a script: its root folder, and the release of a framework it pins.

Only exact pins count (`==`, `===`, or a lock file); a range says what may be installed, not what
the script was written for.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

LAUNCHED = ("verl", "openrlhf")
"""Packages whose trainings are described by launchers."""
ROOT_MARKS = (".git", "pyproject.toml")
_RELEASE = r"v?(?P<version>\d[\w.]*)"
_SCRIPT_BLOCK = re.compile(r"^# /// script\n(?P<body>(?:#.*\n)+?)# ///$", re.MULTILINE)
_INSTALLS = re.compile(r"\bpip3? install\b(?:[^\n\\]|\\[^\n]|\\\n)*")
_COPIES = {
    "verl": ("verl/version/version", "verl/verl/version/version"),
    "openrlhf": ("version.txt", "OpenRLHF/version.txt"),
}
"""Files that say the release of a copy of a package."""
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


def find_versions(path: Path, text: str, packages: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Return the pinned release of each of *packages* and where it was read, if there is one.

    Looked at, in this order: the inline metadata of the script itself (PEP 723), what its own text
    says is to be installed; then, in the script's folder and each one up to the project root, lock
    files, requirement files, `pyproject.toml`, a copy of the package. Each file is read once.
    """
    found = {name: said for name in packages if (said := _said_by(path, text, name)) is not None}
    folder, root = path.resolve().parent, find_root(path)
    while missing := [name for name in packages if name not in found]:
        found |= _versions_in(folder, missing)
        if folder in (root, folder.parent):
            break
        folder = folder.parent
    return found


def launched(versions: Mapping[str, tuple[str, str]]) -> tuple[str, str, str] | None:
    """Return (package, release, evidence) of what a launcher may start, where that is known."""
    return next(((name, *versions[name]) for name in LAUNCHED if name in versions), None)


def _said_by(path: Path, text: str, package: str) -> tuple[str, str] | None:
    """Return the release that a script itself names."""
    block = _SCRIPT_BLOCK.search(text)
    inline = _pin(package).search(block["body"]) if block else None
    if inline:
        return inline["version"], f"inline metadata of {path.name}: {inline[0]}"
    for line in _INSTALLS.findall(text):
        if installed := _pin(package).search(line):
            return installed["version"], f"what {path.name} installs: {installed[0]}"
    return None


def _versions_in(folder: Path, packages: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Return the releases that the files of one folder pin; of several the first counts.

    Of a package that none pins, it is the release of a copy that the folder holds.
    """
    found: dict[str, tuple[str, str]] = {}
    for name in ("uv.lock", "poetry.lock", "pdm.lock"):
        text = _text_of(folder / name)
        for package in packages:
            if package not in found and (locked := _locked(package).search(text)):
                release = locked["version"]
                found[package] = release, f"{name}: {package} {release}"
    pinned = [file for pattern in _PINS for file in sorted(folder.glob(pattern))]
    for file in [*pinned, folder / "pyproject.toml"]:
        for number, line in enumerate(_text_of(file).splitlines(), start=1):
            for package in packages:
                match = _pin(package).search(line.split("#", 1)[0])
                if match and package not in found:
                    found[package] = match["version"], f"{file.name}:{number}: {match[0]}"
    for package in packages:
        if package not in found and (copied := _copied_version(folder, package)):
            found[package] = copied
    return found


def _copied_version(folder: Path, package: str) -> tuple[str, str] | None:
    """Return the release of a copy of *package* that lies in *folder*."""
    for name in _COPIES.get(package, ()):
        version = _text_of(folder / name).strip()
        place = (folder / name).parent
        is_its = place.parent.name == package or (place / package).is_dir()
        if is_its and re.fullmatch(_RELEASE, version):
            return version, f"the project's copy of {package}: {name} says {version}"
    return None


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
