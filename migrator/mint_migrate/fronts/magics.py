"""What IPython understands and Python does not: shell lines, magics and questions for help.

Each is replaced by an expression that parses, at the same place and on as many lines, and put back
afterwards byte for byte. A line counts only where a statement can start: not inside a string or an
open bracket.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

_LINE = re.compile(
    r"(?P<lead>[ \t]*)(?P<body>[!%].*"
    r"|\?.*"
    r"|%{0,2}[\w*][\w.*]*(?:\[[^\]]*\])*\?{1,2}[ \t]*"
    r"|(?:pip|pip3|conda|mamba) (?:install|uninstall|list|show)\b.*"
    r"|from __future__ import .*)"
)
_ASSIGNED = re.compile(
    r"(?P<lead>[ \t]*[^\s=!%#'\"()][^=!%#'\"()]*(?<![=<>!%])=[ \t]*)(?P<body>!.*|%[A-Za-z].*)"
)
_CELL = re.compile(r"\s*%%(?P<name>\w+)(?P<rest>.*)", re.DOTALL)
PYTHON_CELLS = frozenset({"capture", "time", "timeit", "prun", "python", "python3"})
"""Magics whose cell is Python; the body of any other is left alone."""
_PIECE = re.compile(
    r"(?P<triple>\"\"\"|''')|(?P<quote>[\"'])|(?P<comment>#[^\n]*)|(?P<open>[\[({])"
    r"|(?P<close>[\])}])|(?P<skip>\\.)",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """Text taken out of a cell, and the expression that stands for it."""

    placeholder: str
    text: str


def hide(source: str, first_number: int) -> tuple[str, tuple[Kept, ...]]:
    """Return *source* with what is not Python replaced, and what was replaced.

    Args:
        source: one code cell.
        first_number: number of the first placeholder; the following count on.
    """
    match = _CELL.match(source)
    if match is not None and match["name"] not in PYTHON_CELLS:
        kept = _keep(source, first_number)
        return kept.placeholder, (kept,)
    found: list[Kept] = []
    result: list[str] = []
    lines = source.split("\n")
    index = 0
    state = _State()
    while index < len(lines):
        magic = _magic(lines[index]) if state.is_free else None
        if magic is None:
            result.append(lines[index])
            state.read(lines[index])
            index += 1
            continue
        last = index
        while lines[last].endswith("\\") and last + 1 < len(lines):
            last += 1
        text = "\n".join([magic["body"], *lines[index + 1 : last + 1]])
        found.append(_keep(text, first_number + len(found)))
        result.append(magic["lead"] + found[-1].placeholder)
        index = last + 1
    return "\n".join(result), tuple(found)


def show(text: str, kept: Iterable[Kept]) -> str:
    """Return *text* with the placeholders replaced by what they stand for."""
    for item in kept:
        text = text.replace(item.placeholder, item.text)
    return text


def _magic(line: str) -> re.Match[str] | None:
    return _LINE.fullmatch(line) or _ASSIGNED.fullmatch(line)


def _keep(text: str, number: int) -> Kept:
    # Neither a docstring nor a name: the tuple means nothing to any stage.
    newlines = "\n" * text.count("\n")
    return Kept(placeholder=f'("mint-migrate keeps", {number},{newlines})', text=text)


class _State:
    """Whether a line starts a statement: outside of strings, brackets and continued lines."""

    def __init__(self) -> None:
        self._depth = 0
        self._triple = ""
        self._is_continued = False

    @property
    def is_free(self) -> bool:
        return not (self._depth or self._triple or self._is_continued)

    def read(self, line: str) -> None:
        """Take one more line into account."""
        position = 0
        if self._triple:
            position = _end_of_string(line, 0, self._triple)
            if position < 0:
                return
            self._triple = ""
        has_comment = False
        while match := _PIECE.search(line, position):
            position = self._step(line, match)
            has_comment = match["comment"] is not None
            if self._triple:
                return
        self._is_continued = line.endswith("\\") and not has_comment

    def _step(self, line: str, match: re.Match[str]) -> int:
        """Take one piece of a line into account and return where to go on."""
        if match["triple"]:
            end = _end_of_string(line, match.end(), match["triple"])
            if end < 0:
                self._triple = match["triple"]
            return max(end, match.end())
        if match["quote"]:
            end = _end_of_string(line, match.end(), match["quote"])
            return end if end >= 0 else len(line)
        if match["open"]:
            self._depth += 1
        elif match["close"]:
            self._depth = max(0, self._depth - 1)
        return match.end()


def _end_of_string(line: str, start: int, quote: str) -> int:
    """Return the offset behind the closing *quote*, -1 where the line has none."""
    position = start
    while position < len(line):
        if line[position] == "\\":
            position += 2
        elif line.startswith(quote, position):
            return position + len(quote)
        else:
            position += 1
    return -1
