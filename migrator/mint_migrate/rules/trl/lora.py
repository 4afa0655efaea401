"""Rule: the LoRA configuration becomes rank and options of `create_lora_training_client`.

`get_peft_model(model, LoraConfig(...))` and `peft_config=LoraConfig(...)` leave rank and which
parts are trained; without either, the original trains all weights and the result trains an adapter.
"""

from __future__ import annotations

import ast

from mint_migrate.model.facts import Argument, Binding, Call, Value
from mint_migrate.model.plan import Fidelity
from mint_migrate.model.source import Span, contains
from mint_migrate.rules.base import Blocked, Ledger, argument_named, positional_argument
from mint_migrate.rules.trl.elsewhere import text_in_scope
from mint_migrate.rules.trl.model_plan import FULL_FINETUNING_RANK, ModelPlan
from mint_migrate.rules.trl.options.lora import FUNCTION, plan_option_lora
from mint_migrate.rules.trl.unsloth import LORA_DEFAULTS, is_wrapper, lora_arguments
from mint_migrate.tables.rows import Row

ATTENTION = frozenset({"q_proj", "k_proj", "v_proj", "o_proj"})
MLP = frozenset({"gate_proj", "up_proj", "down_proj"})
SERVER_ALPHA = "32"
PEFT_DEFAULTS = {"r": "8", "lora_alpha": "8"}
PEFT_DEFAULT_TARGETS = "q_proj and v_proj"


def plan_lora(
    ledger: Ledger, plan: ModelPlan, value: Value | None, trainer: Call, place: Span
) -> None:
    """Read rank and targets off the LoRA configuration given to the trainer or to `get_peft_model`.

    Raises:
        Blocked: the configuration cannot be seen.
    """
    scope, before = trainer.scope, trainer.statement
    if plan.wrapped is not None:
        _say_conditional(ledger, plan.wrapped, trainer, place)
    if plan.wrapped is not None and is_wrapper(plan.wrapped.qualified):
        _plan_wrapper(ledger, plan, plan.wrapped, place, scope)
        return
    if plan.wrapped is not None:
        argument = argument_named(plan.wrapped, "peft_config") or positional_argument(
            plan.wrapped, 1
        )
        if argument is None:
            raise Blocked("MM230", "`get_peft_model` is called without a configuration")
        ledger.exact(argument.found, None, "create_lora_training_client(rank=...)")
        value, scope, before = argument.value, plan.wrapped.scope, plan.wrapped.statement
    if plan.starts_from or value is None or value.literal == "None":
        return
    call = _lora_call(ledger, value, scope, before)
    if ledger.tables.canonical(call.qualified) == FUNCTION:
        plan_option_lora(ledger, plan, call, place)
        _replace_lora(ledger, plan, call, value)
        return
    _plan_options(ledger, plan, call, _lora_arguments(ledger, call), place)
    _decide_lora_call(ledger, call)
    if plan.wrapped is not None and plan.carried:
        plan.rank = _rank_there(ledger, call, trainer.scope)
        if call.is_statement and call.target is not None:
            ledger.remove_statement(call.statement)
            ledger.removed[(call.target, call.scope)] = "MM208"
        return
    _replace_lora(ledger, plan, call, value)


def _say_conditional(ledger: Ledger, call: Call, trainer: Call, place: Span) -> None:
    """An adapter that is added under a condition the trainer does not share is there either way."""
    conditions = [
        statement.span
        for statement in ledger.facts.statements
        if statement.is_compound
        and contains(statement.span, call.statement)
        and not contains(statement.span, trainer.statement)
        and ledger.text_of(statement.span).startswith(("if ", "elif "))
    ]
    if not conditions or call.found in ledger.decisions:
        return
    note = (
        f"the adapter is added under the condition on line {conditions[-1].line}; where it does "
        "not hold, all weights were trained, and MinT trains the adapter all the same"
    )
    row = ledger.tables.row(call.qualified)
    target = "create_lora_training_client(rank=...)"
    ledger.decide(call.found, Fidelity.APPROXIMATE, row=row, code="MM204", target=target, note=note)
    ledger.differ(call.found, "MM204", note, place)


def _plan_wrapper(ledger: Ledger, plan: ModelPlan, call: Call, place: Span, scope: int) -> None:
    """Read the LoRA options that unsloth's `get_peft_model` takes itself."""
    arguments = lora_arguments(call)
    plan.loads += [
        (name, call.scope, call.statement)
        for argument in (arguments.get("r"),)
        if argument is not None
        for name in argument.value.loads
    ]
    _plan_options(ledger, plan, call, arguments, place)
    if plan.carried:
        plan.rank, plan.loads = _rank_there(ledger, call, scope), []


def _rank_there(ledger: Ledger, call: Call, scope: int) -> str:
    """Return the rank as the trainer's scope can write it.

    Raises:
        Blocked: it is made of what only the function around the model knows.
    """
    rank = argument_named(call, "r")
    if rank is None:
        return _default(call, "r")
    text = text_in_scope(ledger, rank.value, call.scope, scope)
    if text is None:
        raise Blocked(
            "MM230",
            f"the rank `{rank.value.text}` is known where the model is loaded, not where it is "
            "trained; make it a constant of the module",
            rank.found,
        )
    return text


def _plan_options(
    ledger: Ledger, plan: ModelPlan, call: Call, arguments: dict[str, Argument], place: Span
) -> None:
    """Decide rank, alpha, targets and the rest."""
    plan.is_lora = True
    rank = arguments.get("r")
    plan.rank = rank.value.text if rank is not None else _default(call, "r")
    if rank is not None:
        ledger.exact(
            rank.found,
            ledger.tables.row("peft.LoraConfig.r"),
            "create_lora_training_client(rank=...)",
        )
    _alpha(ledger, call, arguments, place)
    _targets(ledger, plan, call, arguments, place)
    for name, argument in arguments.items():
        if argument.found not in ledger.decisions:
            fidelity = ledger.by_row(argument, _row(ledger, call, name))
            decision = ledger.decisions[argument.found]
            if fidelity is Fidelity.MANUAL:
                ledger.mark(
                    place,
                    decision.code or "MM208",
                    f"`{argument.found.source_text}`: {decision.note}",
                )
            elif fidelity is Fidelity.APPROXIMATE:
                ledger.differ(argument.found, decision.code or "", decision.note, place)


def _row(ledger: Ledger, call: Call, name: str) -> Row | None:
    row = ledger.tables.row(f"peft.LoraConfig.{name}")
    if row is None and is_wrapper(call.qualified):
        return ledger.tables.row(f"{call.qualified}.{name}")
    return row


def _default(call: Call, name: str) -> str:
    return LORA_DEFAULTS[name] if is_wrapper(call.qualified) else PEFT_DEFAULTS[name]


def _decide_lora_call(ledger: Ledger, call: Call) -> None:
    """The call itself differs where a default of peft's does, which no argument of it can say."""
    row = ledger.tables.row(call.qualified)
    target = "create_lora_training_client(...)"
    own = [item for item in ledger.differences if item[0] == call.found]
    if not own:
        ledger.exact(call.found, row, target)
        return
    note = "; ".join(sentence for _, _, sentence in own)
    ledger.decide(
        call.found, Fidelity.APPROXIMATE, row=row, code=own[0][1], target=target, note=note
    )


def _lora_call(ledger: Ledger, value: Value, scope: int, before: Span) -> Call:
    if value.call is not None:
        call = ledger.call_of(value.call)
    else:
        binding = _lora_binding(ledger, value, scope, before)
        bound = binding.value if binding is not None and binding.value is not None else value
        made = ledger.returned_call(bound) if bound.call is None else ledger.call_of(bound.call)
        if made is None:
            raise Blocked(
                "MM230", f"where the LoRA configuration `{value.text}` comes from cannot be seen"
            )
        call = made
    ledger.check_unclaimed(call)
    canonical = ledger.tables.canonical(call.qualified)
    if canonical not in {"peft.LoraConfig", FUNCTION}:
        raise Blocked(
            "MM208", f"`{canonical}` has no counterpart: MinT trains LoRA adapters", call.found
        )
    return call


def _lora_binding(ledger: Ledger, value: Value, scope: int, before: Span) -> Binding | None:
    """Return where a configuration's name is bound: in the branch that makes one, where another
    says None.
    """
    if value.name is None:
        return None
    last = ledger.binding_of(value.name, scope, before)
    if last is None or last.value is None or last.value.literal != "None":
        return last
    calls = [
        item
        for item in ledger.facts.bindings
        if (item.name, item.scope) == (last.name, last.scope)
        and item.value is not None
        and item.value.call is not None
    ]
    return calls[-1] if calls else last


def _lora_arguments(ledger: Ledger, call: Call) -> dict[str, Argument]:
    arguments: dict[str, Argument] = {}
    for argument in call.arguments:
        if argument.star or argument.keyword is None:
            raise Blocked(
                "MM291",
                f"`{argument.found.source_text}` hides LoRA options; write them out as keywords",
                argument.found,
            )
        ledger.check_splat(call, argument)
        arguments[argument.keyword] = argument
    return arguments


def _alpha(ledger: Ledger, call: Call, arguments: dict[str, Argument], place: Span) -> None:
    argument = arguments.get("lora_alpha")
    row = ledger.tables.row("peft.LoraConfig.lora_alpha")
    package = "unsloth" if is_wrapper(call.qualified) else "peft"
    default = f"{_default(call, 'lora_alpha')}, {package}'s default"
    shown = argument.value.text if argument is not None else default
    note = f"the server scales adapters by {SERVER_ALPHA} / rank; the original's alpha is {shown}"
    if argument is None:
        ledger.differ(call.found, "MM205", note, place)
    elif argument.value.literal == SERVER_ALPHA:
        ledger.exact(argument.found, row, f"the server's alpha is {SERVER_ALPHA} as well")
    else:
        ledger.decide(
            argument.found,
            Fidelity.APPROXIMATE,
            row=row,
            code="MM205",
            target="alpha 32",
            note=note,
        )
        ledger.differ(argument.found, "MM205", note, place)


def _targets(
    ledger: Ledger, plan: ModelPlan, call: Call, arguments: dict[str, Argument], place: Span
) -> None:
    argument = arguments.get("target_modules")
    row = ledger.tables.row("peft.LoraConfig.target_modules")
    if argument is None and is_wrapper(call.qualified):
        plan.options = ("train_unembed=False",)
        return
    if argument is None or argument.value.literal == "None":
        plan.options = ("train_mlp=False", "train_unembed=False")
        note = (
            f"peft's default targets ({PEFT_DEFAULT_TARGETS} in most models) become all attention "
            "projections"
        )
        if argument is not None:
            ledger.decide(
                argument.found,
                Fidelity.APPROXIMATE,
                row=row,
                code="MM206",
                target="train_attn",
                note=note,
            )
        ledger.differ(argument.found if argument is not None else call.found, "MM206", note, place)
        return
    names = _target_names(argument)
    options, is_exact = _target_options(names)
    plan.options = options
    if is_exact:
        ledger.exact(argument.found, row, ", ".join(options))
        return
    trained = "attention" if options[0] == "train_mlp=False" else "attention and MLP projections"
    note = f"MinT trains whole groups: {argument.value.text} becomes all {trained}"
    ledger.decide(
        argument.found,
        Fidelity.APPROXIMATE,
        row=row,
        code="MM206",
        target=", ".join(options),
        note=note,
    )
    ledger.differ(argument.found, "MM206", note, place)


def _target_names(argument: Argument) -> frozenset[str] | None:
    """Return the listed module names; None where they are not literal; "all-linear" is itself."""
    if argument.value.literal is None:
        return None
    value = ast.literal_eval(argument.value.literal)
    if isinstance(value, str):
        return frozenset({value})
    try:
        return frozenset(str(item) for item in value)
    except TypeError:
        return None


def _target_options(names: frozenset[str] | None) -> tuple[tuple[str, ...], bool]:
    """Return the client options for a set of target modules, and whether they mean the same."""
    whole = ("train_unembed=False",)
    if names is None:
        return whole, False
    if names in ({"all-linear"}, ATTENTION | MLP):
        return whole, True
    if names == ATTENTION:
        return ("train_mlp=False", "train_unembed=False"), True
    if names == MLP:
        return ("train_attn=False", "train_unembed=False"), True
    if names == ATTENTION | MLP | {"lm_head"}:
        return (), True
    if names <= ATTENTION:
        return ("train_mlp=False", "train_unembed=False"), False
    if names <= MLP:
        return ("train_attn=False", "train_unembed=False"), False
    return whole, False


def _replace_lora(ledger: Ledger, plan: ModelPlan, call: Call, value: Value) -> None:
    """A named configuration leaves its rank under a name of its own; an inline one leaves nothing.

    Raises:
        Blocked: the name is also bound to something that is neither this configuration nor None.
    """
    if value.maker is not None and value.call is None:
        ledger.replace_expression(call.found.span, plan.rank)
        plan.rank = value.text
        return
    if value.call is not None or not call.is_statement or call.target is None:
        return
    taken = {name for scope in ledger.facts.scopes for name in scope.names}
    name = next(
        item for item in ("lora_rank", "adapter_rank", "mint_lora_rank") if item not in taken
    )
    prefix = "self." if call.target.startswith("self.") else ""
    ledger.replace_statement(call.statement, f"{prefix}{name} = {plan.rank}")
    plan.rank = f"{prefix}{name}"
    ledger.removed[(call.target, call.scope)] = "MM208"
    for binding in ledger.facts.bindings:
        if (
            binding.name != call.target
            or binding.scope != call.scope
            or binding.statement == call.statement
        ):
            continue
        if binding.value is None or binding.value.literal != "None":
            raise Blocked("MM230", f"`{call.target}` is bound more than once", call.found)
        ledger.replace_statement(binding.statement, f"{prefix}{name} = {FULL_FINETUNING_RANK}")
        note = (
            "without LoRA all weights were trained; MinT trains an adapter, here of rank "
            f"{FULL_FINETUNING_RANK}"
        )
        ledger.differ(call.found, "MM204", note, binding.statement)
