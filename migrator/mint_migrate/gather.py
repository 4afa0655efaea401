"""Find the scripts that the paths of a command line mean.

A file is taken as given. A folder is walked in sorted order, and its scripts are taken when their
bytes name a source framework or when they import from a script that does.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mint_migrate.detect import is_worth_parsing
from mint_migrate.folders import list_files
from mint_migrate.model.outcome import Failed

SUFFIXES = (".py", ".ipynb", ".sh")
"""Of the files of a folder that can be migrated."""
_STARTS_TRAINING = re.compile(rb"\b(?:accelerate\s+launch|torchrun|deepspeed)\b.*\.py\b", re.DOTALL)


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

    Each script once means also that a link and what it leads to are one. A path that does not exist
    ends as MM105 when it is read, a folder without any script as MM106.
    """
    scripts: dict[str, Script] = {}
    failures: list[Failed] = []
    num_passed_over = 0
    for path in paths:
        if not path.is_dir():
            scripts.setdefault(os.path.realpath(path), Script(path=path))
            continue
        listing = list_files(path, SUFFIXES)
        failures += listing.failures
        if not listing.paths and not listing.failures:
            failures.append(_no_scripts(path))
        wanted = _wanted(listing.paths, path)
        num_passed_over += len(listing.paths) - len(wanted)
        for script in wanted:
            scripts.setdefault(os.path.realpath(script), Script(path=Path(script), base=path))
    return Gathered(
        scripts=tuple(scripts.values()), failures=tuple(failures), num_passed_over=num_passed_over
    )


def walk(folder: Path) -> Iterator[Path]:
    """Yield the scripts, notebooks and shell launchers under *folder* in sorted order."""
    yield from map(Path, list_files(folder, SUFFIXES).paths)


def _wanted(paths: Sequence[str], base: Path) -> tuple[str, ...]:
    """Return the scripts that use a source framework, by themselves or through one another."""
    named = {path for path in paths if _is_worth_a_look(path)}
    if not named:
        return ()
    # Worth its import only where there is a framework at all.
    from mint_migrate.local.users import users_of

    modules = [path for path in paths if path.endswith(".py")]
    using = tuple(path for path in modules if path in named)
    through = users_of(using, [path for path in modules if path not in named], base)
    named.update(through)
    return tuple(path for path in paths if path in named)


def _is_worth_a_look(path: str) -> bool:
    """Say whether *path* may have to be migrated; an unreadable file is, to be reported."""
    try:
        with open(path, "rb", buffering=0) as file:
            content = file.read()
            return is_worth_parsing(content) or (
                path.endswith(".sh") and _STARTS_TRAINING.search(content) is not None
            )
    except OSError:
        return True


def _no_scripts(path: Path) -> Failed:
    return Failed(
        path=os.fspath(path),
        code="MM106",
        reason="the directory holds no script, notebook or launcher",
        hint="hidden folders, environments, build folders, installed packages and what "
        "`.gitignore` names are not searched",
    )
