"""The words of a shell script and what is known of their values. Nothing is executed.

A word is a list of parts: text, variables, and what only a shell can say (command substitutions,
arithmetic, other expansions), which is kept as it is written.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from enum import StrEnum


class PartKind(StrEnum):
    """What a part of a word is."""

    TEXT = "text"
    VARIABLE = "variable"
    ARRAY = "array"
    """All elements of an array; `@` is the arguments of the script itself."""
    OPAQUE = "opaque"


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A piece of a word: its text, the name of a variable, or the source of something opaque."""

    kind: PartKind
    text: str
    default: str | None = None
    """What stands for a variable that is not set."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """One word, where it stands in the script, and its parts."""

    start: int
    end: int
    source: str
    parts: tuple[Part, ...]
    is_quoted: bool = False

    @property
    def text(self) -> str | None:
        """Return the value where all of it is known."""
        if all(part.kind is PartKind.TEXT for part in self.parts):
            return "".join(part.text for part in self.parts)
        return None

    @property
    def lead(self) -> str:
        """Return the known text it starts with."""
        first = self.parts[0] if self.parts else None
        return first.text if first is not None and first.kind is PartKind.TEXT else ""

    def after(self, num_chars: int) -> Word:
        """Return the word without its first characters, which are known text."""
        first, *rest = self.parts
        head = replace(first, text=first.text[num_chars:])
        parts = (head, *rest) if head.text or not rest else tuple(rest)
        return replace(self, parts=parts)


_VARIABLE = re.compile(r"(?P<name>[A-Za-z_]\w*|\d)")
_BRACED = re.compile(r"(?P<name>[A-Za-z_]\w*|\d+)(?::?[-=](?P<default>.*))?", re.DOTALL)
_ELEMENTS = re.compile(r"(?P<name>[A-Za-z_]\w*)\[[@*]\]")
_ENDS = frozenset(" \t\n;&|<>()")
_ESCAPES = {"n": "\n", "t": "\t", "\\": "\\", "'": "'", '"': '"', "r": "\r"}


class WordReader:
    """Reads one word after the other from a text."""

    def __init__(self, text: str) -> None:
        """Take the script."""
        self.text = text
        self.position = 0
        self._parts: list[Part] = []
        self._is_quoted = False

    def word(self) -> Word:
        """Read the word that starts here."""
        start = self.position
        self._parts, self._is_quoted = [], False
        while self.position < len(self.text) and self.text[self.position] not in _ENDS:
            self._piece()
        parts = tuple(self._parts) or (Part(kind=PartKind.TEXT, text=""),)
        return Word(
            start=start,
            end=self.position,
            source=self.text[start : self.position],
            parts=parts,
            is_quoted=self._is_quoted,
        )

    def _piece(self) -> None:
        char = self.text[self.position]
        if char == "\\":
            following = self.text[self.position + 1 : self.position + 2]
            self.position += 2
            if following != "\n":
                self._add(following)
        elif char == "'":
            self._single()
        elif char == '"':
            self._double()
        elif char in "$`":
            self._expansion()
        else:
            self._add(char)
            self.position += 1

    def _add(self, text: str) -> None:
        last = self._parts[-1] if self._parts else None
        if last is not None and last.kind is PartKind.TEXT:
            self._parts[-1] = replace(last, text=last.text + text)
        else:
            self._parts.append(Part(kind=PartKind.TEXT, text=text))

    def _single(self) -> None:
        self._is_quoted = True
        end = self.text.find("'", self.position + 1)
        end = len(self.text) if end < 0 else end
        self._add(self.text[self.position + 1 : end])
        self.position = min(end + 1, len(self.text))

    def _double(self) -> None:
        self._is_quoted = True
        self._add("")
        self.position += 1
        while self.position < len(self.text) and self.text[self.position] != '"':
            char = self.text[self.position]
            following = self.text[self.position + 1 : self.position + 2]
            if char == "\\" and following in set('$`"\\\n'):
                self._add("" if following == "\n" else following)
                self.position += 2
            elif char in "$`":
                self._expansion()
            else:
                self._add(char)
                self.position += 1
        self.position = min(self.position + 1, len(self.text))

    def _expansion(self) -> None:
        text, start = self.text, self.position
        if text.startswith("$'", start):
            self._ansi()
        elif text.startswith("$(", start):
            self._opaque(_closing(text, start + 1, "(", ")"))
        elif text.startswith("${", start):
            self._braced(_closing(text, start + 1, "{", "}"))
        elif text[start] == "`":
            end = text.find("`", start + 1)
            self._opaque(len(text) if end < 0 else end + 1)
        elif match := _VARIABLE.match(text, start + 1):
            self._parts.append(Part(kind=PartKind.VARIABLE, text=match["name"]))
            self.position = match.end()
        elif text[start + 1 : start + 2] in {"@", "*"}:
            self._parts.append(Part(kind=PartKind.ARRAY, text="@"))
            self.position = start + 2
        elif text[start + 1 : start + 2] in {"#", "?", "$", "!", "-"}:
            self._opaque(start + 2)
        else:
            self._add("$")
            self.position += 1

    def _opaque(self, end: int) -> None:
        source = self.text[self.position : end]
        self._parts.append(Part(kind=PartKind.OPAQUE, text=source))
        self.position = end

    def _braced(self, end: int) -> None:
        body = self.text[self.position + 2 : end - 1]
        whole = _BRACED.fullmatch(body)
        array = _ELEMENTS.fullmatch(body)
        if array is not None or body in {"@", "*"}:
            name = array["name"] if array is not None else "@"
            self._parts.append(Part(kind=PartKind.ARRAY, text=name))
            self.position = end
        elif whole is not None and not set(whole["default"] or "") & set("$`"):
            default = whole["default"]
            if default is not None:
                default = default.replace('"', "").replace("'", "")
            part = Part(kind=PartKind.VARIABLE, text=whole["name"], default=default)
            self._parts.append(part)
            self.position = end
        else:
            self._opaque(end)

    def _ansi(self) -> None:
        self._is_quoted = True
        self.position += 2
        while self.position < len(self.text) and self.text[self.position] != "'":
            char = self.text[self.position]
            following = self.text[self.position + 1 : self.position + 2]
            if char == "\\":
                self._add(_ESCAPES.get(following, f"\\{following}"))
                self.position += 2
            else:
                self._add(char)
                self.position += 1
        self.position = min(self.position + 1, len(self.text))


def _closing(text: str, start: int, opening: str, closing: str) -> int:
    """Return the offset behind the bracket that closes the one at *start*."""
    depth = 0
    quote = ""
    position = start
    while position < len(text):
        char = text[position]
        if char == "\\":
            position += 1
        elif quote:
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
        elif char == opening:
            depth += 1
        elif char == closing:
            depth -= 1
            if depth == 0:
                return position + 1
        position += 1
    return len(text)
