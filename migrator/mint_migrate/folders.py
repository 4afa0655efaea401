"""Which files of a folder are looked at.

Hidden entries, environments, installed packages, build folders and what `.gitignore` names are
passed over. A link to a folder is followed when it leads to a part of the project that was not
visited yet; a folder that may not be listed is reported.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from mint_migrate.ignored import NAME, Patterns, is_ignored, read_patterns
from mint_migrate.model.outcome import Failed
from mint_migrate.project import find_root

PASSED_OVER = frozenset(
    {"__pycache__", "__pypackages__", "build", "dist", "env", "node_modules", "site-packages"}
    | {"venv"}
)
_ENVIRONMENT = "pyvenv.cfg"


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """The files of a folder: sorted within each folder, inner folders after its files."""

    paths: tuple[str, ...]
    failures: tuple[Failed, ...] = ()
    """Folders that could not be listed (MM105)."""


def list_files(folder: Path, suffixes: tuple[str, ...]) -> Listing:
    """Return the files under *folder* whose names end in one of *suffixes*."""
    walk = _Walk(root=os.path.realpath(find_root(folder)), suffixes=suffixes)
    top = os.fspath(folder)
    paths = list(walk.files(top, _inherited(top, walk.root)))
    # Links come last, so that what they lead to shows under its own name where it has one.
    while walk.links:
        link, patterns = walk.links.pop(0)
        if walk.leads_into_project(link):
            paths += walk.files(link, patterns)
    return Listing(paths=tuple(paths), failures=tuple(walk.failures))


def _inherited(top: str, root: str) -> tuple[Patterns, ...]:
    """Return the patterns of the folders above *top*, the project's root first."""
    real = os.path.realpath(top)
    parts = [] if real == root else os.path.relpath(real, root).split(os.sep)
    found = []
    for index in range(len(parts)):
        above = os.path.join(root, *parts[:index])
        prefix = "/".join([*parts[index:], ""])
        found.append(read_patterns(above, num_cut=len(os.path.join(top, "")), prefix=prefix))
    return tuple(each for each in found if each is not None)


@dataclass(slots=True)
class _Walk:
    """One walk: what was seen, and what is left to do."""

    root: str
    suffixes: tuple[str, ...]
    seen: set[tuple[int, int]] = field(default_factory=set)
    """(device, number) of the folders visited."""
    links: list[tuple[str, tuple[Patterns, ...]]] = field(default_factory=list)
    failures: list[Failed] = field(default_factory=list)

    def files(self, folder: str, patterns: tuple[Patterns, ...]) -> Iterator[str]:
        """Yield the files of *folder* and of the folders in it that were not visited yet."""
        entries = self._entries(folder)
        names = {entry.name for entry in entries}
        if _ENVIRONMENT in names:
            return
        if NAME in names:
            own = read_patterns(folder, num_cut=len(os.path.join(folder, "")))
            patterns = (*patterns, own) if own is not None else patterns
        inner: list[str] = []
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.name.endswith(self.suffixes) and not entry.is_dir():
                if not patterns or not is_ignored(entry.path, patterns):
                    yield entry.path
            elif self._is_to_visit(entry, patterns):
                inner.append(entry.path)
        for path in inner:
            yield from self.files(path, patterns)

    def leads_into_project(self, link: str) -> bool:
        """Say whether a link to a folder stays within the project."""
        real = os.path.realpath(link)
        return real == self.root or real.startswith(os.path.join(self.root, ""))

    def _entries(self, folder: str) -> list[os.DirEntry[str]]:
        """Return the entries of a folder by name; none where it was visited or cannot be listed."""
        try:
            found = os.stat(folder)
            if (found.st_dev, found.st_ino) in self.seen:
                return []
            self.seen.add((found.st_dev, found.st_ino))
            with os.scandir(folder) as entries:
                return sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            reason = f"the directory cannot be listed: {error.strerror or error}"
            self.failures.append(Failed(path=folder, code="MM105", reason=reason))
            return []

    def _is_to_visit(self, entry: os.DirEntry[str], patterns: tuple[Patterns, ...]) -> bool:
        if entry.name in PASSED_OVER or not entry.is_dir():
            return False
        if patterns and is_ignored(f"{entry.path}/", patterns):
            return False
        if entry.is_symlink():
            self.links.append((entry.path, patterns))
            return False
        return True
