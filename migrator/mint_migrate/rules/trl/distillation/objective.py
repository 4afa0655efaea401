"""Rule: which divergence from the teacher is trained, and on whose answers.

TRL compares whole distributions; MinT returns log-probabilities of given tokens. On answers of the
student, the mean of `log p - log q` over tokens drawn from p estimates the reverse divergence, and
its gradient that of TRL's sum over the vocabulary, which stops at the samples as well. Any other
divergence, and answers of somebody else, are refused, or replaced where the user asks.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from mint_migrate.model.plan import Fidelity
from mint_migrate.model.source import Span
from mint_migrate.rules.base import Blocked
from mint_migrate.rules.trl.config import ConfigPlan
from mint_migrate.rules.trl.state import TrainerPlan

ESTIMATED, REPLACED, IMPOSSIBLE = "MM270", "MM271", "MM243"
FLAG = "--distillation reverse-kl"
ESTIMATE = (
    "the divergence is estimated on the tokens that the student drew, where the original summed "
    "over the vocabulary: the same gradient on average, with more noise"
)
DIVIDED = (
    f"{ESTIMATE}; the number of drawn tokens that a step is divided by depends on the same draw"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """A field and the values with which it means the reverse divergence on own answers."""

    name: str
    wanted: tuple[object, ...]
    otherwise: str
    """What any other value means, as the end of a sentence that begins with the field."""


def plan_objective(plan: TrainerPlan, settings: Iterable[Setting], *, estimate: str) -> None:
    """Decide the fields that choose the objective, and say that it is estimated.

    Args:
        plan: the trainer.
        settings: its fields that choose the objective.
        estimate: what is said of the estimate; empty where nothing is estimated.

    Raises:
        Blocked: the script asks for another objective, and the user has not asked to replace it.
    """
    config = plan.config
    given = [setting for setting in settings if config.row(setting.name) is not None]
    others = [setting for setting in given if config.literal(setting.name) not in setting.wanted]
    if others and plan.ledger.options.distillation is None:
        _refuse(plan, others)
    for setting in given:
        if setting not in others:
            config.exact(setting.name, "the loss")
            continue
        note = f"another objective, asked for with {FLAG}: {_wish(config, setting)}"
        config.decide(setting.name, Fidelity.APPROXIMATE, REPLACED, "the loss", note)
    if others:
        plan.ledger.differ(plan.trainer.found, REPLACED, _replaced(config, others), _place(plan))
    if estimate:
        plan.ledger.differ(plan.trainer.found, ESTIMATED, estimate, _place(plan))


def _refuse(plan: TrainerPlan, others: list[Setting]) -> None:
    config = plan.config
    wishes = "; ".join(_wish(config, setting) for setting in others)
    written = ", ".join(f"{setting.name}={setting.wanted[0]}" for setting in others)
    argument = next((config.arguments[item.name] for item in others if config.has(item.name)), None)
    raise Blocked(
        IMPOSSIBLE,
        f"{wishes}. Only the reverse divergence on answers of the student can be had from "
        f"log-probabilities of tokens: write {written}, or pass `{FLAG}`, which trains that "
        "instead (another objective)",
        argument.found if argument is not None else plan.trainer.found,
    )


def _wish(config: ConfigPlan, setting: Setting) -> str:
    text = config.text(setting.name)
    value = f"`{setting.name}={text or config.default(setting.name)}`"
    return f"{value if text else f'the default {value}'} {setting.otherwise}"


def _replaced(config: ConfigPlan, others: list[Setting]) -> str:
    wishes = "; ".join(_wish(config, setting) for setting in others)
    return (
        f"another objective, asked for with {FLAG}: the reverse divergence from the teacher on "
        f"answers of the student. {wishes}, in the original"
    )


def _place(plan: TrainerPlan) -> Span:
    return plan.train_use.statement
