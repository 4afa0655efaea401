"""Decides the tests of a shell script where both sides are known: `[ ]`, `[[ ]]`, `test`."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from mint_migrate.shell.arithmetic import evaluate
from mint_migrate.shell.expansions import Reader, pattern_of
from mint_migrate.shell.words import PartKind, Word

_NUMBERS: dict[str, Callable[[int, int], bool]] = {
    "-eq": lambda left, right: left == right,
    "-ne": lambda left, right: left != right,
    "-lt": lambda left, right: left < right,
    "-le": lambda left, right: left <= right,
    "-gt": lambda left, right: left > right,
    "-ge": lambda left, right: left >= right,
}
_TEXTS = frozenset({"=", "==", "!=", "<", ">", "=~"})


def decided(words: Sequence[Word], reader: Reader) -> bool | None:
    """Return what a test says, None where the text does not show it.

    Args:
        words: the command with its program, such as `[ a = b ]`.
        reader: knows the values of words.
    """
    program = words[0].text
    if program in {"true", ":"}:
        return True
    if program == "false":
        return False
    if program not in {"[", "[[", "test"}:
        return None
    inside = list(words[1:])
    if program != "test":
        closing = {"[": "]", "[[": "]]"}[program]
        if not inside or inside[-1].text != closing:
            return None
        inside.pop()
    return _Test(inside, reader, is_extended=program == "[[").value()


class _Test:
    """Evaluates a test from left to right. An unknown side leaves what depends on it unknown."""

    def __init__(self, words: Sequence[Word], reader: Reader, *, is_extended: bool) -> None:
        self.words = words
        self.reader = reader
        self.is_extended = is_extended
        self.position = 0

    def value(self) -> bool | None:
        result = self._either()
        return result if self.position == len(self.words) else None

    def _operator(self, offset: int = 0) -> str:
        index = self.position + offset
        if index >= len(self.words) or self.words[index].is_quoted:
            return ""
        return self.words[index].text or ""

    def _either(self) -> bool | None:
        left = self._both()
        while self._operator() in {"||", "-o"}:
            self.position += 1
            right = self._both()
            left = _or(left, right)
        return left

    def _both(self) -> bool | None:
        left = self._single()
        while self._operator() in {"&&", "-a"}:
            self.position += 1
            right = self._single()
            left = _not(_or(_not(left), _not(right)))
        return left

    def _single(self) -> bool | None:
        if self._operator() == "!":
            self.position += 1
            return _not(self._single())
        if self.is_extended and self._operator() == "(":
            self.position += 1
            value = self._either()
            self.position += 1
            return value
        following = self._operator(1)
        if following in _TEXTS or following in _NUMBERS:
            return self._binary(following)
        if re.fullmatch(r"-[a-zA-Z]", self._operator()) and self.position + 1 < len(self.words):
            return self._unary()
        text = self._text(self.position)
        self.position += 1
        return None if text is None else bool(text)

    def _text(self, index: int) -> str | None:
        if index >= len(self.words):
            return None
        word = self.words[index]
        # An unquoted value may become no word or several, but not between double brackets.
        text = self.reader.text_of(word)
        is_split = not self.is_extended and any(
            part.kind is not PartKind.TEXT and not part.is_quoted for part in word.parts
        )
        return None if is_split and text is not None and len(text.split()) != 1 else text

    def _unary(self) -> bool | None:
        operator = self._operator()
        text = self._text(self.position + 1)
        is_bare = len(self.words[self.position + 1].parts) == 1
        if text is None and operator in {"-z", "-n"} and is_bare:
            # Unquoted and empty, `[ -z $X ]` has no word behind the operator, which is the same.
            text = self.reader.text_of(self.words[self.position + 1])
        self.position += 2
        if text is None or operator not in {"-z", "-n"}:
            return None
        return bool(text) == (operator == "-n")

    def _binary(self, operator: str) -> bool | None:
        left, right = self._text(self.position), self._text(self.position + 2)
        pattern = None
        if self.is_extended and self.position + 2 < len(self.words):
            pattern = pattern_of(self.reader.parts_of(self.words[self.position + 2]))
        self.position += 3
        if left is None or right is None:
            return None
        if operator in _NUMBERS:
            return self._numbers(operator, left, right)
        if operator == "=~":
            return _searched(right, left)
        if operator in {"<", ">"}:
            return left < right if operator == "<" else left > right
        if self.is_extended:
            is_same = None if pattern is None else bool(re.fullmatch(pattern, left, re.DOTALL))
        else:
            is_same = left == right
        return _not(is_same) if operator == "!=" else is_same

    def _numbers(self, operator: str, left: str, right: str) -> bool | None:
        values = [evaluate(text, self.reader.scope.text) for text in (left, right)]
        if values[0] is None or values[1] is None:
            return None
        return _NUMBERS[operator](values[0], values[1])


def _searched(pattern: str, text: str) -> bool | None:
    """Return whether an extended regular expression is found, of those that Python reads alike."""
    if not re.fullmatch(r"[\w\s^$.()|*+?/=,:-]*(?:\[[\w-]+\][\w\s^$.()|*+?/=,:-]*)*", pattern):
        return None
    try:
        return re.search(pattern, text) is not None
    except re.error:
        return None


def _not(value: bool | None) -> bool | None:
    return None if value is None else not value


def _or(left: bool | None, right: bool | None) -> bool | None:
    if left or right:
        return True
    return None if left is None or right is None else False
