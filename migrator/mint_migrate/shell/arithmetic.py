"""Evaluates the integer arithmetic of a shell where all its operands are known.

Numbers are 64 bits wide; what does not fit, assigns, or divides by zero is not known.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable

_TOKEN = re.compile(
    r"\s*(?P<token>\d+#\w+|0[xX][0-9a-fA-F]+|\d+|[A-Za-z_]\w*"
    r"|\*\*|<<|>>|<=|>=|==|!=|&&|\|\||[-+*/%<>!~&|^?:()])"
)
_LEVELS: tuple[tuple[str, ...], ...] = (
    ("||",),
    ("&&",),
    ("|",),
    ("^",),
    ("&",),
    ("==", "!="),
    ("<=", ">=", "<", ">"),
    ("<<", ">>"),
    ("+", "-"),
    ("*", "/", "%"),
)
_DEEPEST = 40


class _UnknownError(Exception):
    """The value depends on something that the text does not show."""


def _divided(left: int, right: int) -> int:
    quotient = abs(left) // abs(right)
    return quotient if (left < 0) == (right < 0) else -quotient


_BINARY: dict[str, Callable[[int, int], int]] = {
    "||": lambda left, right: int(bool(left) or bool(right)),
    "&&": lambda left, right: int(bool(left) and bool(right)),
    "|": operator.or_,
    "^": operator.xor,
    "&": operator.and_,
    "==": lambda left, right: int(left == right),
    "!=": lambda left, right: int(left != right),
    "<=": lambda left, right: int(left <= right),
    ">=": lambda left, right: int(left >= right),
    "<": lambda left, right: int(left < right),
    ">": lambda left, right: int(left > right),
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": _divided,
    "%": lambda left, right: left - right * _divided(left, right),
}


def evaluate(text: str, lookup: Callable[[str], str | None], depth: int = 0) -> int | None:
    """Return the value of an expression, None where it is not known.

    Args:
        text: the expression, expansions already replaced.
        lookup: returns the text of a variable, None where that is not known.
        depth: how many variables lead here, each holding an expression.
    """
    if depth > _DEEPEST:
        return None
    if not text.strip():
        return 0
    try:
        return _Expression(_tokens(text), lookup, depth).value()
    except (_UnknownError, ZeroDivisionError, RecursionError):
        return None


def _tokens(text: str) -> list[str]:
    tokens: list[str] = []
    position, text = 0, text.rstrip()
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise _UnknownError
        tokens.append(match["token"])
        position = match.end()
    return tokens


class _Expression:
    """Evaluates a list of tokens from left to right."""

    def __init__(self, tokens: list[str], lookup: Callable[[str], str | None], depth: int) -> None:
        self.tokens = tokens
        self.lookup = lookup
        self.depth = depth
        self.position = 0

    def value(self) -> int:
        result = self._choice()
        if self.position < len(self.tokens):
            raise _UnknownError
        return result

    def _next(self) -> str:
        return self.tokens[self.position] if self.position < len(self.tokens) else ""

    def _accept(self, *tokens: str) -> str:
        token = self._next()
        if token and token in tokens:
            self.position += 1
            return token
        return ""

    def _choice(self) -> int:
        condition = self._binary(0)
        if not self._accept("?"):
            return condition
        first = self._choice()
        if not self._accept(":"):
            raise _UnknownError
        second = self._choice()
        return first if condition else second

    def _binary(self, level: int) -> int:
        if level == len(_LEVELS):
            return self._power()
        left = self._binary(level + 1)
        while token := self._accept(*_LEVELS[level]):
            left = _fitting(_shifted(token, left, self._binary(level + 1)))
        return left

    def _power(self) -> int:
        base = self._unary()
        if not self._accept("**"):
            return base
        exponent = self._power()
        if not 0 <= exponent <= 64:
            raise _UnknownError
        return _fitting(base**exponent)

    def _unary(self) -> int:
        sign = self._accept("-", "+", "!", "~")
        if not sign:
            return self._operand()
        value = self._unary()
        return {"-": -value, "+": value, "!": int(not value), "~": ~value}[sign]

    def _operand(self) -> int:
        token = self._next()
        self.position += 1
        if token == "(":
            value = self._choice()
            if not self._accept(")"):
                raise _UnknownError
            return value
        if re.match(r"\d", token):
            return _fitting(_number(token))
        if not re.match(r"[A-Za-z_]", token):
            raise _UnknownError
        text = self.lookup(token)
        value_of = None if text is None else evaluate(text, self.lookup, self.depth + 1)
        if value_of is None:
            raise _UnknownError
        return value_of


def _shifted(token: str, left: int, right: int) -> int:
    if token not in {"<<", ">>"}:
        return _BINARY[token](left, right)
    if not 0 <= right < 64:
        raise _UnknownError
    return left << right if token == "<<" else left >> right


def _number(token: str) -> int:
    try:
        if "#" in token:
            base, _, digits = token.partition("#")
            return int(digits, int(base))
        if token[:2] in {"0x", "0X"}:
            return int(token, 16)
        return int(token, 8) if token.startswith("0") else int(token)
    except ValueError as error:
        raise _UnknownError from error


def _fitting(value: int) -> int:
    if not -(2**63) <= value < 2**63:
        raise _UnknownError
    return value
