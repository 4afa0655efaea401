"""The shape of a module: its statements, scopes, attributes and exception handlers, as records."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

from mint_migrate.analyse.nodes import deleted_names, header, names_in
from mint_migrate.analyse.scopes import ModuleScopes, ScopeInfo, dotted
from mint_migrate.analyse.text import SourceText
from mint_migrate.model.facts import Reference, Scope, Statement
from mint_migrate.model.source import Span

COMPOUND = (
    ast.FunctionDef,
    ast.AsyncFunctionDef,
    ast.ClassDef,
    ast.If,
    ast.For,
    ast.AsyncFor,
    ast.While,
    ast.With,
    ast.AsyncWith,
    ast.Try,
    ast.TryStar,
    ast.Match,
)


def statements(
    nodes: Sequence[ast.AST], scopes: ModuleScopes, source: SourceText
) -> tuple[Statement, ...]:
    """Return every statement with what its own line binds, reads and deletes."""
    return tuple(_statement(node, scopes, source) for node in nodes if isinstance(node, ast.stmt))


def _statement(node: ast.stmt, scopes: ModuleScopes, source: SourceText) -> Statement:
    is_compound = isinstance(node, COMPOUND)
    parts = header(node) if is_compound else [node]
    binds, loads = names_in(parts)
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        binds.add(node.name)
    return Statement(
        span=source.span(node),
        scope=scopes.scope_of[node].number,
        is_compound=is_compound,
        binds=tuple(sorted(binds)),
        loads=tuple(sorted(loads)),
        deletes=deleted_names(node),
    )


def scope_record(scope: ScopeInfo) -> Scope:
    """Return a scope as a record."""
    return Scope(
        number=scope.number,
        parent=scope.parent.number if scope.parent else None,
        kind=scope.kind,
        name=getattr(scope.node, "name", ""),
        names=tuple(sorted(scope.bindings)),
    )


def attributes(nodes: Sequence[ast.AST], *, written: bool) -> tuple[tuple[str, str], ...]:
    """Return (name, attribute) for each `name.attribute` that is written, or else read."""
    pairs = set()
    for node in nodes:
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load) is not written:
            name = dotted(node.value)
            if name is not None:
                pairs.add((name, node.attr))
    return tuple(sorted(pairs))


def handlers(nodes: Sequence[ast.AST], source: SourceText) -> tuple[tuple[Span, Span], ...]:
    """Return (body, handler) for each handler of each `try`."""
    found = []
    for node in nodes:
        if isinstance(node, ast.Try | ast.TryStar):
            first, last = source.span(node.body[0]), source.span(node.body[-1])
            body = Span(
                line=first.line,
                column=first.column,
                end_line=last.end_line,
                end_column=last.end_column,
            )
            found += [(body, source.span(handler)) for handler in node.handlers]
    return tuple(found)


def references(
    nodes: Sequence[ast.AST], scopes: ModuleScopes, source: SourceText
) -> Iterator[Reference]:
    """Yield each place that names something of a source package, imports left out."""
    for node in nodes:
        if not isinstance(node, (ast.Name, ast.Attribute)) or not isinstance(node.ctx, ast.Load):
            continue
        if isinstance(scopes.parent.get(node), ast.Attribute):
            continue
        qualified = scopes.qualified(node)
        if qualified is not None and scopes.is_source(qualified):
            yield Reference(
                qualified=qualified,
                span=source.span(node),
                scope=scopes.scope_of[node].number,
                bound=source.of(node).split(".", 1)[0],
                is_annotation=_is_annotation(node, scopes),
            )


def _is_annotation(node: ast.expr, scopes: ModuleScopes) -> bool:
    below: ast.AST = node
    while isinstance(below, ast.expr):
        above = scopes.parent[below]
        if isinstance(above, ast.arg | ast.AnnAssign) and above.annotation is below:
            return True
        if isinstance(above, ast.FunctionDef | ast.AsyncFunctionDef):
            return above.returns is below
        below = above
    return False
