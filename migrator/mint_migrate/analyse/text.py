"""Positions and source text of syntax nodes, and the comments between call arguments."""

from __future__ import annotations

import ast
import functools
import io
import re
import tokenize
from collections.abc import Iterator
from typing import Protocol

from mint_migrate.analyse.walk import children, walk
from mint_migrate.model.source import Span

_LITERALS = (ast.Tuple, ast.List, ast.Set, ast.Dict, ast.UnaryOp, ast.BinOp)
"""What `ast.literal_eval` may take besides constants and `set()`."""
_STRINGS = ("STRING", "FSTRING_MIDDLE")
"""Names of the tokens that text in quotes consists of."""


class Located(Protocol):
    """A syntax node with a place."""

    lineno: int
    col_offset: int
    end_lineno: int | None
    end_col_offset: int | None


class SourceText:
    """The text of one module, addressed by syntax nodes.

    `ast` counts columns in UTF-8 bytes; everything here counts characters.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.lines = source_lines(text)
        # Several stages ask for the place of each statement.
        self._spans: dict[Located, Span] = {}
        self._comments: dict[int, tuple[int, str]] | None = None
        self._string_lines: frozenset[int] | None = None

    def _column(self, line: int, byte_offset: int) -> int:
        content = self.lines[line - 1] if line <= len(self.lines) else ""
        if content.isascii():
            return byte_offset
        return len(content.encode()[:byte_offset].decode(errors="replace"))

    def span(self, node: Located) -> Span:
        """Return the place of *node*, counted from 1."""
        known = self._spans.get(node)
        if known is None:
            end_line = node.end_lineno or node.lineno
            known = self._spans[node] = Span(
                line=node.lineno,
                column=self._column(node.lineno, node.col_offset) + 1,
                end_line=end_line,
                end_column=self._column(end_line, node.end_col_offset or 0) + 1,
            )
        return known

    def slice(self, span: Span) -> str:
        """Return the characters of *span*."""
        if span.line == span.end_line:
            return self.lines[span.line - 1][span.column - 1 : span.end_column - 1]
        first = self.lines[span.line - 1][span.column - 1 :]
        middle = self.lines[span.line : span.end_line - 1]
        last = self.lines[span.end_line - 1][: span.end_column - 1]
        return "".join([first, *middle, last])

    def at_margin(self, span: Span, columns: int) -> str:
        """Return the characters of *span*, its later lines moved *columns* to the left.

        Lines inside strings stay; so does everything where a line would lose characters.
        """
        text = self.slice(span)
        if not columns or span.line == span.end_line:
            return text
        if self._string_lines is None:
            self._string_lines = frozenset(_string_lines(self))
        head, *rest = text.split("\n")
        is_string = [span.line + 1 + index in self._string_lines for index in range(len(rest))]
        moved = [line for line, kept in zip(rest, is_string, strict=True) if not kept]
        if any(line[:columns].strip() for line in moved):
            return text
        lines = [
            line if kept else line[columns:] for line, kept in zip(rest, is_string, strict=True)
        ]
        return "\n".join([head, *lines])

    def of(self, node: Located) -> str:
        """Return the source text of *node*."""
        return self.slice(self.span(node))

    def comment_on(self, line: int) -> tuple[int, str] | None:
        """Return (column from 0, text) of the comment on a line."""
        if line > len(self.lines) or "#" not in self.lines[line - 1]:
            return None
        if self._comments is None:
            self._comments = dict(_read_comments(self.text))
        return self._comments.get(line)

    def comments_around(self, span: Span, start_line: int, limit: int) -> tuple[list[str], str]:
        """Return comment lines directly above *span* (down from *start_line*) and the one behind
        it.

        *limit* is the last line that may hold the trailing comment.
        """
        above: list[str] = []
        for line in range(start_line, span.line):
            comment = self.comment_on(line)
            if comment is not None and not self.lines[line - 1][: comment[0]].strip():
                above.append(comment[1])
        behind = self.comment_on(span.end_line) if span.end_line <= limit else None
        if behind is None or behind[0] < span.end_column - 1:
            return above, ""
        between = self.lines[span.end_line - 1][span.end_column - 1 : behind[0]]
        return above, behind[1] if not between.strip(" \t,)") else ""


@functools.lru_cache(maxsize=2)
def source_of(text: str) -> SourceText:
    """Return the text of a module, the same object for stages that follow one another."""
    return SourceText(text)


def source_lines(text: str) -> list[str]:
    """Return the lines of a module, each with its newline, counted as Python's parser counts them.

    `str.splitlines` would also break at form feeds and Unicode separators, which the parser does
    not.
    """
    lines = [f"{line}\n" for line in text.split("\n")]
    lines[-1] = lines[-1][:-1]
    return lines


def count_mentions(text: str, name: str) -> int:
    """Count how often a statement, or the header of a compound one, reads `x` or `self.x`."""
    node = ast.parse(re.sub(r"\Aelif\b", "if", text)).body[0]
    is_compound = hasattr(node, "body")
    parts = [
        child
        for child in children(node)
        if not (is_compound and isinstance(child, ast.stmt | ast.excepthandler | ast.match_case))
    ]
    return sum(
        isinstance(child, ast.Name | ast.Attribute) and ast.unparse(child) == name
        for part in parts
        for child in walk(part)
    )


def _read_comments(text: str) -> list[tuple[int, tuple[int, str]]]:
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    return [
        (token.start[0], (token.start[1], token.string))
        for token in tokens
        if token.type == tokenize.COMMENT
    ]


def _string_lines(source: SourceText) -> Iterator[int]:
    """Yield the lines that begin inside a string."""
    inner: set[ast.AST] = set()
    for node in walk(parsed(source.text)):
        if node in inner or not isinstance(node, (ast.Constant, ast.JoinedStr)):
            continue
        inner.update(walk(node))
        if node.end_lineno != node.lineno:
            # Strings side by side are one node, and lines between them begin in none.
            text = f"({source.of(node)})"
            for token in tokenize.generate_tokens(io.StringIO(text).readline):
                if tokenize.tok_name[token.type] in _STRINGS:
                    first, last = token.start[0], token.end[0]
                    yield from range(node.lineno + first, node.lineno + last)


@functools.lru_cache(maxsize=2)
def parsed(text: str) -> ast.Module:
    """Return the syntax tree of a module, which several stages ask for and none changes.

    Raises:
        SyntaxError: Python itself cannot read it.
    """
    return ast.parse(text)


def standalone(node: ast.expr, text: str) -> str:
    """Return the text of an expression so that it may stand anywhere: in parentheses where it leant
    on others.
    """
    if isinstance(node, ast.NamedExpr | ast.Yield | ast.YieldFrom):
        return f"({text})"
    if "\n" not in text:
        return text
    try:
        ast.parse(text, mode="eval")
    except SyntaxError:
        return f"({text})"
    return text


def literal_repr(node: ast.expr) -> str | None:
    """Return `repr` of a literal expression's value, or None where it is not a literal."""
    if isinstance(node, ast.Constant):
        return repr(node.value)
    if isinstance(node, ast.Call):
        is_set = isinstance(node.func, ast.Name) and node.func.id == "set"
        return "set()" if is_set and not node.args and not node.keywords else None
    if not isinstance(node, _LITERALS):
        return None
    try:
        return repr(ast.literal_eval(node))
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return None
