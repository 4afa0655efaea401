"""Put the converted module together: docstring, imports, functions, the user's statements."""

from __future__ import annotations

import ast

import libcst as cst

from mint_migrate.analyse.text import source_of
from mint_migrate.model.script import Plan
from mint_migrate.model.source import Span
from mint_migrate.rewrite.docstring import extend_docstring
from mint_migrate.rewrite.imports import add_imports
from mint_migrate.rewrite.shorten import shorten
from mint_migrate.rewrite.statements import Node, Rewriter

_INDENT = "    "
BLANK = cst.EmptyLine(indent=False)


def rewrite_module(
    text: str,
    tree: ast.Module,
    plan: Plan,
    functions: str,
    headline: str,
    *,
    keeps_imports: bool = False,
) -> str:
    """Return the text of the converted module.

    Args:
        text: the user's module, with newlines as `\\n`.
        tree: its syntax tree.
        plan: what to change.
        functions: the text of the functions to add.
        headline: first sentence of the docstring, for a module without one.
        keeps_imports: leave imports further down alone, although the same ones are added.
    """
    source = source_of(text)
    drops = _by_statement(plan)
    short = shorten(source, tree, [*(edit.span for edit in plan.edits), *drops])
    module = cst.parse_module(short.text)
    rewriter = Rewriter(source=source, edits=plan.edits, drops=drops)
    nodes: list[Node] = list(module.body)
    header, nodes = _move_header(module, nodes)
    nodes, left = rewriter.block(tree.body, nodes)
    nodes = extend_docstring(nodes, headline, plan.summary, plan.promise)
    start = _behind_future(nodes)
    nodes = add_imports(nodes, plan.imports, start, moves=not keeps_imports)
    if functions and short.is_possible and module.default_indent == _INDENT:
        functions = short.mark(functions.rstrip("\n"))
    nodes = _insert_functions(nodes, functions, start)
    code = module.with_changes(header=header, body=nodes, footer=[*left, *module.footer]).code
    return short.restore(code)


def _by_statement(plan: Plan) -> dict[Span, frozenset[str]]:
    """Return the names to take out of each import statement."""
    names: dict[Span, set[str]] = {}
    for statement, name in plan.dropped_imports:
        names.setdefault(statement, set()).add(name)
    return {statement: frozenset(found) for statement, found in names.items()}


def _move_header(module: cst.Module, nodes: list[Node]) -> tuple[list[cst.EmptyLine], list[Node]]:
    """Keep `#!` and encoding lines at the top; hand the other comments to the first statement."""
    header = list(module.header)
    kept = []
    while header and header[0].comment is not None and _is_magic(header[0].comment.value):
        kept.append(header.pop(0))
    if not nodes or not header:
        return kept, nodes
    is_licence = any(line.comment is None for line in header)
    if is_licence or kept:
        return list(module.header), nodes
    first = nodes[0].with_changes(leading_lines=[*header, *nodes[0].leading_lines])
    return kept, [first, *nodes[1:]]


def _is_magic(comment: str) -> bool:
    return comment.startswith("#!") or "coding" in comment[:30]


def _behind_future(nodes: list[Node]) -> int:
    """Return the index behind the docstring and the `__future__` imports."""
    index = 1
    while index < len(nodes) and isinstance(nodes[index], cst.SimpleStatementLine):
        code = cst.Module(body=[]).code_for_node(nodes[index]).lstrip()
        if not code.startswith("from __future__"):
            break
        index += 1
    return index


def _insert_functions(nodes: list[Node], functions: str, start: int) -> list[Node]:
    """Insert the functions behind the imports at the top."""
    place = start
    for index in range(start, len(nodes)):
        if not _is_import(nodes[index]):
            break
        place = index + 1
    new: list[Node] = [_spaced(item) for item in cst.parse_module(functions).body]
    rest = nodes[place:]
    if rest:
        rest[0] = _spaced(rest[0])
    return [*nodes[:place], *new, *rest]


def _is_import(node: Node) -> bool:
    if isinstance(node, cst.SimpleStatementLine):
        return all(isinstance(item, cst.Import | cst.ImportFrom) for item in node.body)
    if isinstance(node, cst.Try) and isinstance(node.body, cst.IndentedBlock):
        return all(_is_import(item) for item in node.body.body)  # type: ignore[arg-type]
    return False


def _spaced(node: Node) -> Node:
    """Return a top-level statement with two blank lines above it."""
    lines = list(node.leading_lines)
    while lines and lines[0].comment is None:
        lines.pop(0)
    return node.with_changes(leading_lines=[BLANK, BLANK, *lines])
