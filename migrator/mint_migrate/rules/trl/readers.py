"""Rule: statements that need a model or trainer itself, where its name or a function stands now."""

from __future__ import annotations

import ast

from mint_migrate.model.source import Span
from mint_migrate.rules.base import Ledger


def check_readers(ledger: Ledger, numbers: set[int], note: str) -> None:
    """Statements that need an object itself, where something else is now, become comments."""
    holders = {(name, owner) for name, owner, number in ledger.facts.held if number in numbers}
    for statement in ledger.facts.statements:
        for name in statement.loads:
            owner = ledger.owner_of(name, statement.scope)
            if name.startswith("self.") and owner is not None:
                owner = ledger.class_of(owner)
            if owner is None or (name, owner) not in holders:
                continue
            if statement.is_compound or statement.span in ledger.edits:
                continue
            if _leaves(ledger, statement.span, name) or _is_opened(
                ledger, statement.span, name, holders
            ):
                ledger.mark_broken(statement.span, "MM228", f"`{name}` {note}")


def _is_opened(ledger: Ledger, span: Span, name: str, holders: set[tuple[str, int]]) -> bool:
    """Say whether a statement hands the model to a function of the file that looks inside it."""
    looked_into = {owner for owner, _ in ledger.facts.attributes_read}
    return any(
        statement == span
        and value.name == name
        and (parameter, flow.scope) not in holders
        and parameter in looked_into
        for flow in ledger.facts.flows
        for statement, _, given in flow.calls
        for parameter, value in given
    )


def _leaves(ledger: Ledger, span: Span, name: str) -> bool:
    """Say whether a statement hands the model to code of another file."""
    node = ast.parse(ledger.text_of(span)).body[0]
    known = {scope.name for scope in ledger.facts.scopes if scope.kind in {"function", "class"}}
    known |= {item.bound for item in ledger.facts.imports} | {"print", "isinstance", "str", "type"}
    for call in ast.walk(node):
        if not isinstance(call, ast.Call):
            continue
        given = [*call.args, *(item.value for item in call.keywords)]
        if not any(ast.unparse(item) == name for item in given):
            continue
        function = call.func
        root = function.id if isinstance(function, ast.Name) else getattr(function, "attr", "")
        base = ast.unparse(function).split(".")[0]
        if root not in known and base not in known:
            return True
    return False
