"""Rule: the teacher becomes a sampling client, which reads the student's answers."""

from __future__ import annotations

from mint_migrate.rules.base import Blocked
from mint_migrate.rules.trl.model import finish_model, plan_model
from mint_migrate.rules.trl.model_plan import ModelPlan
from mint_migrate.rules.trl.state import TrainerPlan

NAME = "teacher_model"
TARGET = "create_sampling_client(base_model=...)"


def plan_teacher(plan: TrainerPlan) -> tuple[tuple[str, str], ...]:
    """Decide `teacher_model`; return what `train` is handed for it.

    Raises:
        Blocked: there is none, it cannot be followed, or it has an adapter.
    """
    ledger = plan.ledger
    argument = plan.given(NAME)
    if argument is None:
        raise Blocked(
            "MM253",
            "the trainer is built without a `teacher_model`; name one that the server has",
            plan.trainer.found,
        )
    scope, before = plan.trainer.scope, plan.trainer.statement
    model = plan_model(ledger, argument.value, scope, before, trains=False)
    if model.wrapped is not None or model.starts_from:
        raise Blocked(
            "MM253",
            "the teacher has an adapter of its own, which the server does not have; name a model "
            "that the server has",
            argument.found,
        )
    _leave_out_freezing(plan, model)
    finish_model(ledger, model)
    plan.model.loads += model.loads
    row = ledger.tables.row(f"{plan.kind.trainer}.{NAME}", ledger.version)
    ledger.exact(argument.found, row, TARGET)
    return ((NAME, model.base_model),)


def _leave_out_freezing(plan: TrainerPlan, model: ModelPlan) -> None:
    """Leave out `teacher.requires_grad_(False)`: a sampling client has nothing to train."""
    ledger, numbers = plan.ledger, {call.number for call in model.calls}
    for use in ledger.facts.uses:
        given = [argument.value.literal for argument in use.arguments]
        is_freezing = use.chain == "requires_grad_" and given == ["False"]
        if use.call not in numbers or not use.is_statement or not is_freezing:
            continue
        row = ledger.tables.row(f"model.{use.chain}")
        ledger.exact(use.found, row, "nothing to do", "the teacher is not trained")
        for argument in use.arguments:
            ledger.exact(argument.found, None, "nothing to do")
        ledger.remove_statement(use.statement)
