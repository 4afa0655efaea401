"""Offsets of a text as lines and columns, both from 1; of a shell script also as files."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable

from mint_migrate.model.source import Span
from mint_migrate.shell.pages import Page, Pages
from mint_migrate.shell.words import Word


class Places:
    """The lines of one text, and of the files that it sources if it is a shell script."""

    def __init__(self, text: str, pages: Pages | None = None) -> None:
        """Take the text, with newlines as `\\n`, and where offsets behind it stand."""
        self._pages = pages
        self._sourced: dict[int, Places] = {}
        self._starts = [0]
        for position, char in enumerate(text):
            if char == "\n":
                self._starts.append(position + 1)

    def span(self, start: int, end: int) -> Span:
        """Return the range between two offsets, in the file in which it starts."""
        page = self._page(start)
        if page is not None:
            inner = self._sourced.setdefault(page.start, Places(page.text))
            return inner.span(start - page.start, min(end, page.end) - page.start)
        line, column = self._place(start)
        end_line, end_column = self._place(end)
        return Span(line=line, column=column, end_line=end_line, end_column=end_column)

    def path(self, offset: int) -> str:
        """Return the sourced file in which something stands, empty for the text itself."""
        page = self._page(offset)
        return "" if page is None else page.path

    def origins(self, words: Iterable[Word]) -> tuple[str, ...]:
        """Return the lines of other files that parts of words come from, in words."""
        lines = {
            place_words(self.span(start, start), self.path(start) or "the launcher"): None
            for word in words
            for part in word.parts
            for start in part.starts
            if self.path(start) != self.path(word.start)
        }
        return tuple(lines)

    def line_start(self, offset: int) -> int:
        """Return the offset at which the line of *offset* starts."""
        return self._starts[bisect_right(self._starts, offset) - 1]

    def _page(self, offset: int) -> Page | None:
        return None if self._pages is None else self._pages.at(offset)

    def _place(self, offset: int) -> tuple[int, int]:
        line = bisect_right(self._starts, offset)
        return line, offset - self._starts[line - 1] + 1


def place_words(span: Span, path: str) -> str:
    """Return a place as sentences name it."""
    return f"line {span.line} of {path}" if path else f"line {span.line}"
