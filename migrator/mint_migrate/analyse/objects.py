"""Which variables hold a trainer or a model, and what is done with them."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from mint_migrate.analyse.functions import LocalFunctions, enclosing_class, unpacked
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
        self,
        scopes: ModuleScopes,
        numbers: dict[ast.Call, int],
        calls: tuple[Call, ...],
        functions: LocalFunctions,
    ) -> None:
        self.scopes = scopes
        self.numbers = numbers
        self.calls = calls
        self.functions = functions
        self.held: dict[tuple[int, str], int] = {}
        self._followed: set[ast.AST] = set()
        self._bound: dict[tuple[int, str], dict[ast.AST, int]] = {}
        """The statements that bind a name to such an object, and which."""
        for scope in scopes.scopes:
            for name, bounds in scope.bindings.items():
                for bound in bounds:
                    self._hold(scope, name, bound)
        self._hold_tuples()
        # What one round finds, another may hand on: rounds go on until nothing is new.
        size = -1 if any(makes_object(call.qualified) for call in calls) else 0
        while size < self._size():
            size = self._size()
            self._hold_round()

    def _size(self) -> int:
        return len(self.held) + sum(map(len, self._bound.values()))

    def _hold(self, scope: ScopeInfo, name: str, bound: Bound) -> None:
        number = self.numbers.get(bound.value) if isinstance(bound.value, ast.Call) else None
        if number is not None and makes_object(self.calls[number].qualified):
            key = self._key(scope, name)
            if key not in self.held or not self._is_dead(bound.statement):
                self.held[key] = number
            self._bound.setdefault(key, {})[bound.statement] = number

    def _hold_tuples(self) -> None:
        """The first element of `model, tokenizer = FastLanguageModel.from_pretrained(...)`."""
        for call in self.calls:
            if call.target is None and call.targets and makes_object(call.qualified):
                self.held.setdefault(
                    self._key(self.scopes.scopes[call.scope], call.targets[0]), call.number
                )

    def _hold_round(self) -> None:
        for scope in self.scopes.scopes:
            for name, bounds in scope.bindings.items():
                for bound in bounds:
                    number = None if bound.value is None else self.number_of(bound.value)
                    number = self._parameter(scope, bound) if number is None else number
                    whole = unpacked(bound, name)
                    if number is None and whole is not None and isinstance(whole[0], ast.Call):
                        # One element of `model, tokenizer = load(...)`, a function of the file.
                        number = self._unpacked(whole[0], whole[1])
                    if number is not None:
                        key = self._key(scope, name)
                        self.held.setdefault(key, number)
                        self._bound.setdefault(key, {})[bound.statement] = number

    def _parameter(self, scope: ScopeInfo, bound: Bound) -> int | None:
        """Return the object a parameter holds, where every call of the function passes one."""
        function = self.functions.of_scope(scope) if bound.kind == "parameter" else None
        if function is None or not isinstance(bound.statement, ast.arg):
            return None
        given = function.given(bound.statement.arg)
        numbers = [self.number_of(value) for value in given or ()]
        return numbers[0] if numbers and None not in numbers else None

    def number_of(self, value: ast.expr) -> int | None:
        """Return the number of the call that made what an expression holds, if it is followed."""
        if isinstance(value, ast.Call):
            number = self.numbers.get(value)
            if number is not None:
                is_one = makes_object(self.calls[number].qualified)
                return number if is_one and not is_pair(self.calls[number].qualified) else None
            moved = self._moved(value)
            return self._returned(value, None) if moved is None else moved
        name = dotted(value)
        return None if name is None else self._holder(name, value)

    def _moved(self, value: ast.Call) -> int | None:
        """Return the model behind `model.to(...)` or another method of it."""
        if not isinstance(value.func, ast.Attribute):
            return None
        root = _root(value.func)
        number = None if root is None else self._holder(root, value)
        if number is None and isinstance(value.func.value, ast.Call):
            # `AutoModelForCausalLM.from_pretrained(...).to(...)`
            number = self.number_of(value.func.value)
        is_one = number is not None and is_model(self.calls[number].qualified)
        return number if is_one else None

    def _returned(self, value: ast.expr, index: int | None) -> int | None:
        """Return what a call of a function of the file gives back, or one element of it."""
        function = self.functions.called(value) if isinstance(value, ast.Call) else None
        if function is None or function.node in self._followed:
            return None
        # A function that calls itself gives back what its other ends give back.
        self._followed.add(function.node)
        try:
            found = (self._element(result, index) for result in function.results)
            return next((number for number in found if number is not None), None)
        finally:
            self._followed.discard(function.node)

    def _element(self, result: ast.expr, index: int | None) -> int | None:
        """Return what one `return` of a function gives back, or one element of it."""
        if isinstance(result, ast.Tuple):
            is_there = index is not None and index < len(result.elts)
            return self.number_of(result.elts[index or 0]) if is_there else None
        if index is None:
            return self.number_of(result)
        return self._unpacked(result, index) if isinstance(result, ast.Call) else None

    def _unpacked(self, result: ast.Call, index: int) -> int | None:
        """Return an element of what a function passes on from another one that returns several."""
        number = self.numbers.get(result)
        if number is None:
            return self._returned(result, index)
        return number if index == 0 and is_pair(self.calls[number].qualified) else None

    def _key(self, scope: ScopeInfo, name: str) -> tuple[int, str]:
        if name.startswith("self."):
            owner = enclosing_class(scope)
            return (owner.number if owner is not None else scope.number, name)
        return (scope.number, name)

    def _holder(self, name: str, node: ast.AST) -> int | None:
        """Return the object that *name* holds where *node* stands."""
        scope = self.scopes.scope_of[node]
        if name.startswith("self."):
            return self.held.get(self._key(scope, name))
        found = self.scopes.lookup(name, scope)
        if found is None:
            return None
        key = (found[0].number, name)
        newest = self._newest(key, node) if found[0] is scope else None
        return self.held.get(key) if newest is None else newest

    def _newest(self, key: tuple[int, str], node: ast.AST) -> int | None:
        """Return what the last binding before *node* gives, if it is sure to be the last one."""
        number = None
        bound = self._bound.get(key, {}) if len(self._bound.get(key, {})) > 1 else {}
        outer = self._outer(node)
        for statement in sorted(bound, key=_place):
            if _place(statement) >= _place(node) or statement in outer:
                break
            if self._is_sure(statement, outer):
                number = bound[statement]
            elif not self._is_dead(statement):
                number = None
        return number

    def _outer(self, node: ast.AST) -> list[ast.AST]:
        """Return *node* and what it stands in, up to the module."""
        found = [node]
        while (parent := self.scopes.parent.get(found[-1])) is not None:
            found.append(parent)
        return found

    def _is_sure(self, statement: ast.AST, outer: list[ast.AST]) -> bool:
        """Say whether *statement* has run wherever a later place with the parents *outer* runs."""
        parent = self.scopes.parent.get(statement)
        if parent not in outer:
            return False
        step = outer[outer.index(parent) - 1]
        blocks = (getattr(parent, name, None) for name in ("body", "orelse", "finalbody"))
        return any(
            statement in block and step in block for block in blocks if isinstance(block, list)
        )

    def _is_dead(self, statement: ast.AST) -> bool:
        """Say whether it stands under `if False:`."""
        outer = self._outer(statement)
        return any(
            isinstance(above, ast.If)
            and isinstance(above.test, ast.Constant)
            and not above.test.value
            and below in above.body
            for below, above in pairwise(outer)
        )

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
            number = self._holder(name, node)
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


def _place(node: ast.AST) -> tuple[int, int]:
    return getattr(node, "lineno", 0), getattr(node, "col_offset", 0)


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


def is_pair(qualified: str) -> bool:
    """Say whether calling this name gives a model and its tokenizer."""
    owner, _, method = qualified.rpartition(".")
    owner = owner.rsplit(".", 1)[-1]
    return method == "from_pretrained" and owner.startswith("Fast") and owner.endswith("Model")


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
