"""Which name means what in a Python module: the scopes behind `support.walker`.

One walk records every binding of every scope, with the value it gets where that is a plain
assignment. Nothing is executed and nothing outside the module is looked at.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

SOURCE_PACKAGES = frozenset(
    {"trl", "peft", "transformers", "accelerate", "bitsandbytes", "unsloth", "deepspeed"}
    | {"verl", "openrlhf"}
)

Position = tuple[int, int]


@dataclass(slots=True, eq=False)
class Binding:
    """One place that gives a name a value.

    `qualified` is set for imports from a source package; `value` for assignments, where
    `index` is the place inside a tuple target (None if the target is a plain name). `definition`
    is the function or class that a `def` or `class` binds, `parameter` the name of a parameter.
    """

    scope: Scope
    end: Position
    qualified: str | None = None
    value: ast.expr | None = None
    index: int | None = None
    definition: ast.stmt | None = None
    parameter: str | None = None


@dataclass(slots=True, eq=False)
class Scope:
    """Names of a module, function, class or comprehension."""

    parent: Scope | None
    is_class: bool = False
    node: ast.AST | None = None
    names: dict[str, list[Binding]] = field(default_factory=dict)
    attributes: dict[str, list[Binding]] = field(default_factory=dict)
    outer: dict[str, Scope] = field(default_factory=dict)

    def bind(self, name: str, binding: Binding) -> None:
        """Record a binding, in another scope if the name is declared `global` or `nonlocal`."""
        self.outer.get(name, self).names.setdefault(name, []).append(binding)

    def lookup(self, name: str) -> tuple[Scope, list[Binding]] | None:
        """Find the scope that binds a name, the way Python would from code in this scope."""
        scope: Scope | None = self
        while scope is not None:
            if name in scope.names and (scope is self or not scope.is_class):
                return scope, scope.names[name]
            scope = scope.parent
        return None

    def module(self) -> Scope:
        """Return the outermost scope."""
        return self if self.parent is None else self.parent.module()

    def enclosing_class(self) -> Scope | None:
        """Return the innermost class around this scope, whose `self` code in it would use."""
        if self.is_class or self.parent is None:
            return self if self.is_class else None
        return self.parent.enclosing_class()


class Scoped(ast.NodeVisitor):
    """Walk a tree with `self.scope` always the scope of the visited node."""

    def __init__(self, scopes: dict[ast.AST, Scope]) -> None:
        self.scopes = scopes
        self.scope = Scope(parent=None)

    @contextmanager
    def inside(self, node: ast.AST) -> Iterator[None]:
        outer = self.scope
        if node not in self.scopes:
            self.scopes[node] = Scope(outer, isinstance(node, ast.ClassDef), node)
        self.scope = self.scopes[node]
        yield
        self.scope = outer

    def visit_all(self, nodes: list[ast.AST]) -> None:
        for node in nodes:
            self.visit(node)

    def visit_Module(self, node: ast.Module) -> None:
        self.scope = self.scopes.setdefault(node, self.scope)
        self.generic_visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        returns = [node.returns] if node.returns else []
        self.visit_all([*node.decorator_list, *_signature_expressions(node.args), *returns])
        with self.inside(node):
            self.bind_parameters(node.args)
            self.visit_all([*node.body])

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self.visit_all(_signature_expressions(node.args))
        with self.inside(node):
            self.bind_parameters(node.args)
            self.visit(node.body)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self.visit_all([*node.decorator_list, *node.bases, *node.keywords])
        with self.inside(node):
            self.visit_all([*node.body])

    def bind_parameters(self, arguments: ast.arguments) -> None:
        """Record the parameters of a function; only the first pass does."""

    def visit_comprehension_scope(self, node: ast.AST) -> None:
        with self.inside(node):
            self.generic_visit(node)

    visit_ListComp = visit_SetComp = visit_DictComp = visit_GeneratorExp = visit_comprehension_scope


class Binder(Scoped):
    """First pass: which scope binds which name, and to what."""

    def __init__(self) -> None:
        super().__init__({})
        self.values: dict[ast.AST, tuple[ast.expr, int | None, Position]] = {}

    def note(self, name: str, node: ast.AST, qualified: str | None = None) -> None:
        binding = Binding(self.scope, _end(node), qualified)
        if node in self.values:
            binding.value, binding.index, binding.end = self.values[node]
        self.scope.bind(name, binding)

    def bind_parameters(self, arguments: ast.arguments) -> None:
        for parameter in _parameters(arguments):
            self.note(parameter.arg, parameter)
            self.scope.names[parameter.arg][-1].parameter = parameter.arg

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self.note_definition(node)
        super().visit_FunctionDef(node)

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self.note_definition(node)
        super().visit_ClassDef(node)

    def note_definition(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> None:
        self.note(node.name, node)
        self.scope.outer.get(node.name, self.scope).names[node.name][-1].definition = node

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            top = alias.name.partition(".")[0]
            qualified = alias.name if alias.asname else top
            self.note(alias.asname or top, alias, qualified if is_source(top) else None)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        source = not node.level and is_source(node.module or "")
        for alias in node.names:
            if alias.name != "*":
                qualified = f"{node.module}.{alias.name}" if source else None
                self.note(alias.asname or alias.name, alias, qualified)

    def visit_Global(self, node: ast.Global) -> None:
        self.scope.outer.update(dict.fromkeys(node.names, self.scope.module()))

    def visit_Nonlocal(self, node: ast.Nonlocal) -> None:
        for name in node.names:
            holder = self.scope.parent.lookup(name) if self.scope.parent else None
            if holder is not None:
                self.scope.outer[name] = holder[0]

    def visit_Assign(self, node: ast.Assign) -> None:
        for target in node.targets:
            self.offer(target, node.value, _end(node))
        self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.offer(node.target, node.value, _end(node))
        self.generic_visit(node)

    def visit_NamedExpr(self, node: ast.NamedExpr) -> None:
        self.offer(node.target, node.value, _end(node))
        self.generic_visit(node)

    def offer(self, target: ast.expr, value: ast.expr, end: Position) -> None:
        """Remember which value a target gets, until the walk reaches the target."""
        self.values[target] = (value, None, end)
        if isinstance(target, ast.Tuple | ast.List):
            for index, element in enumerate(target.elts):
                self.values[element] = (value, index, end)

    def visit_Name(self, node: ast.Name) -> None:
        if not isinstance(node.ctx, ast.Load):
            self.note(node.id, node)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        owner = self.scope.enclosing_class()
        stored = isinstance(node.ctx, ast.Store) and node in self.values
        if stored and owner is not None and is_self(node.value):
            value, index, end = self.values[node]
            binding = Binding(self.scope, end, value=value, index=index)
            owner.attributes.setdefault(node.attr, []).append(binding)
        self.generic_visit(node)

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> None:
        if node.name:
            self.note(node.name, node)
        self.generic_visit(node)

    def visit_MatchAs(self, node: ast.MatchAs) -> None:
        if node.name:
            self.note(node.name, node)
        self.generic_visit(node)


def is_source(module: str) -> bool:
    return module.partition(".")[0] in SOURCE_PACKAGES


def is_self(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id == "self"


def _end(node: ast.AST) -> Position:
    return node.end_lineno, node.end_col_offset  # type: ignore[attr-defined]


def _parameters(arguments: ast.arguments) -> list[ast.arg]:
    starred = [arg for arg in (arguments.vararg, arguments.kwarg) if arg is not None]
    return [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, *starred]


def _signature_expressions(arguments: ast.arguments) -> list[ast.AST]:
    """Return defaults and annotations, which the enclosing scope evaluates."""
    defaults = [*arguments.defaults, *(d for d in arguments.kw_defaults if d is not None)]
    annotations = [arg.annotation for arg in _parameters(arguments) if arg.annotation]
    return [*defaults, *annotations]


def _inherited(definition: ast.stmt, scope: Scope) -> str | None:
    """Return the trainer that a class of the script derives from first."""
    if not isinstance(definition, ast.ClassDef) or not definition.bases:
        return None
    first = definition.bases[0]
    if isinstance(first, ast.Name) and first.id == definition.name:
        return None
    name = qualified_name(first, scope)
    return name if name is not None and name.endswith("Trainer") else None


def qualified_name(node: ast.expr, scope: Scope) -> str | None:
    """Return the source name of `name` or `name.attribute...`, or None if it has none."""
    attributes: list[str] = []
    while isinstance(node, ast.Attribute):
        attributes.append(node.attr)
        node = node.value
    hit = scope.lookup(node.id) if isinstance(node, ast.Name) else None
    if hit is not None and not attributes and len(hit[1]) == 1 and hit[1][0].definition is not None:
        return _inherited(hit[1][0].definition, hit[0])
    if hit is None or any(binding.qualified is None for binding in hit[1]):
        return None
    return ".".join([hit[1][-1].qualified or "", *reversed(attributes)])
