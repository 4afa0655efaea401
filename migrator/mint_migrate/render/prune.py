"""Leave out of a module what nothing asks for: functions, classes and methods that are not reached.

A template that holds a whole library is written as one module, and a script gets the part of it
that it uses. What is reached is decided by names alone: reading `x.union` reaches every method
called `union`.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping

from mint_migrate.analyse.walk import walk

_Function = ast.FunctionDef | ast.AsyncFunctionDef


def prune(text: str, wanted: Iterable[str]) -> str:
    """Return the top-level definitions of *text* that *wanted* reaches, and of classes the methods.

    Args:
        text: a module of functions and classes only.
        wanted: names of functions and classes that the script reads, and `.name` for the
            attributes.
    """
    tree = ast.parse(text)
    reached = _reached(tree, set(wanted))
    lines = text.split("\n")
    dropped = [node for node in tree.body if _name(node) not in reached]
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node not in dropped:
            dropped += _unreached(node.body, reached)
    for node in sorted(dropped, key=lambda item: item.lineno, reverse=True):
        start = min([node.lineno, *(item.lineno for item in getattr(node, "decorator_list", []))])
        while start > 1 and not lines[start - 2].strip():
            start -= 1
        del lines[start - 1 : node.end_lineno]
    return _spaced("\n".join(lines))


def renamed(text: str, names: Mapping[str, str]) -> str:
    """Return *text* with names of the module replaced by others, in quoted annotations as well."""
    nodes = [
        node
        for node in walk(ast.parse(text))
        if isinstance(node, ast.expr | ast.stmt) and _spelled(node) in names
    ]
    lines = text.split("\n")
    for node in sorted(nodes, key=lambda item: (item.lineno, item.col_offset), reverse=True):
        old = _spelled(node)
        row = node.lineno - 1
        at = lines[row].index(old, node.col_offset)
        lines[row] = lines[row][:at] + names[old] + lines[row][at + len(old) :]
    return "\n".join(lines)


def _spelled(node: ast.AST) -> str:
    """Return the name that a node reads, defines or quotes; empty where it is none of these."""
    match node:
        case ast.Name(id=name) | ast.FunctionDef(name=name) | ast.ClassDef(name=name):
            return name
        case ast.Constant(value=str(name)):
            return name
    return ""


def defined(text: str) -> tuple[str, ...]:
    """Return the names of the functions and classes of a module."""
    return tuple(_name(node) for node in ast.parse(text).body)


def _reached(tree: ast.Module, reached: set[str]) -> set[str]:
    size = -1
    while size < len(reached):
        size = len(reached)
        for node in tree.body:
            if _name(node) not in reached:
                continue
            for item in node.body if isinstance(node, ast.ClassDef) else [node]:
                if _is_kept(item, reached) or item is node:
                    reached |= _read(item)
            if isinstance(node, ast.ClassDef):
                reached |= {name for base in node.bases for name in _read(base)}
    return reached


def _unreached(body: list[ast.stmt], reached: set[str]) -> list[ast.stmt]:
    """Return the methods and fields that nothing reads, with what is said below a field."""
    found = []
    for before, item in zip([None, *body], body, strict=False):
        is_told = isinstance(item, ast.Expr) and before is not None and before in found
        if is_told or not _is_kept(item, reached):
            found.append(item)
    return found


def _is_kept(item: ast.stmt, reached: set[str]) -> bool:
    if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name):
        return item.value is None or f".{item.target.id}" in reached
    if not isinstance(item, _Function):
        return True
    return item.name.startswith("__") or f".{item.name}" in reached


def _read(node: ast.AST) -> set[str]:
    found = set()
    for item in walk(node):
        if isinstance(item, ast.Name):
            found.add(item.id)
        elif isinstance(item, ast.Attribute):
            found.add(f".{item.attr}")
        elif isinstance(item, ast.keyword) and item.arg is not None:
            found.add(f".{item.arg}")
        elif isinstance(item, ast.Constant) and isinstance(item.value, str):
            found |= {item.value} if item.value.isidentifier() else set()
    return found


def _name(node: ast.stmt) -> str:
    assert isinstance(node, ast.FunctionDef | ast.ClassDef), "only functions and classes are pruned"
    return node.name


def _spaced(text: str) -> str:
    """Return *text* with two lines between definitions, and none left at the end of a class."""
    tree = ast.parse(text)
    lines = text.split("\n")
    pieces = []
    for node in tree.body:
        start = min([node.lineno, *(item.lineno for item in getattr(node, "decorator_list", []))])
        pieces.append("\n".join(lines[start - 1 : node.end_lineno]))
    return "\n\n\n".join(pieces) + "\n"
