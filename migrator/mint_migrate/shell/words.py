"""The words of a shell script and what is known of their values. Nothing is executed.

A word is a list of parts: text, variables, and other expansions (substituted commands, arithmetic,
operations on variables), which are kept as they are written. Every part knows where it stands.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import NamedTuple

from mint_migrate.shell.brackets import end_of_ansi, end_of_double, end_of_expansion, end_of_single


class PartKind(StrEnum):
    """What a part of a word is."""

    TEXT = "text"
    VARIABLE = "variable"
    ARRAY = "array"
    """All elements of an array; `@` is the arguments of the script itself."""
    OPAQUE = "opaque"


class Place(NamedTuple):
    """Where something stands, in offsets of the script, and where the word around it starts."""

    word: int
    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A piece of a word: its text, the name of a variable, or the source of something opaque."""

    kind: PartKind
    text: str
    default: str | None = None
    """What stands for a variable that is not set, where that is text."""
    fallback: tuple[Part, ...] = ()
    """The same where it is not text alone."""
    operator: str = ""
    """What stands between the variable and that: `:-`, `-`, `:=` or `=`."""
    is_quoted: bool = False
    is_inherited: bool = False
    """The environment of a started program has the variable, with this value."""
    serial: int = field(default=0, compare=False)
    """Which of the values that the variable takes this is; 0 for the one before the script."""
    splits: bool = field(default=False, compare=False)
    """It comes out of an unquoted expansion, so blanks in it separate words."""
    places: tuple[Place, ...] = field(default=(), compare=False)
    """Where it stands, then the expansion that put it there, and so on outwards."""
    joined: tuple[int, ...] = field(default=(), compare=False)
    """Of a text made of several, where each of them starts."""

    @property
    def starts(self) -> tuple[int, ...]:
        """Return where it, or all that it is made of, starts."""
        return self.joined or tuple(place.start for place in self.places[:1])


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """One word, where it stands in the script, and its parts."""

    start: int
    end: int
    source: str
    parts: tuple[Part, ...]
    is_quoted: bool = False
    site: tuple[int, int] | None = field(default=None, compare=False)
    """Where the command has the expansion that this word comes from, if it stands elsewhere."""

    @property
    def text(self) -> str | None:
        """Return the value where all of it is known."""
        if all(part.kind is PartKind.TEXT for part in self.parts):
            return "".join(part.text for part in self.parts)
        return None

    @property
    def lead(self) -> str:
        """Return the known text it starts with."""
        texts: list[str] = []
        for part in self.parts:
            if part.kind is not PartKind.TEXT:
                break
            texts.append(part.text)
        return "".join(texts)

    @property
    def site_start(self) -> int:
        """Return where the word starts, in the command that it belongs to."""
        return self.start if self.site is None else self.site[0]

    @property
    def site_end(self) -> int:
        """Return the offset behind the word, in the command that it belongs to."""
        return self.end if self.site is None else self.site[1]

    def after(self, num_chars: int) -> Word:
        """Return the word without its first characters, which are known text."""
        parts = list(self.parts)
        while len(parts) > 1 and num_chars >= len(parts[0].text):
            num_chars -= len(parts.pop(0).text)
        if num_chars:
            parts[0] = replace(parts[0], text=parts[0].text[num_chars:])
        return replace(self, parts=tuple(parts))


_VARIABLE = re.compile(r"(?P<name>[A-Za-z_]\w*|\d)")
_BRACED = re.compile(
    r"(?P<name>[A-Za-z_]\w*|\d+)(?:(?P<operator>:?[-=])(?P<default>.*))?", re.DOTALL
)
_ELEMENTS = re.compile(r"(?P<name>[A-Za-z_]\w*)\[[@*]\]")
_TILDE = re.compile(r"(?P<name>[A-Za-z_]\w*\+?=)?~(?=/|[\s;&|)]|$)")
_ENDS = frozenset(" \t\n;&|<>()")
_BLANK = re.compile(r"[ \t\n;&|<>()]+")
_PLAIN = re.compile(r"[^\s;&|<>()\\'\"$`]+")
_PLAIN_QUOTED = re.compile(r"[^\\\"$`]+")
_ESCAPES = {"n": "\n", "t": "\t", "\\": "\\", "'": "'", '"': '"', "r": "\r", "a": "\a", "e": "\x1b"}


class WordReader:
    """Reads one word after the other from a text."""

    def __init__(self, text: str, offsets: Sequence[int] | None = None) -> None:
        """Take a script.

        Args:
            text: what is read.
            offsets: where each character stands, and the end, if that is not the same text.
        """
        self.text = text
        self.position = 0
        self.offsets = offsets
        self._parts: list[Part] = []
        self._is_quoted = False
        self._word = 0

    def at(self, position: int) -> int:
        """Return where a character of the text stands."""
        if self.offsets is None:
            return position
        return self.offsets[min(position, len(self.offsets) - 1)]

    def word(self) -> Word:
        """Read the word that starts here."""
        start = self.position
        self._begin(start)
        self._home()
        while self.position < len(self.text) and self.text[self.position] not in _ENDS:
            self._piece()
        return self._finished(start)

    def body(self, *, is_quoted: bool = False) -> Word:
        """Read all of the text as one word: blanks are a part of it, quotes too if they are."""
        start = self.position
        self._begin(start)
        if not is_quoted:
            self._home()
        while self.position < len(self.text):
            if is_quoted:
                self._inside_double(len(self.text), is_document=True)
            elif match := _BLANK.match(self.text, self.position):
                self.position = match.end()
                self._add(match[0], match.start(), match.end())
            else:
                self._piece()
        return self._finished(start)

    def quoted_default(self) -> Word:
        """Read all of the text as the default of an expansion that stands in double quotes."""
        start = self.position
        self._begin(start)
        self._inside_double(len(self.text), is_default=True)
        return self._finished(start)

    def _begin(self, start: int) -> None:
        self._parts, self._is_quoted = [], False
        self._word = self.at(start)

    def _home(self) -> None:
        """Read the tilde that a word, or the value in it, starts with."""
        start = self.position
        match = _TILDE.match(self.text, start)
        if match is not None:
            if match["name"]:
                self._add(match["name"], start, match.end() - 1)
            self._append(PartKind.VARIABLE, "HOME", match.end() - 1, match.end(), quoted=True)
            self.position = match.end()

    def _finished(self, start: int) -> Word:
        if not self._parts:
            self._add("", start, start)
        source = self.text[start : self.position]
        # A line that goes on may do so right behind a word.
        while source.endswith("\\\n"):
            source = source[:-2]
        return Word(
            start=self.at(start),
            end=self.at(start + len(source)),
            source=source,
            parts=tuple(self._parts),
            is_quoted=self._is_quoted,
        )

    def _piece(self) -> None:
        position = self.position
        char = self.text[position]
        if char == "\\":
            following = self.text[position + 1 : position + 2]
            self.position += 2
            if following != "\n":
                self._add(following, position, self.position, quoted=True)
        elif char == "'":
            self._is_quoted = True
            self.position = end_of_single(self.text, position)
            is_closed = self.position > position + 1 and self.text[self.position - 1] == "'"
            end = self.position - is_closed
            self._add(self.text[position + 1 : end], position + 1, end, quoted=True)
        elif char == '"':
            self._double()
        elif char in "$`":
            self._expansion()
        else:
            match = _PLAIN.match(self.text, position)
            end = match.end() if match else position + 1
            self.position = end
            self._add(self.text[position:end], position, end)

    def _append(
        self, kind: PartKind, text: str, start: int, end: int, *, quoted: bool, **more: object
    ) -> None:
        place = Place(self._word, self.at(start), self.at(end))
        part = Part(kind=kind, text=text, is_quoted=quoted, places=(place,))
        self._parts.append(replace(part, **more) if more else part)  # type: ignore[arg-type]

    def _add(self, text: str, start: int, end: int, *, quoted: bool = False) -> None:
        self._append(PartKind.TEXT, text, start, end, quoted=quoted)

    def _double(self) -> None:
        self._is_quoted = True
        start = self.position
        self.position += 1
        self._add("", self.position, self.position, quoted=True)
        end = end_of_double(self.text, start)
        is_closed = end > start + 1 and self.text[end - 1] == '"'
        self._inside_double(end - is_closed)
        self.position = end

    def _inside_double(
        self, end: int, *, is_document: bool = False, is_default: bool = False
    ) -> None:
        """Read up to *end* what is as if inside double quotes."""
        escaped = set('$`"\\\n') - ({'"'} if is_document else set())
        escaped |= {"}"} if is_default else set()
        while self.position < end:
            position = self.position
            char = self.text[position]
            following = self.text[position + 1 : position + 2]
            match = _PLAIN_QUOTED.match(self.text, position, end)
            if char == "\\" and following in escaped and following:
                self.position += 2
                if following != "\n":
                    self._add(following, position, self.position, quoted=True)
            elif is_default and char == '"':
                self.position += 1
                self._add("", position, self.position, quoted=True)
            elif is_default and self.text.startswith("$'", position):
                self._ansi()
            elif char in "$`":
                self._expansion(quoted=True)
            else:
                self.position = match.end() if match else position + 1
                self._add(self.text[position : self.position], position, self.position, quoted=True)

    def _expansion(self, *, quoted: bool = False) -> None:
        text, start = self.text, self.position
        following = text[start + 1 : start + 2]
        if following == "'" and not quoted:
            self._ansi()
        elif following == '"' and not quoted:
            self.position += 1
        elif text[start] == "`" or following in {"(", "["}:
            self._opaque(end_of_expansion(text, start), quoted)
        elif following == "{":
            self._braced(end_of_expansion(text, start), quoted)
        elif match := _VARIABLE.match(text, start + 1):
            self.position = match.end()
            self._append(PartKind.VARIABLE, match["name"], start, match.end(), quoted=quoted)
        elif following in {"@", "*"}:
            self.position = start + 2
            self._append(PartKind.ARRAY, "@", start, start + 2, quoted=quoted)
        elif following in {"#", "?", "$", "!", "-"}:
            self._opaque(start + 2, quoted)
        else:
            self.position += 1
            self._add("$", start, start + 1, quoted=quoted)

    def _opaque(self, end: int, quoted: bool) -> None:
        source = self.text[self.position : end]
        self._append(PartKind.OPAQUE, source, self.position, end, quoted=quoted)
        self.position = end

    def _braced(self, end: int, quoted: bool) -> None:
        start, body = self.position, self.text[self.position + 2 : end - 1]
        whole = _BRACED.fullmatch(body)
        array = _ELEMENTS.fullmatch(body)
        if array is not None or body in {"@", "*"}:
            name = array["name"] if array is not None else "@"
            self._append(PartKind.ARRAY, name, start, end, quoted=quoted)
            self.position = end
        elif whole is not None:
            self.position = end
            default = whole["default"]
            if default is None:
                self._append(PartKind.VARIABLE, whole["name"], start, end, quoted=quoted)
                return
            offset = start + 2 + whole.start("default")
            offsets = [self.at(offset + i) for i in range(len(default) + 1)]
            read = default_word(default, offsets, is_quoted=quoted)
            self._append(
                PartKind.VARIABLE,
                whole["name"],
                start,
                end,
                quoted=quoted,
                operator=whole["operator"],
                default=read.text,
                fallback=() if read.text is not None and not _has_quotes(read) else read.parts,
            )
        else:
            self._opaque(end, quoted)

    def _ansi(self) -> None:
        self._is_quoted = True
        start, end = self.position + 2, end_of_ansi(self.text, self.position)
        self.position = end
        is_closed = end > start and self.text[end - 1] == "'"
        body = self.text[start : end - is_closed]
        text = re.sub(
            r"\\(.)", lambda match: _ESCAPES.get(match[1], match[0]), body, flags=re.DOTALL
        )
        self._add(text, start, start + len(body), quoted=True)


def _has_quotes(word: Word) -> bool:
    return any(part.is_quoted for part in word.parts)


def default_word(
    text: str, offsets: Sequence[int] | None = None, *, is_quoted: bool = False
) -> Word:
    """Return the word behind an operator in `${...}`: blanks are a part of it.

    Inside double quotes (*is_quoted*) single quotes are a part of it, too.
    """
    reader = WordReader(text, offsets)
    return reader.quoted_default() if is_quoted else reader.body()
