"""Rule: a trainer that is given `other_trainer.model` goes on with the adapter of that training.

The weights pass over a checkpoint: the first client saves, the second one starts from the path.
"""

from __future__ import annotations

from mint_migrate.model.facts import Use, Value
from mint_migrate.rules.base import Blocked, Ledger
from mint_migrate.rules.trl.model_plan import ModelPlan

KINDS = frozenset({"sft", "dpo", "grpo", "orpo", "cpo", "gkd", "distillation", "minillm"})
"""Trainings that may start from an adapter."""
COPIED = "copy"


def follow_trained(ledger: Ledger, plan: ModelPlan, value: Value) -> bool:
    """Take over what an earlier training of this script left; say whether the model is that.

    Raises:
        Blocked: the trainer it comes from is not converted.
    """
    use = model_of_trainer(ledger, value)
    if use is None:
        return False
    earlier = ledger.trained.get(use.call)
    if not isinstance(earlier, ModelPlan):
        raise Blocked(
            "MM238",
            f"`{value.text}` is the model of a training that is not converted",
            use.found,
        )
    ledger.exact(use.found, ledger.tables.row("trainer.model"), "starts_from=...")
    plan.base_model, plan.rank = earlier.base_model, earlier.rank
    plan.options, plan.is_lora = earlier.options, True
    plan.loads = list(earlier.loads)
    name = value.text.rsplit(".", 1)[0].replace("self.", "")
    plan.starts_from = f'{earlier.client}.save_state(name="{name}").result().path'
    return True


def model_of_trainer(ledger: Ledger, value: Value) -> Use | None:
    """Return the use that an expression is, where it is `trainer.model`."""
    return next(
        (
            use
            for use in ledger.facts.uses
            if use.found.span == value.span and use.chain == "model" and not use.is_call
        ),
        None,
    )


def check_continued(plan: ModelPlan, short: str, has_lora: bool) -> None:
    """Make sure that a training may go on with an adapter.

    Raises:
        Blocked: it may not.
    """
    if not plan.starts_from:
        return
    if short not in KINDS:
        raise Blocked("MM238", f"starting {short} from a trained adapter is not converted")
    if has_lora:
        raise Blocked("MM208", "an adapter on top of a trained adapter has no counterpart")


def reference_is_copied(ledger: Ledger, plan: ModelPlan, short: str) -> bool:
    """Say whether the reference is the adapter that training starts from, not the base model."""
    fact = f"{short}_adapter_reference"
    return bool(plan.starts_from) and ledger.tables.fact(fact, ledger.version).value == COPIED
