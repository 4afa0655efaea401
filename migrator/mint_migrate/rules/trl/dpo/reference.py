"""Rule: the reference becomes a sampling client that nobody trains."""

from __future__ import annotations

import ast

from mint_migrate.model.facts import Argument, Call, Value
from mint_migrate.rules.base import Blocked, positional_argument
from mint_migrate.rules.trl.continued import reference_is_copied
from mint_migrate.rules.trl.model import finish_model, plan_model
from mint_migrate.rules.trl.model_plan import ModelPlan
from mint_migrate.rules.trl.state import TrainerPlan

BASE, START, OTHER, NONE = "base", "start", "other", "none"


def plan_reference(plan: TrainerPlan, is_free: bool) -> tuple[str, str]:
    """Decide `ref_model`: return which reference it is, and the name of another model.

    Raises:
        Blocked: where it comes from cannot be seen.
    """
    plan.config.exact(
        "precompute_ref_log_probs", "add_reference()", "the same values, asked earlier"
    )
    argument = plan.given("ref_model")
    name = ""
    if argument is not None:
        name = _other_model(plan, argument)
        target = "create_sampling_client(base_model=...)"
        plan.ledger.exact(
            argument.found, plan.ledger.tables.row(f"{plan.kind.trainer}.ref_model"), target
        )
    if is_free:
        return NONE, ""
    if not name and reference_is_copied(plan.ledger, plan.model, "dpo"):
        return START, ""
    return (OTHER, name) if name else (BASE, "")


def _other_model(plan: TrainerPlan, argument: Argument) -> str:
    """Return the expression of the reference's name, empty where it is the trained model's."""
    ledger, trainer = plan.ledger, plan.trainer
    if _is_copy(plan, argument.value):
        return ""
    reference = plan_model(ledger, argument.value, trainer.scope, trainer.statement)
    if reference.wrapped is not None:
        raise Blocked("MM248", "the reference carries an adapter of its own", argument.found)
    _check_own_name(plan, reference, argument)
    finish_model(ledger, reference)
    plan.model.calls += reference.calls
    same = _meaning(reference.base_model) == _meaning(plan.model.base_model)
    return "" if same else reference.base_model


def _check_own_name(plan: TrainerPlan, reference: ModelPlan, argument: Argument) -> None:
    """`--base-model` names the trained model; it may not replace another reference."""
    if plan.ledger.options.base_model is not None and not reference.calls:
        raise Blocked(
            "MM248",
            "name the reference in the script: --base-model names one model",
            argument.found,
        )


def _meaning(text: str) -> object:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _is_copy(plan: TrainerPlan, value: Value) -> bool:
    """Say whether the reference is `create_reference_model(model)`, and decide that call."""
    ledger, trainer = plan.ledger, plan.trainer
    call = _call_of(plan, value)
    if call is None or not call.qualified.endswith("create_reference_model"):
        return False
    if len(call.arguments) != 1 or positional_argument(call, 0) is None:
        raise Blocked("MM248", "the reference shares layers with the model", call.found)
    ledger.check_unclaimed(call)
    row = ledger.tables.row(call.qualified)
    ledger.exact(call.found, row, "create_sampling_client(base_model=...)")
    for argument in call.arguments:
        ledger.exact(argument.found, None, "the model is named once")
    if call.is_statement and call.target is not None:
        ledger.remove_statement(call.statement)
        ledger.removed[(call.target, trainer.scope)] = "MM248"
        plan.model.calls.append(call)
    return True


def _call_of(plan: TrainerPlan, value: Value) -> Call | None:
    ledger, trainer = plan.ledger, plan.trainer
    if value.call is None and value.name is not None:
        binding = ledger.binding_of(value.name, trainer.scope, trainer.statement)
        value = binding.value if binding is not None and binding.value is not None else value
    return None if value.call is None else ledger.call_of(value.call)
