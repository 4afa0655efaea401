"""Rule: held-out prompts that the loop does not answer."""

from __future__ import annotations

from mint_migrate.model.facts import Argument
from mint_migrate.model.plan import Fidelity
from mint_migrate.rules.trl.config import ConfigPlan
from mint_migrate.rules.trl.loop import LoopFields
from mint_migrate.rules.trl.state import TrainerPlan

EVALUATION = ("eval_strategy", "evaluation_strategy", "eval_steps", "do_eval", "eval_on_start")
NOT_EVALUATED = "the held-out prompts are not answered while training"


def leave_out_evaluation(config: ConfigPlan, read_elsewhere: frozenset[str]) -> None:
    """Decide the options of evaluation: nothing is evaluated.

    Args:
        config: the configuration.
        read_elsewhere: its attributes that the user's own code reads; they stay.
    """
    for name in EVALUATION:
        if name in read_elsewhere:
            config.put(name, config.text(name) or config.default(name) or "None")
        config.decide(name, Fidelity.APPROXIMATE, "MM233", "nothing", NOT_EVALUATED)
        config.arguments.pop(name, None)


def without_evaluation(loop: LoopFields) -> LoopFields:
    """Return the fields of a loop that evaluates nothing."""
    loop["evaluation"], loop["eval_dataset"], loop["eval_on_start"] = "no", False, False
    return loop


def decide_held_out(plan: TrainerPlan, name: str, argument: Argument) -> bool:
    """Decide `eval_dataset`; False leaves any other argument alone."""
    if name != "eval_dataset":
        return False
    row = plan.ledger.tables.row(f"{plan.kind.trainer}.{name}", plan.ledger.version)
    plan.ledger.decide(
        argument.found, Fidelity.APPROXIMATE, row=row, code="MM233", note=NOT_EVALUATED
    )
    return True
