"""Apply statement and expression edits to a libcst module, sharing every untouched subtree.

The syntax tree of `ast` gives positions, libcst keeps comments and whitespace; both list the
statements of a block in the same order, so the two are walked side by side. A line that is not
edited keeps its node and so its bytes.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from textwrap import wrap

import libcst as cst

from mint_migrate.analyse.text import SourceText
from mint_migrate.model.script import Edit
from mint_migrate.model.source import Span, contains
from mint_migrate.rewrite.aliases import without_names

Node = cst.SimpleStatementLine | cst.BaseCompoundStatement


COMMENT_WIDTH = 100


class RewriteError(Exception):
    """An edit does not fit the tree: a bug of ours."""


@dataclass(slots=True)
class Rewriter:
    """Edits of one module."""

    source: SourceText
    edits: tuple[Edit, ...]
    drops: Mapping[Span, frozenset[str]] = field(default_factory=dict)
    """Names to take out of import statements."""

    def block(
        self, statements: Sequence[ast.stmt], nodes: Sequence[Node]
    ) -> tuple[list[Node], list[cst.EmptyLine]]:
        """Return the new statements of a block, and the lines left over for its end."""
        result: list[Node] = []
        pending: list[cst.EmptyLine] = []
        position = 0
        for node in nodes:
            width = len(node.body) if isinstance(node, cst.SimpleStatementLine) else 1
            group = statements[position : position + width]
            position += width
            new, left = self._unit(group, node)
            if not new:
                pending = merge_lines(pending, left)
                continue
            if pending:
                new[0] = _with_lines(new[0], merge_lines(pending, _lines(new[0])))
                pending = []
            result.extend(new)
        return result, pending

    def _unit(
        self, group: Sequence[ast.stmt], node: Node
    ) -> tuple[list[Node], list[cst.EmptyLine]]:
        """Return what stands for one line or compound statement; comments if nothing does."""
        first, last = self.source.span(group[0]), self.source.span(group[-1])
        decorators = getattr(group[0], "decorator_list", [])
        start = self.source.span(decorators[0]) if decorators else first
        span = Span(
            line=min(start.line, first.line),
            column=first.column,
            end_line=last.end_line,
            end_column=last.end_column,
        )
        inside = [edit for edit in self.edits if contains(span, edit.span)]
        drops = [statement for statement in self.drops if contains(span, statement)]
        if not inside and not drops:
            return [node], []
        if isinstance(node, cst.SimpleStatementLine):
            if not inside:
                return self._imports(group, node)
            return self._simple(group, node, [*inside, *self._as_edits(group, node, inside)])
        whole = next((edit for edit in inside if edit.span == first and edit.is_statement), None)
        if whole is not None and whole.text is None:
            return [], [*_lines(node), *comment_lines(whole.comments)]
        inner = self._compound(group[0], node)
        if whole is not None:
            inner = _with_lines(inner, [*_lines(inner), *comment_lines(whole.comments)])
        return [inner], []

    def _imports(
        self, group: Sequence[ast.stmt], node: cst.SimpleStatementLine
    ) -> tuple[list[Node], list[cst.EmptyLine]]:
        """Take names out of a line of imports that has no other edit."""
        kept = [
            small
            for statement, old in zip(group, node.body, strict=True)
            if (small := self._import(statement, old)) is not None
        ]
        if not kept:
            return [], list(node.leading_lines)
        kept[-1] = kept[-1].with_changes(semicolon=cst.MaybeSentinel.DEFAULT)
        return [node.with_changes(body=kept)], []

    def _import(
        self, statement: ast.stmt, node: cst.BaseSmallStatement
    ) -> cst.BaseSmallStatement | None:
        return without_names(node, self.drops.get(self.source.span(statement), frozenset()))

    def _as_edits(
        self, group: Sequence[ast.stmt], node: cst.SimpleStatementLine, edits: Sequence[Edit]
    ) -> list[Edit]:
        """Return the imports to change on a line that is spliced from text."""
        found = []
        for statement, old in zip(group, node.body, strict=True):
            span = self.source.span(statement)
            if span not in self.drops or any(edit.span == span for edit in edits):
                continue
            new = self._import(statement, old)
            text = None
            if new is not None:
                bare = new.with_changes(semicolon=cst.MaybeSentinel.DEFAULT)
                text = cst.Module(body=[]).code_for_node(bare)
            found.append(Edit(span=span, text=text, is_statement=True))
        return found

    def _simple(
        self, group: Sequence[ast.stmt], node: cst.SimpleStatementLine, edits: list[Edit]
    ) -> tuple[list[Node], list[cst.EmptyLine]]:
        spans = [self.source.span(statement) for statement in group]
        pieces = [
            splice(self.source, span, [edit for edit in edits if contains(span, edit.span)])
            for span in spans
        ]
        text = "\n".join(piece for piece in pieces if piece)
        comments = [line for edit in edits for line in edit.comments]
        lines = [*node.leading_lines, *comment_lines(comments)]
        new = [item for item in cst.parse_module(text).body if not _is_empty(item)]
        if not new:
            trailing = node.trailing_whitespace.comment
            return [], [*lines, *comment_lines([trailing.value] if trailing else [])]
        statements: list[Node] = list(new)
        statements[0] = _with_lines(statements[0], lines)
        tail = statements[-1]
        if node.trailing_whitespace.comment and isinstance(tail, cst.SimpleStatementLine):
            statements[-1] = tail.with_changes(trailing_whitespace=node.trailing_whitespace)
        return statements, []

    def _compound(self, statement: ast.stmt, node: cst.BaseCompoundStatement) -> Node:
        changes: dict[str, object] = {
            **self._test(statement, node),
            **self._header(statement, node),
        }
        for attribute, children in compound_parts(statement, node):
            part = getattr(node, attribute)
            new = self._suite(children, part)
            if new is not part:
                changes[attribute] = new
        if isinstance(node, cst.Try | cst.TryStar):
            assert isinstance(statement, ast.Try | ast.TryStar)
            handlers: Sequence[cst.ExceptHandler | cst.ExceptStarHandler] = node.handlers
            changes["handlers"] = [
                handler.with_changes(body=self._suite(item.body, handler.body))
                for item, handler in zip(statement.handlers, handlers, strict=True)
            ]
        elif isinstance(node, cst.Match):
            assert isinstance(statement, ast.Match)
            changes["cases"] = [
                branch.with_changes(body=self._suite(item.body, branch.body))
                for item, branch in zip(statement.cases, node.cases, strict=True)
            ]
        return node.with_changes(**changes) if changes else node

    def _test(self, statement: ast.stmt, node: cst.BaseCompoundStatement) -> dict[str, object]:
        """Return the new condition of an `if` or `while`, or what a `for` runs over, if it is
        edited.
        """
        if isinstance(statement, ast.If | ast.While) and isinstance(node, cst.If | cst.While):
            attribute, old, span = "test", node.test, self.source.span(statement.test)
        elif isinstance(statement, ast.For | ast.AsyncFor) and isinstance(node, cst.For):
            attribute, old, span = "iter", node.iter, self.source.span(statement.iter)
        else:
            return {}
        inside = [
            edit for edit in self.edits if not edit.is_statement and contains(span, edit.span)
        ]
        if not inside:
            return {}
        text = splice(self.source, span, inside)
        new = cst.parse_expression(f"({text})" if "\n" in text else text)
        if old.lpar:
            new = new.with_changes(lpar=old.lpar, rpar=old.rpar)
        return {attribute: new}

    def _header(self, statement: ast.stmt, node: cst.BaseCompoundStatement) -> dict[str, object]:
        """Return the new parameters and bases of a function or class whose header is edited."""
        if not isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            return {}
        whole, body = self.source.span(statement), self.source.span(statement.body[0])
        span = replace(whole, end_line=body.line, end_column=body.column)
        inside = [
            edit for edit in self.edits if not edit.is_statement and contains(span, edit.span)
        ]
        if not inside:
            return {}
        # The body on a line of its own, as the header may end in comments.
        header = splice(self.source, span, inside)
        new = cst.parse_module(f"{header}\n{' ' * body.column}...").body[0]
        names = ("bases", "keywords") if isinstance(node, cst.ClassDef) else ("params", "returns")
        return {name: getattr(new, name) for name in names}

    def _suite(self, statements: Sequence[ast.stmt], part: cst.CSTNode) -> cst.CSTNode:
        """Rewrite a body, an `else`, or an `elif` that `ast` nests."""
        if isinstance(part, cst.If):
            new = self._compound(statements[0], part)
            return new if isinstance(new, cst.If) else part
        if isinstance(part, cst.Else | cst.Finally):
            nested = self._suite(statements, part.body)
            return part if nested is part.body else part.with_changes(body=nested)
        if isinstance(part, cst.SimpleStatementSuite):
            return self._one_line(statements, part)
        assert isinstance(part, cst.IndentedBlock)
        body, left = self.block(statements, part.body)  # type: ignore[arg-type]
        if body == list(part.body) and not left:
            return part
        if not body:
            passing = cst.SimpleStatementLine(body=[cst.Pass()], leading_lines=left)
            return part.with_changes(body=[passing])
        return part.with_changes(body=body, footer=[*left, *part.footer])

    def _one_line(
        self, statements: Sequence[ast.stmt], part: cst.SimpleStatementSuite
    ) -> cst.BaseSuite:
        """A body on the line of its header becomes a block if it is edited."""
        line = cst.SimpleStatementLine(body=part.body)
        new, left = self.block(statements, [line])
        if len(new) == 1 and new[0] is line:
            return part
        passing: list[Node] = [cst.SimpleStatementLine(body=[cst.Pass()], leading_lines=left)]
        return cst.IndentedBlock(body=new or passing)


def compound_parts(
    statement: ast.stmt, node: cst.BaseCompoundStatement
) -> list[tuple[str, Sequence[ast.stmt]]]:
    """Return (attribute of the libcst node, statements of the ast node) for each body it has."""
    parts: list[tuple[str, Sequence[ast.stmt]]] = []
    if not isinstance(node, cst.Match):
        parts.append(("body", statement.body))  # type: ignore[attr-defined]
    if getattr(node, "orelse", None) is not None:
        parts.append(("orelse", statement.orelse))  # type: ignore[attr-defined]
    if getattr(node, "finalbody", None) is not None:
        parts.append(("finalbody", statement.finalbody))  # type: ignore[attr-defined]
    return parts


def splice(source: SourceText, span: Span, edits: Sequence[Edit]) -> str:
    """Return the text of *span* with its edits applied, moved to the left margin.

    Raises:
        RewriteError: two edits overlap.
    """
    indent = span.column - 1
    outer = [edit for edit in edits if edit.is_statement]
    pieces: list[str] = []
    at = (span.line, span.column)
    applied = outer or list(edits)
    for edit in sorted(applied, key=lambda item: item.span):
        start = (edit.span.line, edit.span.column)
        if start < at:
            raise RewriteError(f"edits overlap at line {edit.span.line}")
        pieces.append(source.at_margin(_range(at, start), indent))
        pieces.append(edit.text or "")
        at = (edit.span.end_line, edit.span.end_column)
    pieces.append(source.at_margin(_range(at, (span.end_line, span.end_column)), indent))
    return "".join(pieces).strip()


def _range(start: tuple[int, int], end: tuple[int, int]) -> Span:
    return Span(line=start[0], column=start[1], end_line=end[0], end_column=end[1])


def _is_empty(node: cst.CSTNode) -> bool:
    return isinstance(node, cst.SimpleStatementLine) and not node.body


def _lines(node: Node) -> list[cst.EmptyLine]:
    return list(getattr(node, "leading_lines", ()))


def _with_lines(node: Node, lines: Sequence[cst.EmptyLine]) -> Node:
    return node.with_changes(leading_lines=list(lines))


def comment_lines(comments: Sequence[str]) -> list[cst.EmptyLine]:
    """Return comments as lines of their own; our remarks and markers are wrapped, code is not."""
    lines: list[str] = []
    for comment in comments:
        is_ours = comment.startswith(("# approximate (", "# TODO[mint-migrate"))
        lines += wrap(comment, COMMENT_WIDTH, subsequent_indent="#   ") if is_ours else [comment]
    return [cst.EmptyLine(comment=cst.Comment(value=line)) for line in lines]


def merge_lines(
    left: Sequence[cst.EmptyLine], right: Sequence[cst.EmptyLine]
) -> list[cst.EmptyLine]:
    """Join the lines above a statement that went with those above the next one.

    Blank lines do not add up: the larger gap stays. Comments all stay.
    """
    if any(line.comment for line in left):
        return [*left, *right]
    gap = max(_blank_prefix(left), _blank_prefix(right))
    return [*[cst.EmptyLine(indent=False)] * gap, *right[_blank_prefix(right) :]]


def _blank_prefix(lines: Sequence[cst.EmptyLine]) -> int:
    count = 0
    for line in lines:
        if line.comment is not None:
            break
        count += 1
    return count
