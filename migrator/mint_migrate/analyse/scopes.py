"""Scopes and bindings of one module: what a name means at a place.

Follows Python's rules for module, function, lambda and class scopes. Comprehension variables are
treated as bound in the enclosing scope, which can only make a name look shadowed, never the other
way round.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, field

from mint_migrate.analyse.walk import children

SOURCE_PACKAGES = frozenset(
    {"trl", "peft", "transformers", "accelerate", "bitsandbytes", "unsloth", "deepspeed"}
    | {"verl", "openrlhf"}
)

ScopeNode = ast.Module | ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef


_PLAIN = frozenset(
    {ast.Constant, ast.Call, ast.keyword, ast.arguments, ast.Expr, ast.Return, ast.If, ast.For}
    | {ast.Subscript, ast.Compare, ast.BinOp, ast.BoolOp, ast.UnaryOp, ast.JoinedStr, ast.Tuple}
    | {ast.FormattedValue, ast.List, ast.Dict, ast.With, ast.withitem, ast.Try, ast.While}
    | {ast.Raise, ast.arg, ast.Slice, ast.IfExp, ast.comprehension, ast.AugAssign, ast.Starred}
)
"""Nodes that bind nothing themselves and open no scope: nearly all there are."""


@dataclass(slots=True)
class Bound:
    """One binding of a name."""

    kind: str
    statement: ast.AST
    qualified: str | None = None
    value: ast.expr | None = None


@dataclass(slots=True)
class ScopeInfo:
    """One scope while it is being read."""

    number: int
    node: ScopeNode
    parent: ScopeInfo | None
    kind: str
    bindings: dict[str, list[Bound]] = field(default_factory=dict)
    globals: set[str] = field(default_factory=set)
    nonlocals: set[str] = field(default_factory=set)

    def bind(self, name: str, bound: Bound) -> None:
        """Bind *name* here, or where a `global` or `nonlocal` statement of this scope says."""
        self._owner(name).bindings.setdefault(name, []).append(bound)

    def _owner(self, name: str) -> ScopeInfo:
        scope = self
        if name in self.globals:
            while scope.parent is not None:
                scope = scope.parent
        elif name in self.nonlocals:
            outer = self.parent
            while outer is not None and (outer.kind == "class" or name not in outer.bindings):
                outer = outer.parent
            scope = outer or self
        return scope


class ModuleScopes:
    """The scopes of a module; for each node its scope, its parent and its innermost statement."""

    def __init__(self, tree: ast.Module, packages: frozenset[str] = SOURCE_PACKAGES) -> None:
        self.packages = packages
        self.scopes: list[ScopeInfo] = []
        self.parent: dict[ast.AST, ast.AST] = {}
        self.scope_of: dict[ast.AST, ScopeInfo] = {}
        self.statement_of: dict[ast.AST, ast.stmt] = {}
        root = self._open(tree, None, "module")
        self._walk_body(tree, root, None)

    def _open(self, node: ScopeNode, parent: ScopeInfo | None, kind: str) -> ScopeInfo:
        scope = ScopeInfo(number=len(self.scopes), node=node, parent=parent, kind=kind)
        self.scopes.append(scope)
        return scope

    def _walk_body(self, node: ast.AST, scope: ScopeInfo, statement: ast.stmt | None) -> None:
        for child in children(node):
            self.parent[child] = node
            self._visit(child, scope, child if isinstance(child, ast.stmt) else statement)

    def _visit(self, node: ast.AST, scope: ScopeInfo, statement: ast.stmt | None) -> None:
        self.scope_of[node] = scope
        if statement is not None:
            self.statement_of[node] = statement
        if node.__class__ in _PLAIN or isinstance(getattr(node, "ctx", None), ast.Load):
            self._walk_body(node, scope, statement)
            return
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                scope.bind(node.name, Bound("function", node))
                inner = self._open(node, scope, "function")
                self._bind_parameters(node.args, inner)
                self._walk_body(node, inner, statement)
                return
            case ast.Lambda():
                inner = self._open(node, scope, "lambda")
                self._bind_parameters(node.args, inner)
                self._walk_body(node, inner, statement)
                return
            case ast.ClassDef():
                scope.bind(node.name, Bound("class", node))
                self._walk_body(node, self._open(node, scope, "class"), statement)
                return
            case ast.Import() | ast.ImportFrom():
                bind_import(node, scope)
            case ast.Global():
                scope.globals.update(node.names)
            case ast.Nonlocal():
                scope.nonlocals.update(node.names)
            case _:
                self._bind_other(node, scope, statement)
        self._walk_body(node, scope, statement)

    @staticmethod
    def _bind_parameters(arguments: ast.arguments, scope: ScopeInfo) -> None:
        named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
        rest = [extra for extra in (arguments.vararg, arguments.kwarg) if extra is not None]
        for parameter in [*named, *rest]:
            scope.bind(parameter.arg, Bound("parameter", parameter))

    @staticmethod
    def _bind_other(node: ast.AST, scope: ScopeInfo, statement: ast.stmt | None) -> None:
        if statement is None:
            return
        if isinstance(node, ast.Assign) and len(node.targets) == 1:
            name = dotted(node.targets[0])
            if name is not None:
                scope.bind(name, Bound("assign", statement, value=node.value))
        elif isinstance(node, ast.AnnAssign) and node.value is not None:
            name = dotted(node.target)
            if name is not None:
                scope.bind(name, Bound("assign", statement, value=node.value))
        elif isinstance(node, (ast.Name, ast.Attribute)) and isinstance(node.ctx, ast.Store):
            name = None if _is_plain_target(node, statement) else dotted(node)
            if name is not None:
                scope.bind(name, Bound("other", statement))
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Del):
            scope.bind(node.id, Bound("delete", statement))
        else:
            name = _named(node)
            if name is not None:
                scope.bind(name, Bound("other", statement))

    def lookup(self, name: str, scope: ScopeInfo) -> tuple[ScopeInfo, list[Bound]] | None:
        """Return the scope that binds *name* for a reader in *scope*, and its bindings."""
        current: ScopeInfo | None = scope
        while current is not None:
            visible = current is scope or current.kind != "class"
            if visible and name in current.bindings and name not in current.globals:
                return current, current.bindings[name]
            current = current.parent
        return None

    def qualified(self, node: ast.expr) -> str | None:
        """Return the imported name that an expression such as `trl.SFTTrainer` means, or None."""
        parts: list[str] = []
        while isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        if not isinstance(node, ast.Name):
            return None
        found = self.lookup(node.id, self.scope_of[node])
        if found is None:
            return None
        _, bounds = found
        if any(bound.kind != "import" for bound in bounds):
            return None if parts else self._base_of(bounds)
        base = bounds[0].qualified
        return None if base is None else ".".join([base, *reversed(parts)])

    def _base_of(self, bounds: list[Bound]) -> str | None:
        """Return the trainer of a source package that a class of the file derives from."""
        node = bounds[0].statement
        if len(bounds) != 1 or not isinstance(node, ast.ClassDef) or not node.bases:
            return None
        first = node.bases[0]
        if isinstance(first, ast.Name) and first.id == node.name:
            return None
        base = self.qualified(first)
        is_trainer = base is not None and base.endswith("Trainer") and self.is_source(base)
        return base if is_trainer else None

    def own_class(self, node: ast.expr) -> str | None:
        """Return the name of the file's own class that an expression is."""
        found = self.lookup(node.id, self.scope_of[node]) if isinstance(node, ast.Name) else None
        is_own = found is not None and any(bound.kind == "class" for bound in found[1])
        return node.id if is_own and isinstance(node, ast.Name) else None

    def is_source(self, qualified: str | None) -> bool:
        """Say whether a qualified name belongs to a source package."""
        return qualified is not None and qualified.split(".", 1)[0] in self.packages


def _named(node: ast.AST) -> str | None:
    """Return the name that an `except` clause or a pattern binds."""
    match node:
        case ast.ExceptHandler(name=name) | ast.MatchAs(name=name) | ast.MatchStar(name=name):
            return name
        case ast.MatchMapping(rest=rest):
            return rest
    return None


def _is_plain_target(node: ast.expr, statement: ast.stmt) -> bool:
    if isinstance(statement, ast.Assign):
        return len(statement.targets) == 1 and statement.targets[0] is node
    return isinstance(statement, ast.AnnAssign) and statement.target is node


def bind_import(node: ast.Import | ast.ImportFrom, scope: ScopeInfo) -> None:
    """Bind the names of one import statement in *scope*."""
    for alias in node.names:
        if isinstance(node, ast.Import):
            bound = alias.asname or alias.name.split(".", 1)[0]
            qualified = alias.name if alias.asname else bound
        else:
            prefix = "." * node.level + (node.module or "")
            bound = alias.asname or alias.name
            qualified = f"{prefix}.{alias.name}"
        scope.bind(bound, Bound("import", node, qualified=qualified))


def dotted(node: ast.expr) -> str | None:
    """Return `name` or `self.name` for such an expression, else None."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        return f"self.{node.attr}" if node.value.id == "self" else None
    return None
