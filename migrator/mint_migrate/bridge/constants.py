"""Find the constants an expression of a script may stand for, without running the script.

Values flow through plain assignments, dataclass and argparse defaults, keyword arguments of any
call (`SimpleNamespace(base_model="x")`), dictionary keys and `os.environ.get(..., default)`. Scopes
are ignored and every candidate is kept: the result feeds a stand-in hub, where a name too many
costs nothing.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import dataclass, field

Constant = str | int | float | bool | None

_MAX_DEPTH = 8
"""Ends chains that refer to themselves, such as `name = name or "x"`."""


@dataclass(slots=True)
class Constants:
    """What names and attributes of one module are set to."""

    names: dict[str, list[ast.expr]] = field(default_factory=dict)
    attributes: dict[str, list[ast.expr]] = field(default_factory=dict)
    """By the last part: `args.model_name` and `config["model_name"]` are both `model_name`."""

    def values(self, expression: ast.expr | None, depth: int = 0) -> tuple[Constant, ...]:
        """Return every constant the expression may be, in order of appearance, without repeats."""
        if expression is None or depth > _MAX_DEPTH:
            return ()
        handler = _HANDLERS.get(type(expression))
        found = handler(self, expression, depth + 1) if handler else ()
        return tuple(dict.fromkeys(found))

    def strings(self, expression: ast.expr | None) -> tuple[str, ...]:
        """Return the strings among the values."""
        return tuple(value for value in self.values(expression) if isinstance(value, str))

    def of_attribute(self, name: str) -> tuple[Constant, ...]:
        """Return the constants that attributes, keywords and keys of this name are set to."""
        found = [value for node in self.attributes.get(name, ()) for value in self.values(node)]
        return tuple(dict.fromkeys(found))

    def numbers_of(self, name: str) -> tuple[float, ...]:
        """Return the numbers among `of_attribute`."""
        return tuple(
            float(value)
            for value in self.of_attribute(name)
            if isinstance(value, int | float) and not isinstance(value, bool)
        )

    def of_names(self, names: list[ast.expr], depth: int) -> tuple[Constant, ...]:
        return tuple(value for node in names for value in self.values(node, depth))


def collect(tree: ast.AST) -> Constants:
    """Return the assignments, defaults and keywords of a module."""
    constants = Constants()
    for node in ast.walk(tree):
        match node:
            case ast.Assign(targets=targets, value=value):
                for target in targets:
                    _assign(constants, target, value)
            case ast.AnnAssign(target=target, value=ast.expr() as value):
                _assign(constants, target, _field_default(value))
            case ast.Call():
                _keywords(constants, node)
            case ast.Dict(keys=keys, values=values):
                for key, value in zip(keys, values, strict=True):
                    if isinstance(key, ast.Constant) and isinstance(key.value, str):
                        constants.attributes.setdefault(key.value, []).append(value)
            case ast.FunctionDef(args=arguments) | ast.AsyncFunctionDef(args=arguments):
                _defaults(constants, arguments)
    return constants


def _assign(constants: Constants, target: ast.expr, value: ast.expr) -> None:
    """Note `name = value`, which in a class body is the attribute of that name as well."""
    if isinstance(target, ast.Name):
        constants.names.setdefault(target.id, []).append(value)
        constants.attributes.setdefault(target.id, []).append(value)
    elif isinstance(target, ast.Attribute):
        constants.attributes.setdefault(target.attr, []).append(value)


def _field_default(value: ast.expr) -> ast.expr:
    """Return the default inside `dataclasses.field(default=...)`."""
    if isinstance(value, ast.Call) and _last_name(value.func) == "field":
        return next((word.value for word in value.keywords if word.arg == "default"), value)
    return value


def _keywords(constants: Constants, call: ast.Call) -> None:
    if _last_name(call.func) == "add_argument":
        flags = [arg.value for arg in call.args if isinstance(arg, ast.Constant)]
        default = next((word.value for word in call.keywords if word.arg == "default"), None)
        for flag in flags:
            if default is not None and isinstance(flag, str):
                name = flag.lstrip("-").replace("-", "_")
                constants.attributes.setdefault(name, []).append(default)
        return
    for word in call.keywords:
        if word.arg is not None:
            constants.attributes.setdefault(word.arg, []).append(word.value)


def _defaults(constants: Constants, arguments: ast.arguments) -> None:
    positional = [*arguments.posonlyargs, *arguments.args]
    paired = list(zip(reversed(positional), reversed(arguments.defaults), strict=False))
    paired += [
        (a, d) for a, d in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True) if d
    ]
    for argument, default in paired:
        constants.names.setdefault(argument.arg, []).append(default)


def _last_name(function: ast.expr) -> str:
    """Return `c` of `a.b.c`."""
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def called_name(call: ast.Call) -> str:
    """Return the last part of what is called: `load_dataset` of `datasets.load_dataset(...)`."""
    return _last_name(call.func)


def _constant(_constants: Constants, node: ast.expr, _depth: int) -> tuple[Constant, ...]:
    assert isinstance(node, ast.Constant)
    value = node.value
    return (value,) if value is None or isinstance(value, str | int | float) else ()


def _name(constants: Constants, node: ast.expr, depth: int) -> tuple[Constant, ...]:
    assert isinstance(node, ast.Name)
    return constants.of_names(constants.names.get(node.id, []), depth)


def _attribute(constants: Constants, node: ast.expr, depth: int) -> tuple[Constant, ...]:
    assert isinstance(node, ast.Attribute)
    return constants.of_names(constants.attributes.get(node.attr, []), depth)


def _subscript(constants: Constants, node: ast.expr, depth: int) -> tuple[Constant, ...]:
    assert isinstance(node, ast.Subscript)
    key = node.slice
    if isinstance(key, ast.Constant) and isinstance(key.value, str):
        return constants.of_names(constants.attributes.get(key.value, []), depth)
    return ()


def _choice(constants: Constants, node: ast.expr, depth: int) -> tuple[Constant, ...]:
    branches = node.values if isinstance(node, ast.BoolOp) else []
    if isinstance(node, ast.IfExp):
        branches = [node.body, node.orelse]
    return constants.of_names(branches, depth)


def _call(constants: Constants, node: ast.expr, depth: int) -> tuple[Constant, ...]:
    """A default of `get` or `getenv`, what `str(x)` or `Path(x)` are given, or a `max`."""
    assert isinstance(node, ast.Call)
    name = _last_name(node.func)
    if name in {"get", "getenv", "pop", "getattr"}:
        return constants.of_names(node.args[-1:] if len(node.args) > 1 else [], depth)
    if name in {"str", "int", "float", "Path"}:
        return constants.of_names(node.args[:1], depth)
    if name in {"max", "min"}:
        values = constants.of_names(node.args, depth)
        numbers = [value for value in values if isinstance(value, int | float)]
        return (max(numbers) if name == "max" else min(numbers),) if numbers else ()
    return ()


_ARITHMETIC: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: lambda left, right: left + right,
    ast.Sub: lambda left, right: left - right,
    ast.Mult: lambda left, right: left * right,
    ast.FloorDiv: lambda left, right: left // right if right else 0,
    ast.Div: lambda left, right: left / right if right else 0,
}


def _operation(constants: Constants, node: ast.expr, depth: int) -> tuple[Constant, ...]:
    assert isinstance(node, ast.BinOp)
    apply = _ARITHMETIC.get(type(node.op))
    lefts, rights = constants.values(node.left, depth), constants.values(node.right, depth)
    if apply is None or not lefts or not rights:
        return ()
    left, right = lefts[0], rights[0]
    if isinstance(left, str) and isinstance(right, str):
        return (left + right,) if isinstance(node.op, ast.Add) else ()
    if isinstance(left, int | float) and isinstance(right, int | float):
        return (apply(left, right),)
    return ()


def _joined(constants: Constants, node: ast.expr, depth: int) -> tuple[Constant, ...]:
    """An f-string all of whose parts are known."""
    assert isinstance(node, ast.JoinedStr)
    text = ""
    for part in node.values:
        inner = part.value if isinstance(part, ast.FormattedValue) else part
        values = constants.values(inner, depth)
        if not values:
            return ()
        text += str(values[0])
    return (text,)


_HANDLERS: dict[type[ast.expr], Callable[[Constants, ast.expr, int], tuple[Constant, ...]]] = {
    ast.Constant: _constant,
    ast.Name: _name,
    ast.Attribute: _attribute,
    ast.Subscript: _subscript,
    ast.BoolOp: _choice,
    ast.IfExp: _choice,
    ast.Call: _call,
    ast.BinOp: _operation,
    ast.JoinedStr: _joined,
}
