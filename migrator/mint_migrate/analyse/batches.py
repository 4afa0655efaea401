"""Which variables hold a batch of verl (`DataProto`) or its worker, and what is done with them.

A name holds a batch if one of its bindings does: a call that makes one, a method of a batch or of a
worker that returns one, an annotation that says so, a loop over the parts of one. A worker is
whatever is called by the name of one of its methods with a batch as an argument.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable
from dataclasses import dataclass

from mint_migrate.analyse.functions import LocalFunctions, enclosing_class, unpacked
from mint_migrate.analyse.scopes import Bound, ModuleScopes, ScopeInfo, dotted
from mint_migrate.model.facts import BATCH, WORKER

PACKAGE = "verl"
CLASSES = frozenset({"DataProto", "DataProtoItem"})
MAKERS = frozenset({"from_dict", "from_single_dict", "from_tensordict", "concat", "load_from_disk"})
SAME = frozenset(
    {"to", "select", "select_idxs", "slice", "pop", "rename", "union", "repeat"}
    | {"sample_level_repeat", "unfold_column_chunks"}
)
"""Methods of a batch that return a batch."""
PARTS = frozenset({"chunk", "split", "make_iterator"})
"""Methods of a batch that return several."""
WORKS = frozenset(
    {"generate_sequences", "compute_log_prob", "compute_ref_log_prob", "update_actor"}
    | {"compute_values", "compute_rm_score", "update_critic"}
)
"""Methods of a worker: a batch goes in, a batch comes out."""
_Key = tuple[int, str]


@dataclass(frozen=True, slots=True)
class BatchChain:
    """One chain of attributes and calls on such a variable, up to the first subscript."""

    outermost: ast.expr
    owner: str
    root: str
    attributes: tuple[str, ...]
    calls: tuple[ast.Call, ...]
    key: str | None
    """The text behind it in brackets: `batch.batch["responses"]`."""


def uses_batches(scopes: ModuleScopes) -> bool:
    """Say whether a module imports anything of verl."""
    return any(
        (bound.qualified or "").split(".", 1)[0] == PACKAGE
        for scope in scopes.scopes
        for bounds in scope.bindings.values()
        for bound in bounds
    )


class BatchTracker:
    """Follows batches and workers through the names of one module."""

    def __init__(
        self, scopes: ModuleScopes, functions: LocalFunctions, nodes: Iterable[ast.AST]
    ) -> None:
        self.scopes = scopes
        self.functions = functions
        self.held: dict[_Key, str] = {}
        calls = [node for node in nodes if isinstance(node, ast.Call)]
        size = -1
        while size < len(self.held):
            size = len(self.held)
            for scope in scopes.scopes:
                for name, bounds in scope.bindings.items():
                    for bound in bounds:
                        self._hold(scope, name, bound)
            for call in calls:
                self._hold_worker(call)

    def _hold(self, scope: ScopeInfo, name: str, bound: Bound) -> None:
        owner = self._bound_to(bound, name, scope)
        if owner is not None:
            self.held.setdefault(self._key(scope, name), owner)

    def _bound_to(self, bound: Bound, name: str, scope: ScopeInfo) -> str | None:
        node = bound.statement
        if isinstance(node, ast.arg | ast.AnnAssign) and self._says_batch(node.annotation, scope):
            return BATCH
        if bound.value is not None:
            return self.owner_of(bound.value)
        if isinstance(node, ast.For) and isinstance(node.target, ast.Name):
            return BATCH if node.target.id == name and self._is_parts(node.iter) else None
        whole = unpacked(bound, name)
        if whole is None or whole[1] != 0 or not isinstance(whole[0], ast.Call):
            return None
        return BATCH if self._made(whole[0]) == "pad_dataproto_to_divisor" else None

    def _hold_worker(self, call: ast.Call) -> None:
        function = call.func
        name = dotted(function.value) if isinstance(function, ast.Attribute) else None
        if name is None or not isinstance(function, ast.Attribute) or function.attr not in WORKS:
            return
        given = [*call.args, *(item.value for item in call.keywords)]
        if not any(self.owner_of(value) == BATCH for value in given):
            return
        key = self._holder(name, self.scopes.scope_of[call])
        if key is not None:
            self.held.setdefault(key, WORKER)

    def owner_of(self, node: ast.expr) -> str | None:
        """Return what an expression gives: a batch, a worker, or nothing that is followed."""
        name = dotted(node)
        if name is not None:
            key = self._holder(name, self.scopes.scope_of[node])
            return None if key is None else self.held.get(key)
        if isinstance(node, ast.Subscript):
            return BATCH if self.owner_of(node.value) == BATCH else None
        return self._given_by(node) if isinstance(node, ast.Call) else None

    def _given_by(self, call: ast.Call) -> str | None:
        made = self._made(call)
        if made is not None:
            name = made.rsplit(".", 1)[-1]
            if name == "ActorRolloutRefWorker":
                return WORKER
            is_batch = name in CLASSES or made == "unpad_dataproto"
            return BATCH if is_batch or name in MAKERS else None
        function = self.functions.called(call)
        if function is not None and self._says_batch(function.node.returns, function.scope):
            return BATCH
        if not isinstance(call.func, ast.Attribute):
            return None
        owner = self.owner_of(call.func.value)
        methods = {BATCH: SAME, WORKER: WORKS}.get(owner or "", frozenset())
        return BATCH if call.func.attr in methods else None

    def _made(self, call: ast.Call) -> str | None:
        """Return what a call of verl is, `DataProto.concat` with its class; None for another."""
        qualified = self.scopes.qualified(call.func)
        if qualified is None or qualified.split(".", 1)[0] != PACKAGE:
            return None
        *_, owner, name = qualified.split(".")
        return f"{owner}.{name}" if owner in CLASSES else name

    def _is_parts(self, node: ast.expr) -> bool:
        return (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in PARTS
            and self.owner_of(node.func.value) == BATCH
        )

    def _says_batch(self, annotation: ast.expr | None, scope: ScopeInfo) -> bool:
        """Say whether an annotation is the class, also as text, or allows None beside it."""
        match annotation:
            case ast.Constant(value=str(text)):
                first, dot, rest = text.partition(".")
                found = self.scopes.lookup(first, scope)
                named = [f"{bound.qualified}{dot}{rest}" for bound in found[1]] if found else []
                return bool(named) and all(map(_is_batch_class, named))
            case ast.BinOp(left=left, op=ast.BitOr(), right=right):
                return self._says_batch(left, scope) or self._says_batch(right, scope)
            case ast.Subscript(value=ast.Name(id="Optional"), slice=inner):
                return self._says_batch(inner, scope)
            case ast.Name() | ast.Attribute():
                qualified = self.scopes.qualified(annotation)
                return _is_batch_class(qualified or "")
        return False

    def _key(self, scope: ScopeInfo, name: str) -> _Key:
        owner = enclosing_class(scope) if name.startswith("self.") else None
        return (scope.number if owner is None else owner.number, name)

    def _holder(self, name: str, scope: ScopeInfo) -> _Key | None:
        if name.startswith("self."):
            return self._key(scope, name)
        found = self.scopes.lookup(name, scope)
        return None if found is None else (found[0].number, name)

    def chains(self, nodes: Iterable[ast.AST]) -> list[BatchChain]:
        """Return each chain once, in source order."""
        found = []
        for node in nodes:
            if not isinstance(node, ast.Name | ast.Attribute) or dotted(node) is None:
                continue
            if not isinstance(self.scopes.parent.get(node), ast.Attribute):
                continue
            owner = self.owner_of(node)
            if owner is not None:
                found.append(self._chain(node, owner))
        return found

    def _chain(self, node: ast.expr, owner: str) -> BatchChain:
        top = node
        attributes: list[str] = []
        calls: list[ast.Call] = []
        while True:
            parent = self.scopes.parent.get(top)
            if isinstance(parent, ast.Attribute):
                if not calls:
                    attributes.append(parent.attr)
            elif isinstance(parent, ast.Call) and parent.func is top:
                calls.append(parent)
            else:
                break
            top = parent
        key = None
        if isinstance(parent, ast.Subscript) and parent.value is top:
            key = parent.slice.value if isinstance(parent.slice, ast.Constant) else None
        return BatchChain(
            outermost=top,
            owner=owner,
            root=dotted(node) or "",
            attributes=tuple(attributes),
            calls=tuple(calls),
            key=key if isinstance(key, str) else None,
        )


def _is_batch_class(qualified: str) -> bool:
    parts = qualified.split(".")
    return parts[0] == PACKAGE and parts[-1] in CLASSES
