"""Questions about single syntax nodes."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import TypeGuard

from mint_migrate.analyse.scopes import Bound, dotted
from mint_migrate.analyse.walk import children, walk

Place = ast.expr | ast.keyword


def in_order(tree: ast.AST) -> list[ast.AST]:
    """Return every node in source order, parents first."""
    return list(walk(tree))


def dictionary_pairs(value: ast.expr | None) -> list[tuple[str, ast.expr, Place]] | None:
    """Return (key, value, place) of `{...}` or `dict(...)` with plain keys, else None."""
    if isinstance(value, ast.Dict):
        pairs: list[tuple[str, ast.expr, Place]] = []
        for key, item in zip(value.keys, value.values, strict=True):
            if not isinstance(key, ast.Constant) or not isinstance(key.value, str):
                return None
            pairs.append((key.value, item, key))
        return pairs
    if isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id == "dict":
        if value.args or any(keyword.arg is None for keyword in value.keywords):
            return None
        return [(keyword.arg or "", keyword.value, keyword) for keyword in value.keywords]
    return None


def is_one_call(results: list[ast.expr]) -> TypeGuard[list[ast.Call]]:
    """Say whether a function returns one call and nothing else."""
    return len(results) == 1 and isinstance(results[0], ast.Call)


def own_function(node: ast.expr) -> str | None:
    """Return the name in `name(...)` or `self.name(...)`."""
    name = dotted(node.func) if isinstance(node, ast.Call) else None
    return None if name is None else name.removeprefix("self.")


def header(node: ast.AST) -> list[ast.AST]:
    """Return the parts of a compound statement that are not in its bodies."""
    return [
        child
        for child in children(node)
        if not isinstance(child, ast.stmt | ast.excepthandler | ast.match_case)
    ]


def loaded_names(node: ast.AST) -> set[str]:
    names: set[str] = set()
    for child in walk(node):
        if isinstance(child, ast.Name):
            if isinstance(child.ctx, ast.Load):
                names.add(child.id)
        elif isinstance(child, ast.Attribute):
            name = dotted(child)
            if name is not None and name.startswith("self."):
                names.add(name)
    return names


def deleted_names(node: ast.stmt) -> tuple[str, ...]:
    """Return the names a `del` statement deletes; none where it deletes items or attributes too."""
    if not isinstance(node, ast.Delete):
        return ()
    names = [target.id for target in node.targets if isinstance(target, ast.Name)]
    return tuple(names) if len(names) == len(node.targets) else ()


def names_in(parts: Sequence[ast.AST]) -> tuple[set[str], set[str]]:
    """Return the names that *parts* bind, and those they read: `x` and `self.x`.

    A `self.x` that is bound counts as read, too.
    """
    stored: set[str] = set()
    loaded: set[str] = set()
    for part in parts:
        for child in walk(part):
            if isinstance(child, ast.Name):
                if isinstance(child.ctx, ast.Load):
                    loaded.add(child.id)
                elif isinstance(child.ctx, ast.Store):
                    stored.add(child.id)
            elif isinstance(child, ast.Attribute):
                name = dotted(child)
                if name is not None:
                    loaded |= {name} if name.startswith("self.") else set()
                    stored |= {name} if isinstance(child.ctx, ast.Store) else set()
    return stored, loaded


def targets_of(statement: ast.stmt, value: ast.expr) -> tuple[str | None, tuple[str, ...]]:
    """Return the one name that a statement binds a value to, and all of them."""
    if isinstance(statement, ast.Assign) and statement.value is value:
        if len(statement.targets) != 1:
            return None, ()
        target = statement.targets[0]
        if isinstance(target, ast.Tuple | ast.List):
            names = [dotted(element) for element in target.elts]
            return None, tuple(name for name in names if name is not None)
        name = dotted(target)
        return (name, (name,)) if name is not None else (None, ())
    if isinstance(statement, ast.AnnAssign) and statement.value is value:
        name = dotted(statement.target)
        return (name, (name,)) if name is not None else (None, ())
    return None, ()


def place_of(bound: Bound) -> ast.stmt | ast.arg:
    """Return the statement or parameter that binds a name."""
    assert isinstance(bound.statement, ast.stmt | ast.arg)
    return bound.statement
