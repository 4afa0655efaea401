"""Unified diffs, plain and colored."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.text import Text

_STYLES = (("+++", "bold"), ("---", "bold"), ("@@", "cyan"), ("+", "green"), ("-", "red"))
_NO_NEWLINE = "\\ No newline at end of file\n"


def unified(before: str, after: str, before_name: str, after_name: str) -> str:
    """Return the unified diff of two texts, empty when they are equal.

    It carries no dates, and says where a last line has no newline, so `patch` applies it.
    """
    lines = difflib.unified_diff(
        _lines(before),
        _lines(after),
        fromfile=before_name,
        tofile=after_name,
    )
    return "".join(line if line.endswith("\n") else f"{line}\n{_NO_NEWLINE}" for line in lines)


def _lines(text: str) -> list[str]:
    # Not splitlines: it also breaks at form feeds and other characters that end no line of a file.
    lines = [f"{line}\n" for line in text.split("\n")]
    last = lines.pop()[:-1]
    return [*lines, last] if last else lines


def colored(diff: str) -> Text:
    """Return *diff* with removed lines red and added lines green."""
    from rich.text import Text

    text = Text()
    for line in _lines(diff):
        style = next((style for mark, style in _STYLES if line.startswith(mark)), "")
        text.append(line, style)
    return text
