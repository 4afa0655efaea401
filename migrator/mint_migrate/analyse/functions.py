"""Which function of the file a call means, what it is given there, and what it returns."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass, field

from mint_migrate.analyse.scopes import Bound, ModuleScopes, ScopeInfo, dotted
from mint_migrate.analyse.walk import children


@dataclass(slots=True)
class LocalFunction:
    """A function or method of the file."""

    node: ast.FunctionDef
    scope: ScopeInfo
    results: tuple[ast.expr, ...]
    """What its `return` statements give back, in source order; none for a generator."""
    calls: list[tuple[ast.Call, bool]] = field(default_factory=list)
    """Where it is called, and whether the first parameter is the object it is called on."""

    def given(self, parameter: str) -> list[ast.expr] | None:
        """Return what every call passes for *parameter*; None where one of them does not say."""
        arguments = self.node.args
        positional = [item.arg for item in (*arguments.posonlyargs, *arguments.args)]
        keywords = [item.arg for item in (*arguments.args, *arguments.kwonlyargs)]
        found = []
        for call, is_bound in self.calls:
            value = _passed(call, parameter, positional[1:] if is_bound else positional, keywords)
            if value is None:
                return None
            found.append(value)
        return found

    def passed(self) -> list[tuple[ast.Call, list[tuple[str, ast.expr]]]]:
        """Return each call with what it passes, by parameter; nothing behind `*` is known."""
        found = []
        arguments = self.node.args
        positional = [item.arg for item in (*arguments.posonlyargs, *arguments.args)]
        for call, is_bound in self.calls:
            names = positional[1:] if is_bound else positional
            is_plain = not any(isinstance(item, ast.Starred) for item in call.args)
            pairs = list(zip(names, call.args, strict=False)) if is_plain else []
            pairs += [(item.arg, item.value) for item in call.keywords if item.arg is not None]
            found.append((call, pairs))
        return found

    def texts(self) -> tuple[str, ...]:
        """Return the parameters that are text: by their annotation, or by their default."""
        arguments = self.node.args
        positional = [*arguments.posonlyargs, *arguments.args]
        defaults: list[tuple[ast.arg, ast.expr | None]] = list(
            zip(positional[::-1], arguments.defaults[::-1], strict=False)
        )
        defaults += zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
        found = {
            parameter.arg
            for parameter, default in defaults
            if isinstance(default, ast.Constant) and isinstance(default.value, str)
        }
        for parameter in (*positional, *arguments.kwonlyargs):
            if isinstance(parameter.annotation, ast.Name) and parameter.annotation.id == "str":
                found.add(parameter.arg)
        return tuple(sorted(found))


class LocalFunctions:
    """The functions of a module that are bound once, by their `def`."""

    def __init__(self, scopes: ModuleScopes, nodes: Sequence[ast.AST]) -> None:
        self.scopes = scopes
        self._by_node: dict[ast.AST, LocalFunction] = {}
        for scope in scopes.scopes:
            if isinstance(scope.node, ast.FunctionDef):
                self._by_node[scope.node] = LocalFunction(scope.node, scope, _results(scope.node))
        for node in nodes if self._by_node else ():
            if isinstance(node, ast.Call) and (called := self._called(node)) is not None:
                called[0].calls.append((node, called[1]))

    def all(self) -> list[LocalFunction]:
        """Return them in source order."""
        return list(self._by_node.values())

    def called(self, call: ast.Call) -> LocalFunction | None:
        """Return the function that gives a call its value; None for a class or an unknown one."""
        found = self._called(call)
        return None if found is None or found[0].node.name == "__init__" else found[0]

    def of_scope(self, scope: ScopeInfo) -> LocalFunction | None:
        """Return the function whose body *scope* is."""
        return self._by_node.get(scope.node)

    def _called(self, call: ast.Call) -> tuple[LocalFunction, bool] | None:
        name = dotted(call.func)
        if name is None:
            return None
        scope = self.scopes.scope_of[call]
        if name.startswith("self."):
            owner = enclosing_class(scope)
            found = None if owner is None else self._defined(owner, name[5:], "function")
            return None if found is None else (self._by_node[found], True)
        holder = self.scopes.lookup(name, scope)
        if holder is None:
            return None
        function = self._defined(holder[0], name, "function")
        if function is not None:
            return self._by_node[function], False
        made = self._defined(holder[0], name, "class")
        body = next((item for item in self.scopes.scopes if item.node is made), None)
        start = None if body is None else self._defined(body, "__init__", "function")
        return None if start is None else (self._by_node[start], True)

    @staticmethod
    def _defined(scope: ScopeInfo, name: str, kind: str) -> ast.AST | None:
        bounds = scope.bindings.get(name, [])
        if len(bounds) != 1 or bounds[0].kind != kind:
            return None
        node = bounds[0].statement
        return None if isinstance(node, ast.AsyncFunctionDef) else node


def unpacked(bound: Bound, name: str) -> tuple[ast.expr, int] | None:
    """Return the right-hand side of `a, b = ...` and the place of *name* on its left."""
    statement = bound.statement
    if bound.kind != "other" or not isinstance(statement, ast.Assign):
        return None
    for target in statement.targets:
        elements = target.elts if isinstance(target, ast.Tuple | ast.List) else []
        for index, element in enumerate(elements):
            if dotted(element) == name:
                return statement.value, index
    return None


def enclosing_class(scope: ScopeInfo | None) -> ScopeInfo | None:
    """Return the innermost class around a scope."""
    while scope is not None and scope.kind != "class":
        scope = scope.parent
    return scope


def _results(function: ast.FunctionDef) -> tuple[ast.expr, ...]:
    found: list[ast.expr] = []
    stack: list[ast.AST] = list(function.body)
    while stack:
        node = stack.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef):
            continue
        if isinstance(node, ast.Yield | ast.YieldFrom):
            return ()
        if isinstance(node, ast.Return) and node.value is not None:
            found.append(node.value)
        stack.extend(children(node))
    return tuple(sorted(found, key=lambda item: (item.lineno, item.col_offset)))


def _passed(
    call: ast.Call, parameter: str, positional: list[str], keywords: list[str]
) -> ast.expr | None:
    if any(isinstance(item, ast.Starred) for item in call.args):
        return None
    for name, value in zip(positional, call.args, strict=False):
        if name == parameter:
            return value
    named = [item.value for item in call.keywords if item.arg == parameter]
    return named[0] if named and parameter in keywords else None
