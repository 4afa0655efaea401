"""Rule: the model argument becomes `create_lora_training_client(base_model=...)`.

`AutoModelForCausalLM.from_pretrained(name, ...)` leaves its name; what wraps, moves or quantizes
the model on the way to the trainer goes.
"""

from __future__ import annotations

import ast
import json

from mint_migrate.model.facts import Argument, Binding, Call, Value
from mint_migrate.model.plan import Fidelity
from mint_migrate.model.source import Span, contains
from mint_migrate.rules.base import Blocked, Ledger, argument_named, positional_argument
from mint_migrate.rules.trl.carried import (
    LOADED,
    MOVES,
    carry_model,
    is_carried,
    is_load,
    makes_text,
    no_model,
)
from mint_migrate.rules.trl.continued import follow_trained
from mint_migrate.rules.trl.model_plan import ModelPlan
from mint_migrate.rules.trl.readers import check_readers
from mint_migrate.rules.trl.unsloth import follow_loader, is_loader
from mint_migrate.tables.rows import Row

VALUE_HEAD = "trl.AutoModelForCausalLMWithValueHead.from_pretrained"
"""Loads a causal language model with a critic beside its head; may take the LoRA configuration."""


def plan_model(
    ledger: Ledger,
    value: Value,
    scope: int,
    before: Span,
    *,
    carries: bool = False,
    trains: bool = True,
) -> ModelPlan:
    """Follow the model argument back to a name.

    Args:
        ledger: the plan so far.
        value: the argument.
        scope: where it is given.
        before: the statement that gives it.
        carries: its name is left in the model's place.
        trains: it is the model that is trained, for which the command line may name another.

    Raises:
        Blocked: it comes from somewhere that cannot be followed.
    """
    plan = ModelPlan()
    if carries or is_carried(ledger, value, scope, before):
        carry_model(ledger, plan, value, scope, before)
    else:
        _follow(ledger, plan, value, scope, before, 0)
    if trains and ledger.options.base_model is not None:
        plan.base_model = json.dumps(ledger.options.base_model)
        plan.loads.clear()
    _check_local_path(ledger, plan, value)
    return plan


def _follow(
    ledger: Ledger, plan: ModelPlan, value: Value, scope: int, before: Span, depth: int
) -> None:
    if value.call is not None:
        _follow_call(ledger, plan, ledger.call_of(value.call), depth)
    elif value.name is not None and value.literal is None:
        _follow_name(ledger, plan, value, scope, before, depth)
    elif not follow_trained(ledger, plan, value):
        _check_no_model(ledger, value)
        plan.base_model = value.text


def _check_no_model(ledger: Ledger, value: Value) -> None:
    """What another trainer or model holds is no name.

    Raises:
        Blocked: the model is an attribute of one of them.
    """
    for use in ledger.facts.uses:
        if contains(value.span, use.found.span):
            raise Blocked(
                "MM230",
                f"`{use.found.source_text}` is a model that was made before; name the model to "
                "start from",
            )


def _follow_name(
    ledger: Ledger, plan: ModelPlan, value: Value, scope: int, before: Span, depth: int
) -> None:
    assert value.name is not None
    binding = ledger.binding_of(value.name, scope, before)
    if binding is None or depth > 12:
        raise Blocked("MM230", f"where `{value.name}` comes from cannot be seen")
    if binding.kind == "parameter":
        raise Blocked(
            "MM230",
            f"`{value.name}` is a parameter: whether it is a model or a name cannot be seen",
        )
    bound = binding.value
    if bound is None:
        _follow_unpacked(ledger, plan, value.name, binding.statement, depth)
        return
    if _follow_moved(ledger, plan, value, binding, depth):
        return
    if bound.call is not None:
        plan.variables.append((value.name, binding.scope))
        _follow_call(ledger, plan, ledger.call_of(bound.call), depth)
        return
    moved = _loaded_and_moved(ledger, binding, bound)
    if moved is not None:
        plan.variables.append((value.name, binding.scope))
        ledger.remove_statement(binding.statement)
        _follow_call(ledger, plan, moved, depth)
        return
    if bound.name is not None and bound.literal is None and depth < 12:
        inner = ledger.binding_of(bound.name, binding.scope, binding.statement)
        if inner is not None and inner.value is not None and inner.value.call is not None:
            raise Blocked("MM230", f"the model has two names, `{value.name}` and `{bound.name}`")
    if _is_helper_call(bound):
        raise Blocked(
            "MM230",
            f"`{value.name}` is made by `{bound.text.split('(')[0]}(...)`; "
            "load the model beside the trainer, or pass its name",
        )
    plan.base_model = value.text


def _follow_moved(
    ledger: Ledger, plan: ModelPlan, value: Value, binding: Binding, depth: int
) -> bool:
    """Follow `model = model.to(...)` to the model before it; return whether it was that."""
    use = next(
        (
            item
            for item in ledger.facts.uses
            if item.statement == binding.statement
            and item.root == value.name
            and item.target == value.name
            and item.chain in MOVES
        ),
        None,
    )
    if use is None:
        return False
    row = ledger.tables.row(f"model.{use.chain}")
    note = "device and number format are the server's"
    ledger.decide(use.found, Fidelity.DROPPED, row=row, code="MM209", note=note)
    for argument in use.arguments:
        ledger.decide(argument.found, Fidelity.DROPPED, row=row, code="MM209", note=note)
    ledger.remove_statement(binding.statement)
    _follow_name(ledger, plan, value, binding.scope, binding.statement, depth + 1)
    return True


def _loaded_and_moved(ledger: Ledger, binding: Binding, bound: Value) -> Call | None:
    """Return the call that loads a model in `model = load(...).to(...)`."""
    node = ast.parse(bound.text.strip(), mode="eval").body
    is_moved = False
    while (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in MOVES
    ):
        node, is_moved = node.func.value, True
    if not is_moved or not isinstance(node, ast.Call):
        return None
    places = [
        call
        for call in ledger.facts.calls
        if call.statement == binding.statement
        and (call.found.span.line, call.found.span.column) == (bound.span.line, bound.span.column)
    ]
    return places[0] if len(places) == 1 else None


def _is_helper_call(value: Value) -> bool:
    try:
        node = ast.parse(value.text.strip(), mode="eval").body
    except SyntaxError:
        return True
    return isinstance(node, ast.Call) and not makes_text(node)


def _follow_unpacked(
    ledger: Ledger, plan: ModelPlan, name: str, statement: Span, depth: int
) -> None:
    for call in ledger.facts.calls:
        if call.statement == statement and call.targets[:1] == (name,):
            plan.variables.append((name, call.scope))
            _follow_call(ledger, plan, call, depth)
            return
    raise Blocked("MM230", f"where `{name}` comes from cannot be seen")


def _follow_call(ledger: Ledger, plan: ModelPlan, call: Call, depth: int) -> None:
    ledger.check_unclaimed(call)
    canonical = ledger.tables.canonical(call.qualified)
    plan.calls.append(call)
    if is_loader(call.qualified):
        follow_loader(ledger, plan, call)
        return
    last = canonical.rsplit(".", 1)[-1]
    if last == "get_peft_model":
        plan.wrapped = call
        inner = argument_named(call, "model") or positional_argument(call, 0)
    elif last.startswith("prepare_model_for_"):
        inner = argument_named(call, "model") or positional_argument(call, 0)
    elif canonical == VALUE_HEAD:
        inner = positional_argument(call, 0) or argument_named(call, LOADED)
        plan.peft = argument_named(call, "peft_config") or plan.peft
        if inner is not None and not _is_made(ledger, inner.value, call):
            _take_name(ledger, plan, call, inner)
            return
    elif last == "from_pretrained" and canonical.startswith("transformers."):
        if not is_load(ledger, call):
            raise Blocked("MM201", f"`{canonical}` is not a causal language model", call.found)
        inner = argument_named(call, LOADED) or positional_argument(call, 0)
        if inner is None or inner.star:
            raise Blocked("MM230", "the model's name is not among the arguments", call.found)
        _take_name(ledger, plan, call, inner)
        return
    else:
        raise no_model(ledger, call, canonical)
    if inner is None:
        raise Blocked("MM230", f"`{last}` is called without a model", call.found)
    ledger.exact(inner.found, None, "the model is named once, where the client is created")
    _follow(ledger, plan, inner.value, call.scope, call.statement, depth + 1)


def _take_name(ledger: Ledger, plan: ModelPlan, call: Call, inner: Argument) -> None:
    """The model is loaded by this name."""
    ledger.exact(
        inner.found,
        ledger.tables.row(f"{call.qualified}.{LOADED}"),
        "create_lora_training_client(base_model=...)",
    )
    plan.base_model = inner.value.text
    plan.loads += [(name, call.scope, call.statement) for name in inner.value.loads]


def _is_made(ledger: Ledger, value: Value, call: Call) -> bool:
    """Say whether a value is a model that the script has made, rather than a model's name."""
    if value.call is not None:
        return True
    binding = ledger.binding_of(value.name, call.scope, call.statement) if value.name else None
    return binding is not None and binding.value is not None and binding.value.call is not None


def _check_local_path(ledger: Ledger, plan: ModelPlan, value: Value) -> None:
    try:
        literal = ast.literal_eval(plan.base_model)
    except (ValueError, SyntaxError):
        return
    if isinstance(literal, str) and literal.startswith(("./", "../", "/", "~")):
        ledger.notices.append(
            f"MM237: the model is the local path {literal!r}; MinT serves models by name, "
            "pass --base-model NAME"
        )


def finish_model(ledger: Ledger, plan: ModelPlan) -> None:
    """Decide the calls that made the model and take their statements out."""
    for call in plan.calls:
        if call.found not in ledger.decisions:
            ledger.exact(
                call.found, ledger.tables.row(call.qualified), "create_lora_training_client(...)"
            )
        for argument in call.arguments:
            if argument.found not in ledger.decisions:
                name = argument.keyword or f"[{argument.index}]"
                ledger.by_row(argument, _option_row(ledger, call, name))
        if call.is_statement and not plan.carried:
            ledger.remove_statement(call.statement)
    if plan.carried:
        numbers = {call.number for call in plan.calls}
        check_readers(ledger, numbers, "is the model's name here")
        return
    for variable in plan.variables:
        ledger.removed[variable] = "MM228"


def _option_row(ledger: Ledger, call: Call, name: str) -> Row | None:
    """Return the row of a loader's option; a model with a value head is loaded like any other."""
    if ledger.tables.canonical(call.qualified) == VALUE_HEAD:
        return ledger.tables.row(f"transformers.AutoModelForCausalLM.from_pretrained.{name}")
    row = ledger.tables.row(f"{call.qualified}.{name}")
    return row or ledger.tables.row(call.qualified)
