"""Walking a syntax tree, several times faster than `ast.walk`.

Only fields that can hold a node worth visiting are looked at. Contexts (`Load`, `Store`) and
operators are never visited: their parents say everything about them. A tree is walked a dozen times
in one analysis and never changed, so each node remembers what is below it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from itertools import chain

_WITHOUT_NODES = frozenset(
    {"arg", "asname", "attr", "conversion", "ctx", "id", "is_async", "kind", "kwd_attrs", "level"}
    | {"module", "op", "ops", "rest", "simple", "tag", "type_comment", "type_ignores"}
)
"""Fields that hold text, numbers, contexts or operators in every class that has them."""
_BELOW = "_mint_migrate_below"
_ALL = "_mint_migrate_all"
_FIELDS: dict[type[ast.AST], tuple[str, ...]] = {ast.Constant: (), ast.Global: (), ast.Nonlocal: ()}


def children(node: ast.AST) -> tuple[ast.AST, ...]:
    """Return the nodes directly below *node*, in the order of its fields."""
    known: tuple[ast.AST, ...] | None = node.__dict__.get(_BELOW)
    if known is None:
        # Names and constants, half of all nodes, have nothing below them.
        fields = _fields(node.__class__)
        known = node.__dict__[_BELOW] = tuple(_children(node, fields)) if fields else ()
    return known


def _fields(kind: type[ast.AST]) -> tuple[str, ...]:
    fields = _FIELDS.get(kind)
    if fields is None:
        fields = tuple(name for name in kind._fields if name not in _WITHOUT_NODES)
        _FIELDS[kind] = fields
    return fields


def _children(node: ast.AST, fields: tuple[str, ...]) -> list[ast.AST]:
    found: list[ast.AST] = []
    for name in fields:
        value = getattr(node, name, None)
        if value.__class__ is list:
            # The keys of a dictionary and the defaults of keyword parameters may be None.
            found += [item for item in value or () if item is not None]
        elif isinstance(value, ast.AST):
            found.append(value)
    return found


def walk(node: ast.AST) -> Iterator[ast.AST]:
    """Return *node* and every node below it in source order, parents first.

    A node does not remember itself: a tree without cycles is freed without the collector.
    """
    known: tuple[ast.AST, ...] | None = node.__dict__.get(_ALL)
    if known is None:
        known = node.__dict__[_ALL] = tuple(_below(node))
    return chain((node,), known)


def _below(node: ast.AST) -> list[ast.AST]:
    found: list[ast.AST] = []
    stack = [*children(node)[::-1]]
    while stack:
        current = stack.pop()
        found.append(current)
        below = children(current)
        if below:
            stack += below[::-1]
    return found
