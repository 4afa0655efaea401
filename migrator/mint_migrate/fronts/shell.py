"""The commands of a shell script, in order, with their variables filled in where they are known.

The script is read as text and never run. A variable is known where it is set once, to text,
and not in a branch or a loop; `${NAME:-text}` keeps its default.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from mint_migrate.fronts.words import Part, PartKind, Word, WordReader

_REDIRECTION = re.compile(r"\d*(?:&>>?|>>|>&|<&|>\||<>|<<<|<<-?|>|<)")
_ASSIGNMENT = re.compile(r"(?P<name>[A-Za-z_]\w*)\+?=")
_OPENING = frozenset({"if", "for", "while", "until", "case", "{", "select"})
_CLOSING = frozenset({"fi", "done", "esac", "}"})
_KEYWORDS = frozenset({"then", "else", "elif", "do", "!", "time"}) | _OPENING | _CLOSING
_DECLARES = frozenset({"export", "declare", "local", "readonly", "typeset"})
_SETS_UP = frozenset({"set", "shopt", "true", ":", "echo"}) | (_DECLARES - {"export"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """`name=value`, or an array."""

    name: str
    values: tuple[Word, ...]
    is_array: bool
    is_certain: bool
    """It stands in no branch, loop or function, and adds to nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A simple command: its words without redirections, and what is set for it alone."""

    words: tuple[Word, ...]
    assignments: tuple[Assignment, ...] = ()
    start: int = 0
    """Offset of its line in the script; the start of the line that it continues."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShellScript:
    """The commands of a script, as written, and the variables it sets."""

    text: str
    commands: tuple[Command, ...]
    variables: dict[str, tuple[Word, ...]] = field(default_factory=dict)
    """Those that are known; the elements of an array, one word otherwise."""
    varying: frozenset[str] = frozenset()
    """Those that the script sets, but not to one known value."""

    @property
    def only_sets_up(self) -> bool:
        """Return whether at most one command does more than set variables of the script."""
        doing = [
            command
            for command in self.commands
            if command.words and command.words[0].text not in _SETS_UP
        ]
        return len(doing) <= 1

    def filled_in(self, words: tuple[Word, ...]) -> tuple[Word, ...]:
        """Return *words* with known variables replaced, arrays and unquoted lists spread out."""
        return tuple(each for word in words for each in self._spread(word, frozenset()))

    def _spread(self, word: Word, seen: frozenset[str]) -> Iterator[Word]:
        array = next((part for part in word.parts if part.kind is PartKind.ARRAY), None)
        if array is not None and array.text in self.variables and array.text not in seen:
            for element in self.variables[array.text]:
                yield from self._spread(element, seen | {array.text})
            return
        filled = replace(word, parts=_merged(map(self._known, word.parts)))
        text = filled.text
        if text is None or word.is_quoted or word.text is not None:
            yield filled
            return
        for piece in text.split():
            yield replace(filled, parts=(Part(kind=PartKind.TEXT, text=piece),))

    def _known(self, part: Part, seen: frozenset[str] = frozenset()) -> Part:
        """Return a variable as its text, or as the one that it is another name for."""
        words = self.variables.get(part.text)
        if part.kind is not PartKind.VARIABLE or not words or part.text in seen:
            return part
        inner = _merged(self._known(each, seen | {part.text}) for each in words[0].parts)
        is_settled = len(inner) == 1 and (
            inner[0].kind is PartKind.TEXT or inner[0].default is not None
        )
        # What only the shell knows is computed once, where the script does it.
        return inner[0] if is_settled else part


def _merged(parts: Iterable[Part]) -> tuple[Part, ...]:
    """Return parts with texts joined, empty ones left out; one empty text where nothing is left."""
    result: list[Part] = []
    for part in parts:
        last = result[-1] if result else None
        if part.kind is PartKind.TEXT and last is not None and last.kind is PartKind.TEXT:
            result[-1] = replace(last, text=last.text + part.text)
        elif part.text or part.kind is not PartKind.TEXT:
            result.append(part)
    return tuple(result) or (Part(kind=PartKind.TEXT, text=""),)


def read_shell(text: str) -> ShellScript:
    """Return the commands of a script. Text that is no shell gives commands nobody knows."""
    reader = _ScriptReader(text)
    commands = tuple(reader.commands())
    found: dict[str, list[Assignment]] = {}
    for item in reader.assignments:
        found.setdefault(item.name, []).append(item)
    varying = set(reader.loop_variables)
    variables: dict[str, tuple[Word, ...]] = {}
    for name, items in found.items():
        if len(items) == 1 and items[0].is_certain and name not in varying:
            variables[name] = items[0].values
        else:
            varying.add(name)
    return ShellScript(
        text=text, commands=commands, variables=variables, varying=frozenset(varying)
    )


class _ScriptReader:
    """Splits a script into commands."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.reader = WordReader(text)
        self.assignments: list[Assignment] = []
        self.loop_variables: set[str] = set()
        self._depth = 0
        self._heredocs: list[str] = []

    def commands(self) -> Iterator[Command]:
        words: list[Word] = []
        own: list[Assignment] = []
        start = 0
        while self.reader.position < len(self.text):
            kind = self._skip()
            if kind == "end":
                yield from self._finished(words, own, start)
                words, own = [], []
                continue
            if kind == "word":
                start = self.reader.position if not words and not own else start
                self._take(words, own)
        yield from self._finished(words, own, start)

    def _skip(self) -> str:
        """Skip what is no word; return `end` behind a separator, `word` before a word."""
        text, position = self.text, self.reader.position
        char = text[position]
        if char in " \t":
            self.reader.position += 1
            return "blank"
        if text.startswith("\\\n", position):
            self.reader.position += 2
            return "blank"
        if char == "#":
            end = text.find("\n", position)
            self.reader.position = len(text) if end < 0 else end
            return "blank"
        match = _REDIRECTION.match(text, position)
        if match is not None and not text.startswith(("<(", ">("), position):
            self._redirect(match)
            return "blank"
        if char in "\n;&|()<>":
            self._separate(char)
            return "end"
        return "word"

    def _separate(self, char: str) -> None:
        self.reader.position += 1
        self._depth += {"(": 1, ")": -1}.get(char, 0)
        if char == "\n" and self._heredocs:
            for end in self._heredocs:
                found = re.compile(rf"^\t*{re.escape(end)}$", re.MULTILINE).search(
                    self.text, self.reader.position
                )
                self.reader.position = found.end() if found else len(self.text)
            self._heredocs = []

    def _redirect(self, match: re.Match[str]) -> None:
        self.reader.position = match.end()
        while self.text[self.reader.position : self.reader.position + 1] in {" ", "\t"}:
            self.reader.position += 1
        target = self.reader.word()
        if "<<" in match[0] and "<<<" not in match[0]:
            self._heredocs.append(target.text or "")

    def _take(self, words: list[Word], own: list[Assignment]) -> None:
        position = self.reader.position
        head = _ASSIGNMENT.match(self.text, position)
        is_declared = bool(words) and words[0].text in _DECLARES
        if head is not None and (not words or is_declared):
            own.append(self._assignment(head))
            return
        word = self.reader.word()
        if self.reader.position == position:
            self.reader.position += 1
            return
        if not words and word.text in _KEYWORDS:
            self._depth += (word.text in _OPENING) - (word.text in _CLOSING)
            if word.text == "for":
                name = re.match(r"\s*([A-Za-z_]\w*)", self.text[self.reader.position :])
                self.loop_variables.update({name[1]} if name else set())
            return
        words.append(word)

    def _assignment(self, head: re.Match[str]) -> Assignment:
        self.reader.position = head.end()
        is_array = self.text.startswith("(", head.end())
        values = tuple(self._elements()) if is_array else (self.reader.word(),)
        return Assignment(
            name=head["name"],
            values=values,
            is_array=is_array,
            is_certain=self._depth <= 0 and "+" not in head[0],
        )

    def _elements(self) -> Iterator[Word]:
        self.reader.position += 1
        while self.reader.position < len(self.text):
            char = self.text[self.reader.position]
            if char == ")":
                self.reader.position += 1
                return
            if char in " \t\n" or self.text.startswith("\\\n", self.reader.position):
                self.reader.position += 1 + (char == "\\")
            elif char == "#":
                end = self.text.find("\n", self.reader.position)
                self.reader.position = len(self.text) if end < 0 else end
            else:
                before = self.reader.position
                yield self.reader.word()
                self.reader.position += self.reader.position == before

    def _finished(self, words: list[Word], own: list[Assignment], start: int) -> Iterator[Command]:
        if words and words[0].text == "read":
            self.loop_variables.update(word.text or "" for word in words[1:])
        if not words or words[0].text in _DECLARES:
            self.assignments += own
        if words:
            yield Command(words=tuple(words), assignments=tuple(own), start=start)
