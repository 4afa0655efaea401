"""What an expression of one function is called in another one."""

from __future__ import annotations

import ast

from mint_migrate.model.facts import FunctionFlow, Value
from mint_migrate.rules.base import Ledger


def text_in_scope(
    ledger: Ledger, value: Value, scope: int, reader: int, depth: int = 0
) -> str | None:
    """Return *value*, an expression of *scope*, as *reader* can write it; None where it cannot.

    A parameter is replaced by what the one call of its function passes, a variable that is bound
    once by what it is bound to.
    """
    if value.literal is not None:
        return value.text
    replaced: dict[str, str] = {}
    for name in value.loads:
        owner = ledger.owner_of(name, scope)
        is_own = name.startswith("self.") and ledger.class_of(scope) == ledger.class_of(reader)
        if is_own or name == "self" or owner == ledger.owner_of(name, reader):
            continue
        text = (
            None if owner is None or depth > 4 else _elsewhere(ledger, name, owner, reader, depth)
        )
        if text is None:
            return None
        replaced[name] = text
    return _with_names(value.text, replaced)


def _elsewhere(ledger: Ledger, name: str, owner: int, reader: int, depth: int) -> str | None:
    bindings = [item for item in ledger.facts.bindings if item.name == name and item.scope == owner]
    if len(bindings) != 1:
        return None
    if bindings[0].kind != "parameter":
        value = bindings[0].value
        if value is None or _calls_something(value.text):
            return None
        return text_in_scope(ledger, value, owner, reader, depth + 1)
    flow = next((item for item in ledger.facts.flows if item.scope == owner), None)
    if flow is None or len(flow.calls) != 1:
        return None
    return _passed(ledger, flow, name, reader, depth)


def _passed(ledger: Ledger, flow: FunctionFlow, name: str, reader: int, depth: int) -> str | None:
    _, scope, given = flow.calls[0]
    value = dict(given).get(name)
    if value is None or _calls_something(value.text):
        return None
    return text_in_scope(ledger, value, scope, reader, depth + 1)


def _calls_something(text: str) -> bool:
    """Say whether evaluating an expression again may give something else."""
    tree = ast.parse(f"({text})")
    return any(isinstance(node, ast.Call | ast.Await | ast.NamedExpr) for node in ast.walk(tree))


class _Names(ast.NodeTransformer):
    def __init__(self, replaced: dict[str, str]) -> None:
        self.replaced = {name: ast.parse(text, mode="eval") for name, text in replaced.items()}

    def visit_Name(self, node: ast.Name) -> ast.expr:
        new = self.replaced.get(node.id)
        return node if new is None else new.body


def _with_names(text: str, replaced: dict[str, str]) -> str:
    if not replaced:
        return text
    return ast.unparse(_Names(replaced).visit(ast.parse(f"({text})", mode="eval")).body)
