"""`# mint-migrate: ignore[MM203] reason`: comments by which a person accepts an outcome.

Three reaches:

- behind code: the items that start on that line;
- alone on a line: the full extent of what starts on the next line of code, a statement with its
  block or one argument of a call;
- `ignore-file[...]` before the first line of code: the whole file.

Codes are always named; a comment that cannot be understood is reported, never guessed at.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from mint_migrate.model.source import Span

_COMMENT = re.compile(r"#\s*mint-migrate\s*:(?P<rest>.*)", re.IGNORECASE)
_IGNORE = re.compile(r"\s*(?P<what>ignore(?:-file)?)\s*\[(?P<codes>[^\]]*)\](?P<reason>.*)")
_CODE = re.compile(r"MM\d{3,4}")
_LAYOUT = frozenset(
    {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}
)


class Reach(StrEnum):
    """What a comment applies to."""

    LINE = "line"
    BLOCK = "block"
    FILE = "file"


@dataclass(frozen=True, slots=True, kw_only=True)
class Suppression:
    """One comment. It applies to items that start on `first_line` to `last_line`, both included."""

    codes: tuple[str, ...]
    reason: str
    reach: Reach
    line: int
    """Where the comment stands."""
    first_line: int
    last_line: int | None
    """None: to the end of the file."""

    def covers(self, code: str, span: Span) -> bool:
        """Say whether an item with *code* at *span* is accepted by this comment."""
        return (
            code in self.codes
            and self.first_line <= span.line
            and (self.last_line is None or span.line <= self.last_line)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Misread:
    """A comment that speaks to this program and says nothing it understands."""

    line: int
    column: int
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Suppressions:
    """All such comments of one file."""

    found: tuple[Suppression, ...] = ()
    misread: tuple[Misread, ...] = ()

    def covers(self, code: str, span: Span) -> bool:
        """Say whether any comment accepts *code* at *span*."""
        return any(suppression.covers(code, span) for suppression in self.found)

    def unused(self, items: Iterable[tuple[str, Span]]) -> tuple[Suppression, ...]:
        """Return the comments that accept none of *items*, pairs of a code and its place."""
        listed = tuple(items)
        return tuple(
            suppression
            for suppression in self.found
            if not any(suppression.covers(code, span) for code, span in listed)
        )


def suppressions(text: str) -> Suppressions:
    """Return the comments of *text* that accept an outcome; none where it does not parse."""
    if "mint-migrate" not in text.lower():
        return Suppressions()
    try:
        tree = ast.parse(text)
        tokens = list(tokenize.generate_tokens(io.StringIO(text).readline))
    except (SyntaxError, ValueError, RecursionError, tokenize.TokenError):
        return Suppressions()
    code_lines = sorted({line for token in tokens for line in _code_lines(token)})
    extents = _extents(tree)
    found: list[Suppression] = []
    misread: list[Misread] = []
    for token in tokens:
        match = _COMMENT.search(token.string) if token.type == tokenize.COMMENT else None
        if match is None:
            continue
        read = _read(match["rest"], token.start[0], code_lines, extents)
        if isinstance(read, str):
            column = token.start[1] + match.start() + 1
            misread.append(Misread(line=token.start[0], column=column, message=read))
        else:
            found.append(read)
    return Suppressions(found=tuple(found), misread=tuple(misread))


def _code_lines(token: tokenize.TokenInfo) -> range:
    if token.type in _LAYOUT or token.type == tokenize.ENDMARKER:
        return range(0)
    return range(token.start[0], token.end[0] + 1)


def _extents(tree: ast.Module) -> dict[int, int]:
    """Return, for each line on which something starts, the last line of the longest such thing."""
    extents: dict[int, int] = {}
    for node in ast.walk(tree):
        if not isinstance(node, ast.stmt | ast.expr | ast.keyword):
            continue
        # The line of a decorated definition is that of its `def`.
        decorators = getattr(node, "decorator_list", [])
        start = min([node.lineno, *(decorator.lineno for decorator in decorators)])
        end = node.end_lineno or node.lineno
        extents[start] = max(extents.get(start, start), end)
    return extents


def _read(
    rest: str, line: int, code_lines: list[int], extents: dict[int, int]
) -> Suppression | str:
    """Return the suppression a comment states, or why it cannot be read."""
    match = _IGNORE.fullmatch(rest)
    if match is None:
        return "expected `ignore[MM203] reason` or `ignore-file[MM203] reason`"
    codes = tuple(code.strip() for code in match["codes"].split(",") if code.strip())
    wrong = next((code for code in codes if not _CODE.fullmatch(code)), None)
    if wrong is not None or not codes:
        return f"`{wrong or ''}` is not a code such as `MM203`"
    if match["what"] == "ignore-file":
        if code_lines and code_lines[0] < line:
            return "`ignore-file` belongs before the first line of code"
        reach, first, last = Reach.FILE, 1, None
    else:
        reach, first, last = _reach(line, code_lines, extents)
    return Suppression(
        codes=codes,
        reason=match["reason"].strip(),
        reach=reach,
        line=line,
        first_line=first,
        last_line=last,
    )


def _reach(
    line: int, code_lines: list[int], extents: dict[int, int]
) -> tuple[Reach, int, int | None]:
    if line in code_lines:
        return Reach.LINE, line, line
    following = next((number for number in code_lines if number > line), line)
    return Reach.BLOCK, following, extents.get(following, following)
