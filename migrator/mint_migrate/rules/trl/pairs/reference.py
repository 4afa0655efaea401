"""Rule: the reference model becomes a sampling client of a base model."""

from __future__ import annotations

from mint_migrate.model.facts import Argument, Call
from mint_migrate.rules.base import Blocked
from mint_migrate.rules.trl.model import finish_model, plan_model
from mint_migrate.rules.trl.state import TrainerPlan

COPY = "trl.create_reference_model"
HANDED = "reference_model"
TARGET = "create_sampling_client(base_model=...)"


def plan_reference(plan: TrainerPlan) -> tuple[str, tuple[tuple[str, str], ...]]:
    """Decide `ref_model`; return its name inside `train`, and what `train` is handed for it.

    Without one, and where it is a copy of the model, it is the model without the adapter.

    Raises:
        Blocked: where the reference comes from cannot be followed, or it has an adapter.
    """
    ledger = plan.ledger
    argument = plan.given("ref_model")
    if argument is None:
        return "base_model", ()
    row = ledger.tables.row(f"{plan.kind.trainer}.ref_model", ledger.version)
    call = _maker(plan, argument)
    if call is not None and ledger.tables.canonical(call.qualified) == COPY:
        ledger.exact(call.found, ledger.tables.row(call.qualified), TARGET)
        for inner in call.arguments:
            ledger.exact(inner.found, None, "the model without the adapter")
        if call.is_statement and call.target is not None:
            ledger.remove_statement(call.statement)
            ledger.removed[(call.target, call.scope)] = "MM228"
        ledger.exact(argument.found, row, TARGET, "a copy of the model")
        return "base_model", ()
    model = plan_model(ledger, argument.value, plan.trainer.scope, plan.trainer.statement)
    if model.wrapped is not None:
        raise Blocked("MM248", "the reference has an adapter of its own", argument.found)
    finish_model(ledger, model)
    plan.model.loads += model.loads
    ledger.exact(argument.found, row, TARGET)
    if model.base_model == plan.model.base_model:
        return "base_model", ()
    return HANDED, ((HANDED, model.base_model),)


def _maker(plan: TrainerPlan, argument: Argument) -> Call | None:
    """Return the call that made an argument, inline or bound to a name."""
    ledger, value = plan.ledger, argument.value
    if value.call is None and value.name is not None:
        binding = ledger.binding_of(value.name, plan.trainer.scope, plan.trainer.statement)
        value = binding.value if binding is not None and binding.value is not None else value
    return None if value.call is None else ledger.call_of(value.call)
