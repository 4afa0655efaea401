"""Records the options of OpenRLHF's programs from a wheel: names and defaults.

Source is parsed, never run. Options that a loop adds under a prefix (`f"--{prefix}.adam.lr"`) are
written out, one for each value of the prefix.
"""

from __future__ import annotations

import ast
import re
import zipfile
from collections.abc import Iterator
from typing import Any

_PROGRAM = re.compile(r"(?:^|/)openrlhf/cli/([a-z]\w*)\.py$")
INFINITY = "1e999"
"""Infinity as a literal of Python."""
Names = dict[str, str]
"""Values of the variables of the loops around a statement."""


def record_programs(wheel: zipfile.ZipFile) -> dict[str, Any]:
    """Return by program, as `openrlhf.train_sft`, its options with their defaults."""
    found: dict[str, Any] = {}
    for path in sorted(wheel.namelist()):
        match = _PROGRAM.search(path)
        if match is not None:
            fields = read_flags(ast.parse(wheel.read(path), path))
            found[f"openrlhf.{match[1]}"] = {"fields": fields}
    return found


def read_flags(tree: ast.Module) -> dict[str, str | None]:
    """Return the options that a module adds to its parsers, without dashes.

    A default is a Python literal, that of a switch False; None where it is computed, or where there
    is none because the option is required or sets another one.
    """
    found: dict[str, str | None] = {}
    for call, names in _calls(tree.body, {}):
        is_option = isinstance(call.func, ast.Attribute) and call.func.attr == "add_argument"
        name = _text(call.args[0], names) if is_option and call.args else ""
        if name:
            found[name.lstrip("-")] = _default(call, names)
    return found


def _calls(body: list[ast.stmt], names: Names) -> Iterator[tuple[ast.Call, Names]]:
    """Yield every call in *body* in order, with the values of the loops it stands in."""
    for statement in body:
        if isinstance(statement, ast.For) and isinstance(statement.target, ast.Name):
            for value in _strings(statement.iter):
                yield from _calls(statement.body, {**names, statement.target.id: value})
        elif isinstance(statement, ast.If | ast.FunctionDef | ast.With):
            yield from _calls(statement.body, names)
        elif isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
            yield statement.value, names


def _strings(node: ast.expr) -> list[str]:
    """Return the strings of a literal list or tuple; of anything else none."""
    if not isinstance(node, ast.Tuple | ast.List):
        return []
    values = [item.value for item in node.elts if isinstance(item, ast.Constant)]
    return [value for value in values if isinstance(value, str)]


def _text(node: ast.expr, names: Names) -> str:
    """Return a string or a formatted string, empty where its value is not known."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ""
    if not isinstance(node, ast.JoinedStr):
        return ""
    parts = []
    for part in node.values:
        value = part.value if isinstance(part, ast.FormattedValue) else part
        text = names.get(value.id, "") if isinstance(value, ast.Name) else _text(value, names)
        if not text:
            return ""
        parts.append(text)
    return "".join(parts)


def _default(call: ast.Call, names: Names) -> str | None:
    """Return the default as a literal, with the choices of loops made and numbers written out."""
    keywords = {keyword.arg: keyword.value for keyword in call.keywords if keyword.arg}
    action = _text(keywords["action"], names) if "action" in keywords else ""
    if action == "store_false" and "dest" in keywords:
        return None
    if "default" in keywords:
        return _literal(keywords["default"], names)
    if "required" in keywords:
        return None
    return "False" if action == "store_true" else "None"


def _literal(node: ast.expr, names: Names) -> str | None:
    match node:
        case ast.IfExp(test=ast.Compare(left=ast.Name(name), comparators=[other])):
            is_chosen = names.get(name) == _text(other, names)
            return _literal(node.body if is_chosen else node.orelse, names)
        case ast.Call(func=ast.Name("int"), args=[ast.Constant(int() | float() as number)]):
            return repr(int(number))
        case ast.Call(func=ast.Name("float"), args=[ast.Constant("inf")]):
            return INFINITY
    try:
        return repr(ast.literal_eval(node))
    except ValueError:
        return None
