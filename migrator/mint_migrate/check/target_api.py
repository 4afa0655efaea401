"""Whether a script calls the `mint` client as its published signatures allow."""

from __future__ import annotations

import ast

from mint_migrate.analyse.walk import walk
from mint_migrate.tables.lookup import Tables
from mint_migrate.tables.records import Signature


def unknown_calls(tree: ast.Module, tables: Tables) -> list[str]:
    """Return one sentence for each call of the target that its signature does not allow."""
    by_method: dict[str, list[Signature]] = {}
    for name, signature in tables.target.items():
        by_method.setdefault(name.rsplit(".", 1)[-1], []).append(signature)
    problems: list[str] = []
    for node in walk(tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        if _is_target(node.func, by_method):
            name = node.func.attr
            # Two clients may have a method of the same name: one of them must take the call.
            tried = [_wrong_arguments(node, name, signature) for signature in by_method[name]]
            problems += sorted(tried, key=len)[0]
    return problems


def _is_target(function: ast.Attribute, known: dict[str, list[Signature]]) -> bool:
    if function.attr not in known:
        return False
    owner = ast.unparse(function.value)
    last = owner.rsplit(".", 1)[-1]
    return last in {"types", "mint", "ModelInput"} or last.endswith(
        ("client", "client()", "ServiceClient()")
    )


def _wrong_arguments(node: ast.Call, name: str, signature: Signature) -> list[str]:
    given = [item.arg for item in node.keywords if item.arg is not None]
    problems = [
        f"line {node.lineno}: `{name}` has no parameter `{item}`"
        for item in given
        if item not in signature.names
    ]
    has_star = any(isinstance(item, ast.Starred) for item in node.args)
    if has_star or any(item.arg is None for item in node.keywords):
        return problems
    positional = {parameter for parameter, _ in signature.parameters[: len(node.args)]}
    problems += [
        f"line {node.lineno}: `{name}` is called without `{item}`"
        for item in signature.required
        if item not in given and item not in positional
    ]
    return problems
