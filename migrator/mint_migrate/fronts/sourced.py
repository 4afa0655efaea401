"""What becomes of the files that a shell script sources, and what a report says of them.

They stay as they are, for others may source them, too. A function of theirs that trains is defined
once more in the copy of the script, behind the command that sources it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from mint_migrate.launches.commands import Launch, find_launches
from mint_migrate.launches.given import Given
from mint_migrate.launches.places import Places
from mint_migrate.launches.script import ShellScript
from mint_migrate.model.plan import Decision
from mint_migrate.shell.pages import Page
from mint_migrate.shell.setters import functions_in

Edit = tuple[int, int, str]
"""Start, end, and what comes there."""

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


def launches_in_files(shell: ShellScript, places: Places) -> list[Launch]:
    """Return the commands of sourced files that train, or start a script, and are got to."""
    found: list[Launch] = []
    for page in shell.pages.sourced:
        commands = tuple(command for command in page.script.commands if command.words)
        found += find_launches(replace(shell, commands=commands), places)
    return [replace(launch, line=launch.start) for launch in found if launch.is_reached]


def is_placed(launch: Launch, shell: ShellScript) -> bool:
    """Say whether a command can be replaced: it stands in the script, or in a function."""
    page = shell.pages.at(launch.start)
    return page is None or _redefined(launch.start, page, shell) is not None


def with_edits(shell: ShellScript, edits: Sequence[Edit]) -> str:
    """Return the script with some of its text, and of the functions that it sources, replaced."""
    own: dict[tuple[int, int], str] = {}
    functions: dict[tuple[int, int, int], list[Edit]] = {}
    for start, end, text in edits:
        page = shell.pages.at(start)
        if page is None:
            own[start, end] = own.get((start, end), "") + text
            continue
        place = _redefined(start, page, shell)
        assert place is not None, "only launches with such a place are converted"
        functions.setdefault(place, []).append((start, end, text))
    for (where, start, end), inner in functions.items():
        page = shell.pages.at(start)
        assert page is not None
        text = _replaced(shell.text, inner, start, end)
        added = f"\n# As in {page.path}, but for what it starts.\n{text}"
        own[where, where] = own.get((where, where), "") + added
    everything = [(*place, text) for place, text in own.items()]
    return _replaced(shell.text, everything, 0, shell.pages.num_own)


def _replaced(text: str, edits: Sequence[Edit], start: int, end: int) -> str:
    for first, last, new in sorted(edits, reverse=True):
        text = text[:first] + new + text[last:]
        end += len(new) - (last - first)
    return text[start:end]


def _redefined(offset: int, page: Page, shell: ShellScript) -> tuple[int, int, int] | None:
    """Return where the function around something has to be defined again, and its extent.

    That is the end of the line of the script that sources its file. None where the file is not
    sourced once, the line goes on, or there is no function: it then trains while it is sourced.
    """
    function = next(
        (item for item in functions_in(page.script.root) if item.start <= offset < item.end), None
    )
    sourced: Page | None = page
    where = offset
    while sourced is not None:
        if len(sourced.sources) != 1:
            return None
        (where,) = sourced.sources
        sourced = shell.pages.at(where)
    line_end = shell.text.find("\n", where, shell.pages.num_own)
    line_end = shell.pages.num_own if line_end < 0 else line_end
    goes_on = shell.text[where:line_end].rstrip().endswith(("\\", "&&", "||", "|"))
    return None if function is None or goes_on else (line_end, function.start, function.end)


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
