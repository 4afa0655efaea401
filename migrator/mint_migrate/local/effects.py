"""What importing a module does besides binding names."""

from __future__ import annotations

import ast

from mint_migrate.analyse.walk import walk
from mint_migrate.local.units import Unit

_SILENT_CALLS = frozenset(
    {"bool", "dict", "float", "frozenset", "int", "len", "list", "max", "min", "range", "set"}
    | {"sorted", "str", "sum", "tuple", "zip", "get", "getenv", "getLogger", "get_logger", "join"}
    | {"Path", "namedtuple", "compile", "TypeVar", "dirname", "abspath", "resolve", "format"}
)
"""Calls that only make a value: without them, nothing is missing."""


def has_effect(unit: Unit, statement: ast.stmt) -> bool:
    """Say whether a statement of a module does more than bind names."""
    match statement:
        case ast.Import() | ast.ImportFrom() | ast.Pass():
            return False
        case ast.Expr(value=ast.Constant()):
            return False
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            return any(not _is_plain_decorator(each) for each in statement.decorator_list)
        case ast.Assign() | ast.AnnAssign():
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            is_plain = all(isinstance(each, ast.Name | ast.Tuple) for each in targets)
            return not is_plain or (statement.value is not None and _acts(unit, statement.value))
        case ast.If(test=test):
            if _is_main(test):
                return False
            inner = [*statement.body, *statement.orelse]
            return _acts(unit, test) or any(has_effect(unit, each) for each in inner)
        case ast.Try(body=body, handlers=handlers, orelse=orelse, finalbody=finalbody):
            inner = [*body, *orelse, *finalbody, *(each for one in handlers for each in one.body)]
            return any(has_effect(unit, each) for each in inner)
    return True


def _acts(unit: Unit, value: ast.expr) -> bool:
    """Say whether computing a value may do something besides."""
    for node in walk(value):
        if isinstance(node, ast.Await | ast.NamedExpr | ast.Yield | ast.YieldFrom):
            return True
        if isinstance(node, ast.Call) and not _is_silent(unit, node.func):
            return True
    return False


def _is_silent(unit: Unit, function: ast.expr) -> bool:
    if unit.scopes.is_source(unit.scopes.qualified(function)):
        return True
    if isinstance(function, ast.Attribute):
        return function.attr in _SILENT_CALLS
    return isinstance(function, ast.Name) and function.id in _SILENT_CALLS


def _is_plain_decorator(node: ast.expr) -> bool:
    called = node.func if isinstance(node, ast.Call) else node
    name = ast.unparse(called).rpartition(".")[2]
    return name in {"dataclass", "lru_cache", "cache", "no_grad", "inference_mode", "wraps"} | {
        "contextmanager",
        "total_ordering",
        "overload",
        "unique",
    }


def _is_main(test: ast.expr) -> bool:
    names = {node.id for node in walk(test) if isinstance(node, ast.Name)}
    return "__name__" in names
