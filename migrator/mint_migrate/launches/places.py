"""Offsets of a text as lines and columns, both from 1."""

from __future__ import annotations

from bisect import bisect_right

from mint_migrate.model.source import Span


class Places:
    """The lines of one text."""

    def __init__(self, text: str) -> None:
        """Take the text, with newlines as `\\n`."""
        self._starts = [0]
        for position, char in enumerate(text):
            if char == "\n":
                self._starts.append(position + 1)

    def span(self, start: int, end: int) -> Span:
        """Return the range between two offsets."""
        line, column = self._place(start)
        end_line, end_column = self._place(end)
        return Span(line=line, column=column, end_line=end_line, end_column=end_column)

    def line_start(self, offset: int) -> int:
        """Return the offset at which the line of *offset* starts."""
        return self._starts[bisect_right(self._starts, offset) - 1]

    def _place(self, offset: int) -> tuple[int, int]:
        line = bisect_right(self._starts, offset)
        return line, offset - self._starts[line - 1] + 1
