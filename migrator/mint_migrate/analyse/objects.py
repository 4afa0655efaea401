"""Which variables hold a trainer or a model, and what is done with them."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from dataclasses import dataclass

from mint_migrate.analyse.scopes import Bound, ModuleScopes, ScopeInfo, dotted
from mint_migrate.model.facts import Call

MODEL_FUNCTIONS = frozenset(
    {"get_peft_model", "prepare_model_for_kbit_training", "prepare_model_for_int8_training"}
)


@dataclass(frozen=True, slots=True)
class ObjectUse:
    """One outermost attribute chain on a tracked variable."""

    outermost: ast.expr
    root: str
    number: int
    owner: str
    chain: str
    calls: tuple[ast.Call, ...]


class ObjectTracker:
    """Follows variables bound to trainers and models, in their own scope and from inner ones."""

    def __init__(
        self, scopes: ModuleScopes, numbers: dict[ast.Call, int], calls: tuple[Call, ...]
    ) -> None:
        self.scopes = scopes
        self.numbers = numbers
        self.calls = calls
        self.held: dict[tuple[int, str], int] = {}
        for scope in scopes.scopes:
            for name, bounds in scope.bindings.items():
                for bound in bounds:
                    self._hold(scope, name, bound)
        self._hold_tuples()
        # A second round sees models made from models whatever the order of the bindings.
        for scope in scopes.scopes:
            for name, bounds in scope.bindings.items():
                for bound in bounds:
                    self._hold_derived(scope, name, bound)

    def _hold(self, scope: ScopeInfo, name: str, bound: Bound) -> None:
        number = self.numbers.get(bound.value) if isinstance(bound.value, ast.Call) else None
        if number is not None and makes_object(self.calls[number].qualified):
            self.held[self._key(scope, name)] = number

    def _hold_tuples(self) -> None:
        """The first element of `model, tokenizer = FastLanguageModel.from_pretrained(...)`."""
        for call in self.calls:
            if call.target is None and call.targets and makes_object(call.qualified):
                self.held.setdefault(
                    self._key(self.scopes.scopes[call.scope], call.targets[0]), call.number
                )

    def _hold_derived(self, scope: ScopeInfo, name: str, bound: Bound) -> None:
        if not isinstance(bound.value, ast.Call) or not isinstance(bound.value.func, ast.Attribute):
            return
        root = _root(bound.value.func)
        if root is None:
            return
        number = self._holder(root, scope)
        if number is not None and is_model(self.calls[number].qualified):
            self.held.setdefault(self._key(scope, name), number)

    def _key(self, scope: ScopeInfo, name: str) -> tuple[int, str]:
        if name.startswith("self."):
            owner: ScopeInfo | None = scope
            while owner is not None and owner.kind != "class":
                owner = owner.parent
            return (owner.number if owner is not None else scope.number, name)
        return (scope.number, name)

    def _holder(self, name: str, scope: ScopeInfo) -> int | None:
        if name.startswith("self."):
            return self.held.get(self._key(scope, name))
        found = self.scopes.lookup(name, scope)
        return None if found is None else self.held.get((found[0].number, name))

    def uses(self, nodes: Iterable[ast.AST]) -> list[ObjectUse]:
        """Return each outermost chain once, in source order."""
        found = []
        for node in nodes:
            if not isinstance(node, ast.Name | ast.Attribute):
                continue
            name = dotted(node)
            parent = self.scopes.parent.get(node)
            if name is None or not isinstance(parent, ast.Attribute):
                continue
            number = self._holder(name, self.scopes.scope_of[node])
            if number is not None:
                found.append(self._chain(node, name, number))
        return found

    def _chain(self, node: ast.expr, name: str, number: int) -> ObjectUse:
        top: ast.expr = node
        parts: list[str] = []
        calls: list[ast.Call] = []
        while True:
            parent = self.scopes.parent.get(top)
            if isinstance(parent, ast.Attribute):
                parts.append(parent.attr)
            elif isinstance(parent, ast.Call) and parent.func is top:
                calls.append(parent)
                parts[-1] += "()"
            else:
                break
            top = parent
        chain = ".".join(parts)
        return ObjectUse(
            outermost=top,
            root=name,
            number=number,
            owner="model"
            if is_model(self.calls[number].qualified)
            else self.calls[number].qualified,
            chain=chain.removesuffix("()"),
            calls=tuple(calls),
        )


def is_trainer(qualified: str) -> bool:
    """Say whether calling this name makes a trainer."""
    return qualified.rsplit(".", 1)[-1].endswith("Trainer")


def is_model(qualified: str) -> bool:
    """Say whether calling this name makes a model."""
    parts = qualified.split(".")
    if parts[-1] in MODEL_FUNCTIONS:
        return True
    if len(parts) < 2:
        return False
    owner, method = parts[-2], parts[-1]
    if owner.startswith("Fast") and owner.endswith("Model"):
        return method in {"from_pretrained", "get_peft_model"}
    return method == "from_pretrained" and (
        owner.startswith("AutoModel") or owner.endswith("ForCausalLM")
    )


def makes_object(qualified: str) -> bool:
    """Say whether the result is followed."""
    return is_trainer(qualified) or is_model(qualified)


def _root(node: ast.expr) -> str | None:
    while isinstance(node, ast.Attribute | ast.Call):
        name = dotted(node) if isinstance(node, ast.Attribute) else None
        if name is not None:
            return name
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else None
