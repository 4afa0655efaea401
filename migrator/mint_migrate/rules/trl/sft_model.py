"""Rule: model, quantization and LoRA become the arguments of `create_lora_training_client`.

`AutoModelForCausalLM.from_pretrained(name, ...)` leaves its name; `get_peft_model(model,
LoraConfig(...))` and `peft_config=LoraConfig(...)` leave rank and which parts are trained; without
either, the original trains all weights and the result trains an adapter.
"""

from __future__ import annotations

import ast
import json
from dataclasses import dataclass, field

from mint_migrate.model.facts import Argument, Binding, Call, Value
from mint_migrate.model.plan import Fidelity
from mint_migrate.model.source import Span
from mint_migrate.rules.base import Blocked, Ledger, argument_named

ATTENTION = frozenset({"q_proj", "k_proj", "v_proj", "o_proj"})
MLP = frozenset({"gate_proj", "up_proj", "down_proj"})
SERVER_ALPHA = "32"
FULL_FINETUNING_RANK = "32"
PEFT_DEFAULT_TARGETS = "q_proj and v_proj"


@dataclass(slots=True)
class ModelPlan:
    """What the training client is created with."""

    base_model: str = ""
    rank: str = FULL_FINETUNING_RANK
    options: tuple[str, ...] = ("train_unembed=False",)
    is_lora: bool = False
    wrapped: Call | None = None
    """The `get_peft_model` call, if there is one."""
    calls: list[Call] = field(default_factory=list)
    """Calls that made the model; their statements go."""
    variables: list[tuple[str, int]] = field(default_factory=list)
    loads: list[tuple[str, int, Span]] = field(default_factory=list)
    """(name, scope, statement) of what the model's name is made of, where it was read."""


def plan_model(ledger: Ledger, value: Value, scope: int, before: Span) -> ModelPlan:
    """Follow the model argument back to a name.

    Raises:
        Blocked: it comes from somewhere that cannot be followed.
    """
    plan = ModelPlan()
    _follow(ledger, plan, value, scope, before, 0)
    if ledger.options.base_model is not None:
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
    else:
        plan.base_model = value.text


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
    if bound.call is not None:
        plan.variables.append((value.name, binding.scope))
        _follow_call(ledger, plan, ledger.call_of(bound.call), depth)
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


def _is_helper_call(value: Value) -> bool:
    try:
        node = ast.parse(value.text.strip(), mode="eval").body
    except SyntaxError:
        return True
    return isinstance(node, ast.Call) and not _makes_text(node)


def _makes_text(node: ast.Call) -> bool:
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    return name in {"get", "getenv", "str", "join", "format", "strip", "expanduser", "pop"}


def _follow_unpacked(
    ledger: Ledger, plan: ModelPlan, name: str, statement: Span, depth: int
) -> None:
    for call in ledger.facts.calls:
        if call.statement == statement and name in call.targets:
            raise Blocked(
                "MM201",
                f"`{call.qualified}` returns model and tokenizer together; it has no "
                "conversion yet",
                call.found,
            )
    raise Blocked("MM230", f"where `{name}` comes from cannot be seen")


def _follow_call(ledger: Ledger, plan: ModelPlan, call: Call, depth: int) -> None:
    canonical = ledger.tables.canonical(call.qualified)
    plan.calls.append(call)
    last = canonical.rsplit(".", 1)[-1]
    if last == "get_peft_model":
        plan.wrapped = call
        inner = argument_named(call, "model") or _positional(call, 0)
    elif last.startswith("prepare_model_for_"):
        inner = argument_named(call, "model") or _positional(call, 0)
    elif last == "from_pretrained" and canonical.startswith("transformers."):
        if not canonical.endswith("ForCausalLM.from_pretrained"):
            raise Blocked("MM201", f"`{canonical}` is not a causal language model", call.found)
        inner = argument_named(call, "pretrained_model_name_or_path") or _positional(call, 0)
        if inner is None or inner.star:
            raise Blocked("MM230", "the model's name is not among the arguments", call.found)
        ledger.exact(
            inner.found,
            ledger.tables.row(f"{call.qualified}.pretrained_model_name_or_path"),
            "create_lora_training_client(base_model=...)",
        )
        plan.base_model = inner.value.text
        plan.loads += [(name, call.scope, call.statement) for name in inner.value.loads]
        return
    else:
        raise Blocked("MM201", f"a model from `{canonical}` has no conversion", call.found)
    if inner is None:
        raise Blocked("MM230", f"`{last}` is called without a model", call.found)
    ledger.exact(inner.found, None, "the model is named once, where the client is created")
    _follow(ledger, plan, inner.value, call.scope, call.statement, depth + 1)


def _positional(call: Call, index: int) -> Argument | None:
    return next((item for item in call.arguments if item.index == index and not item.star), None)


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
                row = ledger.tables.row(f"{call.qualified}.{name}") or ledger.tables.row(
                    call.qualified
                )
                ledger.by_row(argument, row)
        if call.is_statement:
            ledger.remove_statement(call.statement)
    for variable in plan.variables:
        ledger.removed[variable] = "MM228"


def plan_lora(
    ledger: Ledger, plan: ModelPlan, value: Value | None, trainer: Call, place: Span
) -> None:
    """Read rank and targets off the LoRA configuration given to the trainer or to `get_peft_model`.

    Raises:
        Blocked: the configuration cannot be seen.
    """
    scope, before = trainer.scope, trainer.statement
    if plan.wrapped is not None:
        argument = argument_named(plan.wrapped, "peft_config") or _positional(plan.wrapped, 1)
        if argument is None:
            raise Blocked("MM230", "`get_peft_model` is called without a configuration")
        ledger.exact(argument.found, None, "create_lora_training_client(rank=...)")
        value, scope, before = argument.value, plan.wrapped.scope, plan.wrapped.statement
    if value is None or value.literal == "None":
        return
    call = _lora_call(ledger, value, scope, before)
    plan.is_lora = True
    arguments = _lora_arguments(ledger, call)
    rank = arguments.get("r")
    plan.rank = rank.value.text if rank is not None else "8"
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
            fidelity = ledger.by_row(argument, ledger.tables.row(f"peft.LoraConfig.{name}"))
            decision = ledger.decisions[argument.found]
            if fidelity is Fidelity.MANUAL:
                ledger.mark(
                    place,
                    decision.code or "MM208",
                    f"`{argument.found.source_text}`: {decision.note}",
                )
            elif fidelity is Fidelity.APPROXIMATE:
                ledger.differ(argument.found, decision.code or "", decision.note, place)
    _decide_lora_call(ledger, call)
    _replace_lora(ledger, plan, call, value)


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
    canonical = ledger.tables.canonical(call.qualified)
    if canonical != "peft.LoraConfig":
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
    shown = argument.value.text if argument is not None else "8, peft's default"
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
