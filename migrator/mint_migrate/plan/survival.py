"""Which names the result still uses, and what nothing needs any more."""

from __future__ import annotations

import ast
from dataclasses import replace
from functools import lru_cache

from mint_migrate.model.facts import Binding, Statement, Value
from mint_migrate.model.source import Span, contains
from mint_migrate.rules.base import Ledger


def is_still_used(ledger: Ledger, name: str, scope: int) -> bool:
    """Say whether a name bound in *scope* is read by what is left of the user's code."""
    if is_written(ledger, name):
        return True
    if (name, scope) in ledger.renamed:
        return False
    return any(
        ledger.owner_of(name, statement.scope) == scope and _survives(ledger, statement, name)
        for statement in ledger.facts.readers.get(name, ())
    )


def is_written(ledger: Ledger, name: str) -> bool:
    """Say whether our own replacements read *name*."""
    return any(
        edit.text and name in names_in(edit.text) and span not in ledger.broken
        for span, edit in ledger.edits.items()
    )


def _was_used(ledger: Ledger, name: str, scope: int) -> bool:
    return any(
        ledger.owner_of(name, statement.scope) == scope
        for statement in ledger.facts.readers.get(name, ())
    )


def _survives(ledger: Ledger, statement: Statement, name: str) -> bool:
    """Say whether what is left of a statement reads *name*."""
    if any(contains(span, statement.span) for span in ledger.broken):
        return False
    edit = ledger.edits.get(statement.span)
    if edit is not None and edit.is_statement:
        return False
    inner = [
        span
        for span, edit in ledger.edits.items()
        if not edit.is_statement and contains(statement.span, span)
    ]
    if statement.is_compound or not inner:
        return True
    return name in names_in(_without(ledger, statement.span, inner))


def _without(ledger: Ledger, whole: Span, inner: list[Span]) -> str:
    """Return a statement's text with some expressions replaced by None."""
    at = whole
    pieces = []
    for span in sorted(inner):
        pieces.append(ledger.text_of(replace(at, end_line=span.line, end_column=span.column)))
        at = replace(whole, line=span.end_line, column=span.end_column)
    return "None".join([*pieces, ledger.text_of(at)])


@lru_cache(maxsize=1024)
def names_in(text: str) -> frozenset[str]:
    """Return the names that a piece of code reads or binds."""
    # A branch of an `if` is a statement of its own in the syntax tree, and begins with `elif`.
    tree = ast.parse(text.removeprefix("el") if text.startswith("elif") else text)
    return frozenset(node.id for node in ast.walk(tree) if isinstance(node, ast.Name))


def drop_orphans(ledger: Ledger) -> tuple[tuple[Span, str], ...]:
    """Remove plain assignments that only removed code read; return imports that only removed code
    used.
    """
    needed = _needed_by_broken(ledger)
    pending = True
    while pending:
        pending = False
        for binding in ledger.facts.bindings:
            if binding.kind == "assign" and _is_orphan(ledger, binding, needed):
                ledger.remove_statement(binding.statement)
                pending = True
    source_imports = {(item.bound, item.scope) for item in ledger.facts.imports}
    return tuple(
        (binding.statement, binding.name)
        for binding in ledger.facts.bindings
        if binding.kind == "import"
        and (binding.name, binding.scope) not in source_imports
        and _was_used(ledger, binding.name, binding.scope)
        and not is_still_used(ledger, binding.name, binding.scope)
    )


def _is_orphan(ledger: Ledger, binding: Binding, needed: frozenset[str]) -> bool:
    if (
        binding.statement in ledger.edits
        or binding.value is None
        or binding.name.startswith("self.")
    ):
        return False
    if not _was_used(ledger, binding.name, binding.scope) or not _is_pure(
        _rest(ledger, binding.value)
    ):
        return False
    if any(contains(span, binding.statement) for span in ledger.broken):
        return False
    if binding.name in needed:
        return False
    if any(binding.name in statement.deletes for statement in ledger.facts.statements):
        return False
    return not is_still_used(ledger, binding.name, binding.scope)


def _rest(ledger: Ledger, value: Value) -> str:
    """Return the text of a value without the expressions in it that are replaced."""
    inner = [
        span
        for span, edit in ledger.edits.items()
        if not edit.is_statement and contains(value.span, span)
    ]
    return _without(ledger, value.span, inner) if inner else value.text


def _needed_by_broken(ledger: Ledger) -> frozenset[str]:
    """Names that statements read which became comments: whoever mends them needs what they read."""
    return frozenset(
        name
        for item in ledger.facts.statements
        if any(contains(span, item.span) for span in ledger.broken)
        for name in item.loads
    )


@lru_cache(maxsize=1024)
def _is_pure(text: str) -> bool:
    """Say whether evaluating an expression does nothing but give a value."""
    try:
        tree = ast.parse(f"({text})")
    except SyntaxError:
        return False
    return not any(
        isinstance(node, ast.Await | ast.Yield | ast.YieldFrom | ast.NamedExpr)
        or (isinstance(node, ast.Call) and not _is_builtin_view(node))
        for node in ast.walk(tree)
    )


def _is_builtin_view(node: ast.Call) -> bool:
    return isinstance(node.func, ast.Name) and node.func.id in {
        "getattr",
        "dict",
        "list",
        "str",
        "int",
        "float",
    }
