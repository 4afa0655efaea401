"""Hides the characters of a shell script that separate nothing, each keeping its place."""

from __future__ import annotations

import re

_HIDDEN = "\x01"
"""Stands for a character that is quoted, or within an expansion or an array."""


def mask(text: str, *, only_expansions: bool = False) -> tuple[str, dict[int, tuple[int, int]]]:
    """Return a text of the same length in which blanks and signs are only those that count."""
    reader = _Masker(text, only_expansions=only_expansions)
    reader.run()
    return "".join(reader.out), reader.documents


class _Masker:
    """Hides what is quoted, expanded, an array's elements, a comment or a here-document."""

    def __init__(self, text: str, *, only_expansions: bool) -> None:
        self.text = text
        self.out = list(text)
        self.documents: dict[int, tuple[int, int]] = {}
        self.only_expansions = only_expansions
        self._ends: list[tuple[int, str]] = []

    def run(self) -> None:
        position = 0
        while position < len(self.text):
            position = self._step(position)

    def _step(self, at: int) -> int:
        text = self.text
        if text.startswith("\\\n", at):
            return self._fill(at, at + 2, " ")
        if text[at] == "\\":
            return self._fill(at, at + 2, _HIDDEN)
        if text[at] in "$`" or (text[at] in "\"'" and not self.only_expansions):
            return self._fill(at, _end_of(text, at), _HIDDEN)
        if self.only_expansions:
            return at + 1
        if text[at] == "#" and (at == 0 or text[at - 1].isspace()):
            return self._fill(at, (text.find("\n", at) + 1 or len(text) + 1) - 1, " ")
        if re.match(r"\w=\(", text[at : at + 3]) or re.match(r"\w\+=\(", text[at : at + 4]):
            opening = text.index("(", at)
            return self._fill(opening, _closing(text, opening), _HIDDEN)
        if text.startswith("((", at):
            return self._fill(at, _closing(text, at), " ")
        return self._redirection(at)

    def _redirection(self, at: int) -> int:
        document = re.match(r"<<-?\s*([\"']?)(\w+)\1", self.text[at : at + 60])
        if document is not None:
            self._ends.append((at, document[2]))
            return self._fill(at, at + document.end(), " ")
        other = re.match(
            r"(?:&>>?|\d?>>|\d?>&\d?|\d?>|\d?<)[ \t]*[^\s;&|()]*", self.text[at : at + 200]
        )
        starts_word = at == 0 or not (self.text[at - 1].isalnum() or self.text[at - 1] in "-_=/.")
        if other is not None and (starts_word or self.text[at] in "<>&"):
            return self._fill(at, at + other.end(), " ")
        if self.text[at] == "\n" and self._ends:
            return self._skip_documents(at)
        return at + 1

    def _skip_documents(self, at: int) -> int:
        for start, word in self._ends:
            body = at + 1
            end = re.compile(rf"^\t*{re.escape(word)}$", re.MULTILINE).search(self.text, body)
            assert end is not None, f"no end of the here-document {word}"
            self.documents[start] = (body, end.start())
            self._fill(body, end.end(), " ")
            at = end.end()
        self._ends.clear()
        return at

    def _fill(self, start: int, end: int, char: str) -> int:
        end = min(end, len(self.text))
        self.out[start:end] = [char] * (end - start)
        return end


def _end_of(text: str, at: int) -> int:
    """Return the offset behind a quoted piece or an expansion."""
    if text[at] == "'":
        return text.index("'", at + 1) + 1
    if text.startswith("$'", at):
        return _unescaped(text, "'", at + 2) + 1
    if text[at] == '"':
        at += 1
        while text[at] != '"':
            at = _end_of(text, at) if text[at] in "$`" else at + 1 + (text[at] == "\\")
        return at + 1
    if text[at] == "`":
        return text.index("`", at + 1) + 1
    if text.startswith(("$(", "${"), at):
        return _closing(text, at + 1)
    match = re.match(r"\$(?:\w+|[@*#?$!-])?", text[at:])
    assert match is not None
    return at + match.end()


def _unescaped(text: str, char: str, at: int) -> int:
    while text[at] != char:
        at += 1 + (text[at] == "\\")
    return at


def _closing(text: str, at: int) -> int:
    """Return the offset behind the bracket that closes the one at *at*."""
    opening, closing = text[at], {"(": ")", "{": "}"}[text[at]]
    depth = 0
    while True:
        char = text[at]
        if char == "#" and text[at - 1].isspace():
            at = text.index("\n", at)
            continue
        if char == "\\":
            at += 2
            continue
        if char in "\"'`" or (char == "$" and opening == "("):
            at = _end_of(text, at)
            continue
        depth += (char == opening) - (char == closing)
        at += 1
        if depth == 0:
            return at
