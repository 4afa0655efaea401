"""Rule: the learning rate where full fine-tuning becomes LoRA."""

from __future__ import annotations

from mint_migrate.model.plan import Fidelity
from mint_migrate.rules.trl.config import factor
from mint_migrate.rules.trl.state import TrainerPlan

LORA_LR_RATIO = 10
"""Rule of thumb for the learning rate of an adapter over that of full fine-tuning."""


def scale_learning_rate(plan: TrainerPlan) -> None:
    """Full fine-tuning becomes LoRA: keep the learning rate with a note, or scale it if asked."""
    if plan.model.is_lora:
        return
    ledger, config = plan.ledger, plan.config
    text = config.text("learning_rate") or config.default("learning_rate") or "2e-5"
    if ledger.options.scale_lr:
        config.put(
            "learning_rate",
            f"{LORA_LR_RATIO} * {factor(text)}",
            trailing="# full fine-tuning used a tenth",
        )
        note = f"scaled by {LORA_LR_RATIO} for LoRA, as asked with --scale-lr"
    else:
        note = (
            f"kept from full fine-tuning; LoRA usually needs about {LORA_LR_RATIO} times as much "
            "(--scale-lr writes that)"
        )
    argument = config.arguments.get("learning_rate")
    found = argument.found if argument is not None else plan.trainer.found
    if argument is not None:
        ledger.decisions.pop(argument.found, None)
        config.decide("learning_rate", Fidelity.APPROXIMATE, "MM210", "config.learning_rate", note)
    ledger.differ(found, "MM210", f"the learning rate is {note}", config.place)
