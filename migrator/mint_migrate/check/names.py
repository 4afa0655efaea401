"""Which names of a module are read but bound nowhere."""

from __future__ import annotations

import ast
import builtins

from mint_migrate.analyse.scopes import ModuleScopes

KNOWN = frozenset(dir(builtins)) | {
    "__file__",
    "__name__",
    "__doc__",
    "__spec__",
    "__package__",
    "__builtins__",
}


def undefined_names(text: str) -> tuple[str, ...]:
    """Return the names that no scope around their use binds, sorted.

    A star import silences the check.
    """
    tree = ast.parse(text)
    scopes = ModuleScopes(tree)
    if any("*" in scope.bindings for scope in scopes.scopes):
        return ()
    missing = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id not in KNOWN:
            scope = scopes.scope_of.get(node)
            if (
                scope is not None
                and scopes.lookup(node.id, scope) is None
                and not _is_global(scopes, node.id)
            ):
                missing.add(node.id)
    return tuple(sorted(missing))


def _is_global(scopes: ModuleScopes, name: str) -> bool:
    return any(name in scope.globals for scope in scopes.scopes)
