"""Leave what no edit touches out of what libcst parses and generates, which is most of its time.

A whole statement at the left margin is replaced by a name on a line of its own, and the line by the
statement in the end. What stands above a statement stays, so that gaps and comments are treated as
ever.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from mint_migrate.analyse.text import SourceText
from mint_migrate.model.source import Span

_MARK = "_mint_migrate_keeps_"
_MARKS = re.compile(rf"^{_MARK}(\d+)_$", re.MULTILINE)
_NEVER = (ast.Import, ast.ImportFrom, ast.Try, ast.TryStar)
"""What the order of imports depends on."""


@dataclass(slots=True)
class Shortened:
    """A module with marks in place of some statements."""

    text: str
    texts: list[str] = field(default_factory=list)
    """What the marks stand for, by their numbers."""
    is_possible: bool = True
    """Nothing in the module looks like a mark."""

    def mark(self, text: str) -> str:
        """Return a line, without its newline, that stands for *text*."""
        self.texts.append(text)
        return f"{_MARK}{len(self.texts) - 1}_"

    def restore(self, code: str) -> str:
        """Return *code* with the texts in place of their marks."""
        return _MARKS.sub(lambda found: self.texts[int(found[1])], code) if self.texts else code


def shorten(source: SourceText, tree: ast.Module, touched: Iterable[Span]) -> Shortened:
    """Return the module without the longer statements at the margin that hold no *touched* place.

    The first statement stays, and so does the module as a whole where it would seem to be indented
    in another way without them.
    """
    if _MARK in source.text:
        return Shortened(text=source.text, is_possible=False)
    places = sorted((span.line, span.end_line) for span in touched)
    result = Shortened(text="")
    lines: list[str] = []
    at = 0
    kept: list[ast.stmt] = tree.body[:1]
    for statement in tree.body[1:]:
        start = min([statement.lineno, *(each.lineno for each in _decorators(statement))]) - 1
        end = statement.end_lineno or statement.lineno
        if not _may_go(statement, source.lines, start, end) or any(
            first <= end and last > start for first, last in places
        ):
            kept.append(statement)
            continue
        end = _behind_comments(source.lines, end)
        lines += source.lines[at:start]
        whole = "".join(source.lines[start:end])
        bare = whole.removesuffix("\n")
        lines.append(result.mark(bare) + whole[len(bare) :])
        at = end
    if not result.texts or indent_of(source, tree.body) != indent_of(source, kept):
        return Shortened(text=source.text)
    result.text = "".join([*lines, *source.lines[at:]])
    return result


def indent_of(source: SourceText, statements: Sequence[ast.stmt]) -> str:
    """Return the first indentation among some statements at the margin, four spaces without one."""
    for statement in statements:
        inner = (node for node in ast.walk(statement) if isinstance(node, ast.stmt))
        lines = (source.lines[node.lineno - 1] for node in inner if node.col_offset)
        found = (line[: len(line) - len(line.lstrip(" \t"))] for line in lines)
        widths = [indent for indent in found if indent]
        if widths:
            return min(widths, key=len)
    return "    "


def _decorators(statement: ast.stmt) -> list[ast.expr]:
    decorators: list[ast.expr] = getattr(statement, "decorator_list", [])
    return decorators


def _may_go(statement: ast.stmt, lines: Sequence[str], start: int, end: int) -> bool:
    """Say whether a statement has whole lines for itself, three or more."""
    if isinstance(statement, _NEVER) or end - start < 3 or lines[start][0].isspace():
        return False
    if _decorators(statement):
        # An expression in parentheses begins behind them.
        return lines[start].startswith("@")
    if hasattr(statement, "body"):
        return True
    behind = lines[end - 1].encode()[statement.end_col_offset or 0 :].strip()
    return statement.col_offset == 0 and behind[:1] in {b"", b"#"}


def _behind_comments(lines: Sequence[str], end: int) -> int:
    """Return the line behind the indented comments that follow a block and belong to it."""
    last = end
    for number in range(end, len(lines)):
        line = lines[number]
        if line[:1] not in {" ", "\t"} and line.strip():
            break
        if line.strip():
            last = number + 1
    return last
