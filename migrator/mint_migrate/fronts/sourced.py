"""What a report says of the files that a shell script sources."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from mint_migrate.launches.given import Given
from mint_migrate.launches.places import Places
from mint_migrate.launches.script import ShellScript
from mint_migrate.model.plan import Decision

_OF_THE_MACHINE = re.compile(
    r"""(?:^|[/"'])(?:activate|conda\.sh|modules?\.sh|setvars\.sh|\.?\w*(?:rc|profile))["']?$"""
    r"|/etc/"
)
"""What prepares a machine: an environment of Python, modules of a cluster, a login shell."""


def about_sourced(shell: ShellScript, places: Places) -> Iterator[str]:
    """Yield one sentence for each file that is read, and for each that cannot be."""
    for page in shell.pages.sourced:
        yield f"`{page.path}` is read as the script sources it; what it sets counts as set here"
    for offset, source in sorted(shell.pages.unread.items()):
        if _OF_THE_MACHINE.search(source) is None:
            line = places.span(offset, offset).line
            where = places.path(offset)
            yield (
                f"line {line}{f' of {where}' if where else ''}: `{source}` is not followed: the "
                "file is not in the project, or only the shell knows its name; where it changes "
                "a value of the script, the result does not"
            )


def with_origins(decisions: Sequence[Decision], options: Sequence[Given]) -> tuple[Decision, ...]:
    """Return decisions that say which lines of sourced files the values come from."""
    origins = {(given.path, given.span): given.origins for given in options if given.origins}
    return tuple(
        replace(item, note=_with_lines(item.note, lines))
        if (lines := origins.get((item.found.path, item.found.span)))
        else item
        for item in decisions
    )


def _with_lines(note: str, lines: Sequence[str]) -> str:
    origin = f"the value comes from {' and '.join(lines)}"
    return f"{note.removesuffix('.')}; {origin}" if note else origin
