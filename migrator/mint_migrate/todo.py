"""`TODO[mint-migrate MMnnn]` markers: what an output still asks of a person.

A marker is a comment. It is never written twice for the same reason at the same place.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import takewhile

_MARKER = re.compile(
    r"#[^\n]*?(?P<marker>TODO\[mint-migrate (?P<code>MM\d{3,4})\]):?[ \t]*(?P<text>.*)"
)

_CONTINUED = re.compile(r"[ \t]*#[ \t]{2,}(?P<text>\S.*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Todo:
    """One marker. Line and column count from 1 and name its `TODO`."""

    line: int
    column: int
    code: str
    message: str
    cell: int = 0
    """Cell of a notebook that the lines are counted in; 0 in any other file."""


def find_todos(text: str) -> tuple[Todo, ...]:
    """Return the markers of *text*, in order.

    A message goes on in the comment lines below the marker that are indented inside the comment.
    """
    lines = text.split("\n")
    todos = []
    for index, line in enumerate(lines):
        match = _MARKER.search(line)
        if match:
            more = takewhile(bool, map(_CONTINUED.fullmatch, lines[index + 1 :]))
            parts = [match["text"], *(each["text"] for each in more if each)]
            todos.append(
                Todo(
                    line=index + 1,
                    column=match.start("marker") + 1,
                    code=match["code"],
                    message=" ".join(part.strip() for part in parts),
                )
            )
    return tuple(todos)


def marker(code: str, sentence: str) -> str:
    """Return the comment that asks a person to act, without indentation."""
    return f"# TODO[mint-migrate {code}] {sentence}"


def insert_marker(text: str, line: int, code: str, sentence: str) -> str:
    """Return *text* with a marker above *line* (from 1), at that line's indentation.

    The text comes back unchanged when a comment directly above, or the line itself, already
    carries a marker with this code.
    """
    lines = text.split("\n")
    index = line - 1
    above = index
    while above > 0 and lines[above - 1].lstrip().startswith("#"):
        above -= 1
    if any(todo.code == code for todo in find_todos("\n".join(lines[above : index + 1]))):
        return text
    indentation = lines[index][: len(lines[index]) - len(lines[index].lstrip())]
    return "\n".join([*lines[:index], indentation + marker(code, sentence), *lines[index:]])
