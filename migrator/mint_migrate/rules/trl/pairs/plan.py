"""Rule: what the loops of KTO, ORPO and CPO have in common.

Each averages its loss over a micro-batch; the Trainer then averages the micro-batches of a step.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, replace

from mint_migrate.model.script import Schedule
from mint_migrate.rules.base import Blocked
from mint_migrate.rules.trl.config import plan_batch, plan_plain_fields
from mint_migrate.rules.trl.learning_rate import scale_learning_rate
from mint_migrate.rules.trl.loop import EpochsFields, LoopFields, plan_epochs, plan_loop
from mint_migrate.rules.trl.optimizer import plan_optimizer
from mint_migrate.rules.trl.pairs.rows import check_not_streamed
from mint_migrate.rules.trl.schedule import plan_schedule
from mint_migrate.rules.trl.state import TrainerPlan
from mint_migrate.rules.trl.windows import Windows, plan_windows

Facts = dict[str, str | bool | int | None]
ACCUMULATION = "config.gradient_accumulation_steps"


@dataclass(frozen=True, slots=True, kw_only=True)
class Loop:
    """What is decided before a kind decides its own."""

    facts: Facts
    windows: Windows
    schedule: Schedule
    divisor: str
    """What divides the sum of the losses of a step's micro-batches."""


def open_loop(plan: TrainerPlan, suffix: str) -> Loop:
    """Decide batches, schedule and optimizer.

    Args:
        plan: the trainer.
        suffix: of the folder that is written to where the script names none: `KTO`.
    """
    ledger, config = plan.ledger, plan.config
    check_not_streamed(ledger)
    facts = {name: fact.value for name, fact in ledger.tables.facts(ledger.version).items()}
    windows = plan_windows(config, {**facts, "accumulation": "mean_of_micro_batches"})
    if windows.epoch_end != "own_step":
        windows = replace(windows, averages=True)
    plan_plain_fields(config, plan.read_elsewhere)
    scale_learning_rate(plan)
    plan_batch(config, windows.needs_micro_batches)
    config.need("output_dir", plan.default_output(suffix))
    config.need("learning_rate")
    plan_optimizer(config)
    return Loop(
        facts=facts,
        windows=windows,
        schedule=plan_schedule(config),
        divisor=_divisor(plan, facts),
    )


def loop_fields(plan: TrainerPlan, loop: Loop) -> tuple[LoopFields, EpochsFields]:
    """Return the fields of the script that no kind decides by itself."""
    return plan_loop(plan, loop.schedule), plan_epochs(plan, loop.windows, loop.facts)


def choice(plan: TrainerPlan, name: str, allowed: tuple[str, ...]) -> str:
    """Return the literal of an option that must be one of some words.

    Raises:
        Blocked: it is another one, or not a literal.
    """
    value = plan.config.literal(name)
    if value not in allowed:
        argument = plan.config.arguments.get(name)
        raise Blocked(
            "MM221",
            f"`{name}={value!r}` has no conversion; {', '.join(allowed)} have",
            argument.found if argument is not None else None,
        )
    return str(value)


def number(plan: TrainerPlan, name: str) -> str:
    """Carry an option of the mathematics, its default written out; return its expression."""
    if plan.config.has(name):
        plan.config.keep(name)
    else:
        plan.config.need(name)
    return f"config.{name}"


def is_zero(plan: TrainerPlan, name: str) -> bool:
    """Say whether an option is known to be 0, or the release has none of that name."""
    if plan.config.is_dynamic(name):
        return False
    argument = plan.config.arguments.get(name)
    text = argument.value.literal if argument is not None else plan.config.default(name)
    return text is None or ast.literal_eval(text) == 0


def carry(plan: TrainerPlan, name: str, used: bool) -> None:
    """Carry an option of the mathematics where the loss looks at it."""
    if used:
        number(plan, name)
    else:
        plan.config.exact(name, "nothing to do", "has no effect here")


def _divisor(plan: TrainerPlan, facts: Facts) -> str:
    if not facts[f"{plan.kind.short}_scales_loss"]:
        return str(plan.ledger.options.num_processes)
    return "len(parts)" if facts["short_step_divisor"] == "own" else ACCUMULATION
