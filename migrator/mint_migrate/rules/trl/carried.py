"""Rule: a model that reaches its trainer through functions of the file.

Where the load cannot be seen beside the trainer, it becomes the model's name in its place:
`model = AutoModelForCausalLM.from_pretrained(NAME)` leaves `model = NAME`. The name then takes the
way the model took, through results, parameters and attributes, to `base_model=`.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, field, replace

from mint_migrate.model.facts import Argument, Binding, Call, FunctionFlow, Use, Value
from mint_migrate.model.plan import Fidelity
from mint_migrate.model.source import Span
from mint_migrate.rules.base import Blocked, Ledger, argument_named, positional_argument
from mint_migrate.rules.trl.elsewhere import text_in_scope
from mint_migrate.rules.trl.model_plan import ModelPlan
from mint_migrate.rules.trl.unsloth import is_loader, name_argument, whole_model

SERVED = "ForCausalLM.from_pretrained"
SCALAR_HEAD = "ForSequenceClassification.from_pretrained"
LOADED = "pretrained_model_name_or_path"
MOVES = frozenset({"to", "cuda", "cpu", "half", "float", "bfloat16", "train", "eval"})
"""Methods that give the model back, elsewhere or in another number format."""
REMARK = "  # MinT loads the model; this is its name"
PASSED_ON = "the model is named once, where the client is created"


def is_carried(ledger: Ledger, value: Value, scope: int, before: Span) -> bool:
    """Say whether a model comes to the trainer's scope from another one, or from several loads."""
    for _ in range(12):
        if value.call is not None:
            call = ledger.call_of(value.call)
            inner = None if is_load(ledger, call) else wrapped_model(call)
            if inner is None:
                return False
            value, scope, before = inner.value, call.scope, call.statement
            continue
        if value.function is not None:
            return True
        if value.name is None or value.literal is not None:
            return False
        binding = ledger.binding_of(value.name, scope, before)
        if binding is None:
            return False
        if binding.kind == "parameter" or binding.unpacked is not None:
            whole = binding.unpacked
            return whole is None or whole.function is not None
        if _comes_from_elsewhere(ledger, binding, scope):
            return True
        if binding.value is None or binding.statement == before:
            return False
        value, scope, before = binding.value, binding.scope, binding.statement
    return False


def _comes_from_elsewhere(ledger: Ledger, binding: Binding, scope: int) -> bool:
    """Say whether an attribute is set in another method, or a name by several loads."""
    loads = [
        item
        for item in ledger.facts.bindings
        if (item.name, item.scope) == (binding.name, binding.scope)
        and item.value is not None
        and item.value.call is not None
        and is_load(ledger, ledger.call_of(item.value.call))
    ]
    if len(loads) > 1:
        return True
    is_made = binding.value is not None and (
        binding.value.call is not None or binding.value.function is not None
    )
    is_handed = binding.value is not None and any(
        item.kind == "parameter" and item.scope == binding.scope
        for item in ledger.facts.bindings
        if item.name == binding.value.name
    )
    return binding.name.startswith("self.") and binding.scope != scope and (is_made or is_handed)


def no_model(ledger: Ledger, call: Call, canonical: str) -> Blocked:
    """Return the refusal of a model that a call makes, with what its row says."""
    row = ledger.tables.row(canonical)
    why = f": {row.note}" if row is not None and row.note else ""
    return Blocked("MM201", f"a model from `{canonical}` has no conversion{why}", call.found)


def is_load(ledger: Ledger, call: Call) -> bool:
    """Say whether a call loads a causal language model by its name.

    So does a model with a scalar head where the user asked for a generative one.
    """
    canonical = ledger.tables.canonical(call.qualified)
    may_lose_head = ledger.options.reward_model is not None
    return (
        is_loader(call.qualified)
        or canonical.endswith(SERVED)
        or (may_lose_head and canonical.endswith(SCALAR_HEAD))
    )


def wrapped_model(call: Call) -> Argument | None:
    """Return the model that a call wraps and gives back."""
    last = call.qualified.rsplit(".", 1)[-1]
    if last == "get_peft_model" or last.startswith("prepare_model_for_"):
        return argument_named(call, "model") or positional_argument(call, 0)
    if call.qualified.rsplit(".", 2)[-2:] == [
        "AutoModelForCausalLMWithValueHead",
        "from_pretrained",
    ]:
        return positional_argument(call, 0) or argument_named(call, LOADED)
    return None


def carry_model(ledger: Ledger, plan: ModelPlan, value: Value, scope: int, before: Span) -> None:
    """Leave the model's name wherever it is loaded on its way to a trainer in *scope*.

    Raises:
        Blocked: one of the places it comes from cannot be seen.
    """
    plan.carried = True
    carrier = _Carrier(ledger, plan)
    plan.base_model = carrier.stand_in(value, scope, before)
    if plan.max_length is not None:
        plan.max_length = _length_there(ledger, plan, plan.max_length, scope)
    plan.variables += [key for key in carrier.reached if key[1] == scope]


def _length_there(ledger: Ledger, plan: ModelPlan, argument: Argument, scope: int) -> Argument:
    """Return the longest sequence the loader was told, as the trainer's scope can write it.

    Raises:
        Blocked: it is made of what only the function around the loader knows.
    """
    text = text_in_scope(ledger, argument.value, plan.calls[-1].scope, scope)
    if text is None:
        raise Blocked(
            "MM230",
            f"`{argument.value.text}` is known where the model is loaded, not where it is trained; "
            "make it a constant of the module",
            argument.found,
        )
    return replace(argument, value=replace(argument.value, text=text))


@dataclass(slots=True)
class _Carrier:
    """One walk from the trainer back to every place where its model is loaded."""

    ledger: Ledger
    plan: ModelPlan
    reached: list[tuple[str, int]] = field(default_factory=list)
    """(name, scope that binds it) of every variable on the way."""
    functions: set[int] = field(default_factory=set)

    def stand_in(self, value: Value, scope: int, before: Span) -> str:
        """Return the expression for the name of the model that *value* was."""
        if value.call is not None:
            return self.name_of(self.ledger.call_of(value.call))
        if value.function is not None:
            self._results(value.function, None)
            return value.text
        moved = self._moved(value)
        if moved is not None:
            return moved
        if value.name is not None and value.literal is None:
            self._variable(value.name, scope, before)
            return value.text
        _check_text(value)
        return value.text

    def _place(self, value: Value, scope: int, statement: Span) -> None:
        """Write the stand-in of an expression where it stands."""
        text = self.stand_in(value, scope, statement)
        if text != value.text:
            self.ledger.replace_expression(value.span, text)

    def _variable(self, name: str, scope: int, before: Span) -> None:
        ledger = self.ledger
        owner = ledger.owner_of(name, scope)
        if owner is None:
            raise Blocked("MM230", f"where `{name}` comes from cannot be seen")
        if (name, owner) in self.reached:
            return
        self.reached.append((name, owner))
        bindings = [
            item
            for item in ledger.facts.bindings
            if item.name == name and self._same_owner(item, owner)
        ]
        for binding in bindings:
            self._binding(binding)

    def _same_owner(self, binding: Binding, owner: int) -> bool:
        if binding.name.startswith("self."):
            return self.ledger.class_of(binding.scope) == self.ledger.class_of(owner)
        return binding.scope == owner

    def _binding(self, binding: Binding) -> None:
        ledger, value = self.ledger, binding.value
        if binding.kind == "parameter":
            self._parameter(binding)
        elif binding.unpacked is not None:
            self._unpacked(binding, binding.unpacked)
        elif binding.kind == "delete" or (value is not None and value.literal == "None"):
            return
        elif value is None:
            raise Blocked("MM230", f"where `{binding.name}` comes from cannot be seen")
        else:
            text = self.stand_in(value, binding.scope, binding.statement)
            if text == binding.name:
                ledger.remove_statement(binding.statement)
            elif text != value.text:
                remark = REMARK if len(binding.name) + len(text) < 60 else ""
                ledger.replace_statement(binding.statement, f"{binding.name} = {text}{remark}")

    def _parameter(self, binding: Binding) -> None:
        flow = self._flow(binding.scope)
        passed = [
            (dict(given).get(binding.name), scope, statement)
            for statement, scope, given in (flow.calls if flow is not None else ())
        ]
        is_text = flow is not None and binding.name in flow.texts
        if not is_text and (not passed or any(value is None for value, _, _ in passed)):
            raise Blocked(
                "MM230",
                f"`{binding.name}` is a parameter: whether it is a model or a name cannot be seen",
            )
        for value, scope, statement in passed:
            if value is not None:
                self._place(value, scope, statement)

    def _flow(self, scope: int) -> FunctionFlow | None:
        return next((item for item in self.ledger.facts.flows if item.scope == scope), None)

    def _unpacked(self, binding: Binding, whole: Value) -> None:
        if whole.function is not None:
            self._results(whole.function, binding.index)
        elif whole.call is not None and binding.index == 0:
            call = self.ledger.call_of(whole.call)
            name = self.name_of(call)
            self.plan.imports.add("from transformers import AutoTokenizer")
            text = f"{call.targets[0]} = {name}{REMARK}"
            if len(call.targets) > 1:
                first, second = call.targets[:2]
                text += f"\n{second} = AutoTokenizer.from_pretrained({first})"
            self.ledger.replace_statement(call.statement, text)
        else:
            raise Blocked("MM230", f"where `{binding.name}` comes from cannot be seen")

    def _pair(self, name: str) -> str:
        self.plan.imports.add("from transformers import AutoTokenizer")
        return f"{name}, AutoTokenizer.from_pretrained({name})"

    def _results(self, function: int, index: int | None) -> None:
        flow = self._flow(function)
        name = self.ledger.facts.scopes[function].name
        if flow is None or not flow.results:
            raise Blocked("MM230", f"what `{name}` returns cannot be seen")
        if function in self.functions:
            return
        self.functions.add(function)
        for values in flow.results:
            if index is None and len(values) == 1:
                self._result(values[0], function)
            elif index is not None and len(values) > index and len(values) > 1:
                self._result(values[index], function)
            elif len(values) == 1 and values[0].function is not None:
                self._results(values[0].function, index)
            elif len(values) == 1 and values[0].call is not None and index == 0:
                pair = self._pair(self.name_of(self.ledger.call_of(values[0].call)))
                self.ledger.replace_expression(values[0].span, f"({pair})")
            else:
                raise Blocked("MM230", f"what `{name}` returns cannot be seen")

    def _result(self, value: Value, function: int) -> None:
        if value.literal != "None":
            self._place(value, function, value.span)

    def name_of(self, call: Call) -> str:
        """Return the name of the model that a call loads or wraps."""
        ledger = self.ledger
        ledger.check_unclaimed(call)
        canonical = ledger.tables.canonical(call.qualified)
        self.plan.calls.append(call)
        inner = wrapped_model(call)
        if inner is not None:
            if canonical.endswith("get_peft_model"):
                self._wrapper(call)
            self.plan.peft = argument_named(call, "peft_config") or self.plan.peft
            ledger.exact(inner.found, None, PASSED_ON)
            return self.stand_in(inner.value, call.scope, call.statement)
        if is_loader(call.qualified):
            return self._pair_name(call)
        if not is_load(ledger, call):
            raise no_model(ledger, call, canonical)
        name = argument_named(call, LOADED) or positional_argument(call, 0)
        if name is None or name.star:
            raise Blocked("MM230", "the model's name is not among the arguments", call.found)
        row = ledger.tables.row(f"{call.qualified}.{LOADED}")
        ledger.exact(name.found, row, "create_lora_training_client(base_model=...)")
        return name.value.text

    def _wrapper(self, call: Call) -> None:
        if self.plan.wrapped is not None and self.plan.wrapped is not call:
            raise Blocked("MM208", "the model is given an adapter in two places", call.found)
        self.plan.wrapped = call

    def _pair_name(self, call: Call) -> str:
        name = name_argument(call)
        text = whole_model(self.ledger, name)
        self.plan.max_length = argument_named(call, "max_seq_length")
        row = self.ledger.tables.row(call.qualified)
        self.ledger.exact(call.found, row, "AutoTokenizer.from_pretrained(...)")
        return text

    def _moved(self, value: Value) -> str | None:
        """Return the name for `model.to(...)` and for `load(...).to(...)`."""
        try:
            node = ast.parse(value.text.strip(), mode="eval").body
        except SyntaxError:
            return None
        inner = node
        while isinstance(inner, ast.Call) and isinstance(inner.func, ast.Attribute):
            if inner.func.attr not in MOVES:
                break
            inner = inner.func.value
        if inner is node:
            return None
        use = next((item for item in self.ledger.facts.uses if item.found.span == value.span), None)
        if use is not None:
            self._drop(use)
            self._variable(use.root, use.scope, use.statement)
            return use.root
        start = (value.span.line, value.span.column)
        call = next(
            (
                item
                for item in self.ledger.facts.calls
                if (item.found.span.line, item.found.span.column) == start
            ),
            None,
        )
        return None if call is None else self.name_of(call)

    def _drop(self, use: Use) -> None:
        if use.found in self.ledger.decisions:
            return
        row = self.ledger.tables.row(f"model.{use.chain}")
        note = "device and number format are the server's"
        for found in (use.found, *(argument.found for argument in use.arguments)):
            self.ledger.decide(found, Fidelity.DROPPED, row=row, code="MM209", note=note)


def _check_text(value: Value) -> None:
    """Where nothing is followed any more there must be a name.

    Raises:
        Blocked: it is what some other function returns.
    """
    try:
        node = ast.parse(value.text.strip(), mode="eval").body
    except SyntaxError:
        node = None
    if isinstance(node, ast.Call) and not makes_text(node):
        function = value.text.split("(")[0]
        raise Blocked(
            "MM230",
            f"the model is made by `{function}(...)`; load it beside the trainer, or pass its name",
        )


def makes_text(node: ast.Call) -> bool:
    """Say whether a call gives text, such as `os.environ.get(...)`."""
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    return name in {"get", "getenv", "str", "join", "format", "strip", "expanduser", "pop"}
