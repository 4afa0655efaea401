"""Names that the result's imports bind must not mean anything else in the user's module."""

from __future__ import annotations

import ast
from collections.abc import Iterable

from mint_migrate.model.facts import Binding
from mint_migrate.rules.base import Blocked, Ledger

MODULE = 0


def check_free(ledger: Ledger, scope: int, imports: Iterable[str]) -> None:
    """Make sure that every import the result needs may be added at the top of the module.

    Args:
        ledger: the plan so far.
        scope: where training is called.
        imports: import statements of one name each.

    Raises:
        Blocked: the script uses one of the names for something else.
    """
    for text in sorted(imports):
        name = text.split()[-1]
        owner = ledger.owner_of(name, scope)
        places = {MODULE} if owner is None else {MODULE, owner}
        found = [
            item
            for item in ledger.facts.bindings
            if item.name == name and item.scope in places and item.kind != "delete"
        ]
        if found and not any(text in _imports_of(ledger, item) for item in found):
            raise Blocked(
                "MM230",
                f"the result needs `{text}`, and `{name}` is something else in this script; "
                "rename it",
            )


def _imports_of(ledger: Ledger, binding: Binding) -> frozenset[str]:
    """Return what an import statement imports, as statements of one name each."""
    if binding.kind != "import":
        return frozenset()
    node = ast.parse(ledger.text_of(binding.statement)).body[0]
    if isinstance(node, ast.ImportFrom):
        return frozenset(
            f"from {node.module} import {item.name}" for item in node.names if item.asname is None
        )
    assert isinstance(node, ast.Import)
    return frozenset(
        f"import {item.name.split('.', 1)[0]}" for item in node.names if item.asname is None
    ) | frozenset(
        f"import {item.name} as {item.asname}" for item in node.names if item.asname is not None
    )
