"""Find the scripts that the paths of a command line mean.

A file is taken as given. A folder is walked in sorted order; hidden folders, environments and
installed packages are passed over, and one regular expression over the bytes decides which scripts
are worth parsing.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mint_migrate.model.outcome import Failed

PASSED_OVER = frozenset({"__pycache__", "env", "node_modules", "site-packages", "venv"})
# A name in an import, a string given to importlib, or a launcher's `-m`; not a part of a word.
# Our own outputs are looked at as well, for the markers in them.
_WORTH_PARSING = re.compile(rb"(?<![\w.])trl(?![\w-])|\nmint-migrate \S+, sha256 [0-9a-f]{16}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """One file to migrate. `base` is the folder it was found under, None when it was named."""

    path: Path
    base: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathered:
    """What the command line meant."""

    scripts: tuple[Script, ...]
    failures: tuple[Failed, ...]
    num_passed_over: int = 0
    """Scripts in the given folders that name no source framework."""


def gather(paths: Sequence[Path]) -> Gathered:
    """Return the scripts of *paths*, each once, in the order given and sorted within a folder.

    A path that does not exist ends as MM105, a folder without any script as MM106.
    """
    scripts: dict[Path, Script] = {}
    failures: list[Failed] = []
    num_passed_over = 0
    for path in paths:
        if not path.is_dir():
            scripts.setdefault(path.resolve(), Script(path=path))
            continue
        found = list(walk(path))
        if not found:
            failures.append(
                Failed(
                    path=os.fspath(path),
                    code="MM106",
                    reason="the directory holds no Python script",
                    hint="hidden folders, environments and installed packages are not searched",
                )
            )
        for script in found:
            if is_worth_parsing(script):
                scripts.setdefault(script.resolve(), Script(path=script, base=path))
            else:
                num_passed_over += 1
    return Gathered(
        scripts=tuple(scripts.values()), failures=tuple(failures), num_passed_over=num_passed_over
    )


def walk(folder: Path) -> Iterator[Path]:
    """Yield the `.py` files under *folder* in sorted order."""
    for current, folders, names in os.walk(folder):
        folders[:] = sorted(
            name for name in folders if not name.startswith(".") and name not in PASSED_OVER
        )
        for name in sorted(names):
            if name.endswith(".py") and not name.startswith("."):
                yield Path(current, name)


def is_worth_parsing(path: Path) -> bool:
    """Say whether *path* names a source framework anywhere; an unreadable file is worth a look."""
    try:
        return _WORTH_PARSING.search(path.read_bytes()) is not None
    except OSError:
        return True
