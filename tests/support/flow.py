"""What a variable of a script holds: a trainer, a model, or nothing that is followed.

Part of `support.walker`. Objects are followed from the source call that makes them through names,
`self` attributes, results of functions of the file and parameters.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass

from support.scopes import Binding, Position, Scope, is_self, qualified_name

MODEL_FUNCTIONS = frozenset({"get_peft_model", "prepare_model_for_kbit_training"})
_Definition = ast.FunctionDef | ast.ClassDef


@dataclass(frozen=True, slots=True)
class Origin:
    """What a tracked object is: the source name that made it, and whether it is a model."""

    name: str
    is_model: bool


class Flow:
    """The objects of one module."""

    def __init__(self, tree: ast.Module, scopes: dict[ast.AST, Scope]) -> None:
        self.scopes = scopes
        self.place: dict[ast.Call, Scope] = {}
        self.calls: dict[ast.AST, list[tuple[ast.Call, bool]]] = {}
        self._locate(tree, scopes[tree])
        for call, scope in self.place.items():
            callee = self.callee(call, scope)
            if callee is not None:
                self.calls.setdefault(callee[0], []).append((call, callee[1]))

    def _locate(self, node: ast.AST, scope: Scope) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Call):
                self.place[child] = scope
            self._locate(child, self.scopes.get(child, scope))

    def callee(self, call: ast.Call, scope: Scope) -> tuple[ast.FunctionDef, bool] | None:
        """Return the function of the file that runs, and whether it is called on an object."""
        target = call.func
        if isinstance(target, ast.Attribute) and is_self(target.value):
            owner = scope.enclosing_class()
            method = _defined(owner, target.attr) if owner is not None else None
            return (method, True) if isinstance(method, ast.FunctionDef) else None
        hit = scope.lookup(target.id) if isinstance(target, ast.Name) else None
        if hit is None:
            return None
        definition = _defined(hit[0], target.id)  # type: ignore[attr-defined]
        if isinstance(definition, ast.ClassDef):
            method = _defined(self.scopes[definition], "__init__")
            return (method, True) if isinstance(method, ast.FunctionDef) else None
        return (definition, False) if isinstance(definition, ast.FunctionDef) else None

    def latest(
        self, bindings: list[Binding], scope: Scope, at: Position, seen: frozenset[object]
    ) -> Origin | None:
        """Return what the last tracked binding before a position holds, or the last of all."""
        before = [b for b in bindings if b.scope is scope and b.end <= at]
        others = [b for b in bindings if b not in before]
        for binding in [*reversed(before), *reversed(others)]:
            if binding not in seen:
                origin = self._bound(binding, seen | {binding})
                if origin is not None:
                    return origin
        return None

    def _bound(self, binding: Binding, seen: frozenset[object]) -> Origin | None:
        if binding.parameter is not None:
            return self._given(binding, binding.parameter, seen)
        if binding.value is None:
            return None
        return self.held(binding.value, binding.index, binding.scope, seen)

    def held(
        self, value: ast.expr, index: int | None, scope: Scope, seen: frozenset[object]
    ) -> Origin | None:
        """Return what an expression is, or one element of what it unpacks into."""
        if not isinstance(value, ast.Call):
            return self._named(value, scope, seen) if index is None else None
        name = qualified_name(value.func, scope)
        if name is not None:
            return _made_by(name, index)
        method = value.func
        if index is None and isinstance(method, ast.Attribute):
            owner = self._named(_first(method), scope, seen)
            if owner is None and isinstance(method.value, ast.Call):
                owner = self.held(method.value, None, scope, seen)
            if owner is not None and owner.is_model:
                return owner
        callee = self.callee(value, scope)
        if callee is None or callee[0].name == "__init__" or callee[0] in seen:
            return None
        return self._result(callee[0], index, seen | {callee[0]})

    def _named(self, node: ast.expr, scope: Scope, seen: frozenset[object]) -> Origin | None:
        if isinstance(node, ast.Name):
            hit = scope.lookup(node.id)
            return self.latest(hit[1], scope, _start(node), seen) if hit else None
        if not isinstance(node, ast.Attribute) or not is_self(node.value):
            return None
        owner = scope.enclosing_class()
        bindings = owner.attributes.get(node.attr, []) if owner is not None else []
        return self.latest(bindings, scope, _start(node), seen)

    def _result(
        self, function: ast.FunctionDef, index: int | None, seen: frozenset[object]
    ) -> Origin | None:
        inside = self.scopes[function]
        for result in _returned(function):
            if not isinstance(result, ast.Tuple):
                origin = (
                    self.held(result, index, inside, seen)
                    if index is None or isinstance(result, ast.Call)
                    else None
                )
            elif index is not None and index < len(result.elts):
                origin = self.held(result.elts[index], None, inside, seen)
            else:
                origin = None
            if origin is not None:
                return origin
        return None

    def _given(self, binding: Binding, name: str, seen: frozenset[object]) -> Origin | None:
        function = binding.scope.node
        if not isinstance(function, ast.FunctionDef):
            return None
        origins = []
        for call, is_bound in self.calls.get(function, []):
            value = _passed(function, call, name, skip=int(is_bound))
            origin = None if value is None else self.held(value, None, self.place[call], seen)
            if origin is None:
                return None
            origins.append(origin)
        return origins[0] if origins else None


def _defined(scope: Scope, name: str) -> ast.stmt | None:
    bindings = scope.names.get(name, [])
    return bindings[0].definition if len(bindings) == 1 else None


def _first(node: ast.expr) -> ast.expr:
    """Return the name, or the attribute of `self`, that a chain starts at."""
    while isinstance(node, ast.Attribute | ast.Call):
        if isinstance(node, ast.Attribute) and is_self(node.value):
            return node
        node = node.func if isinstance(node, ast.Call) else node.value
    return node


def _start(node: ast.expr) -> Position:
    return node.lineno, node.col_offset


class _Returns(ast.NodeVisitor):
    """The values a function returns, those of functions inside it left out."""

    def __init__(self) -> None:
        self.values: list[ast.expr] = []
        self.yields = False

    def visit_Return(self, node: ast.Return) -> None:
        if node.value is not None:
            self.values.append(node.value)
        self.generic_visit(node)

    def visit_Yield(self, node: ast.Yield | ast.YieldFrom) -> None:
        self.yields = True

    visit_YieldFrom = visit_Yield

    def visit_FunctionDef(self, node: ast.AST) -> None:
        """Stop here."""

    visit_AsyncFunctionDef = visit_Lambda = visit_ClassDef = visit_FunctionDef


def _returned(function: ast.FunctionDef) -> list[ast.expr]:
    visitor = _Returns()
    for statement in function.body:
        visitor.visit(statement)
    return [] if visitor.yields else visitor.values


def _passed(function: ast.FunctionDef, call: ast.Call, name: str, *, skip: int) -> ast.expr | None:
    if any(isinstance(argument, ast.Starred) for argument in call.args):
        return None
    signature = function.args
    by_position = [item.arg for item in (*signature.posonlyargs, *signature.args)][skip:]
    by_name = {item.arg for item in (*signature.args, *signature.kwonlyargs)}
    if name in by_position[: len(call.args)]:
        return call.args[by_position.index(name)]
    named = [keyword.value for keyword in call.keywords if keyword.arg == name and name in by_name]
    return named[0] if named else None


def _made_by(name: str, index: int | None) -> Origin | None:
    """Return what a source call yields, if that is a trainer or a model."""
    *_, owner, last = ["", *name.split(".")]
    of_class = name.rpartition(".")[0]
    if owner.startswith("Fast") and owner.endswith("Model") and last == "from_pretrained":
        return Origin(of_class, True) if index in (None, 0) else None
    if index is not None:
        return None
    if owner.startswith("Fast") and owner.endswith("Model"):
        return Origin(of_class, True) if last == "get_peft_model" else None
    if last.endswith("Trainer"):
        return Origin(name, False)
    if last == "from_pretrained" and (
        owner.startswith("AutoModel") or owner.endswith("ForCausalLM")
    ):
        return Origin(of_class, True)
    return Origin(name, True) if last in MODEL_FUNCTIONS else None
