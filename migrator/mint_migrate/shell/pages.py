"""The text of a shell script with the files that it sources, one behind the other.

Every word keeps one offset, wherever it stands: the script comes first, then each file once, in
the order in which they are sourced.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from mint_migrate.shell.grammar import parse
from mint_migrate.shell.syntax import Script

ReadFile = Callable[[str], str | None]
"""Returns the text of a file below the folder of the script, None where it is not there."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Page:
    """One sourced file."""

    path: str
    """From the folder of the script."""
    start: int
    """Offset of its first character."""
    text: str
    script: Script
    sources: list[int] = field(default_factory=list)
    """Offsets behind the commands that source it, in the script or in another file."""

    @property
    def end(self) -> int:
        """Return the offset behind its last character."""
        return self.start + len(self.text)


class Pages:
    """A script and what it sources. Files are read as text, and each only once."""

    def __init__(self, text: str, read: ReadFile | None = None) -> None:
        """Take the script, and what returns the text of a file that it names."""
        self.text = text
        """All of it."""
        self.sourced: list[Page] = []
        self.unread: dict[int, str] = {}
        """Offset of each command that sources what cannot be read -> how it names the file."""
        self._read = read
        self.num_own = len(text)
        """Characters of the script itself."""

    def page(self, path: str) -> Page | None:
        """Return a file that is sourced, None where it is not there."""
        known = next((page for page in self.sourced if page.path == path), None)
        text = self._text(path) if known is None else None
        if known is not None or text is None:
            return known
        start = len(self.text) + 1
        script = parse(text, range(start, start + len(text) + 1))
        page = Page(path=path, start=start, text=text, script=script)
        self.text = f"{self.text}\n{text}"
        self.sourced.append(page)
        return page

    def has(self, path: str) -> bool:
        """Say whether a file is there."""
        return any(page.path == path for page in self.sourced) or self._text(path) is not None

    def at(self, offset: int) -> Page | None:
        """Return the sourced file in which something stands, None for the script itself."""
        if offset <= self.num_own:
            return None
        return next((page for page in self.sourced if page.start <= offset <= page.end), None)

    def _text(self, path: str) -> str | None:
        return self._read(path) if self._read is not None else None
