"""What must hold for a trainer to be converted, beyond its arguments being seen."""

from __future__ import annotations

from mint_migrate.model.facts import Argument, Call
from mint_migrate.rules.base import Blocked
from mint_migrate.rules.trl.options.uses import check_option_uses
from mint_migrate.rules.trl.state import BuiltTrainer, TrainerPlan

IMAGES = frozenset({"image", "images"})
"""Columns that trainers hand to a model of images."""


def check_images(plan: TrainerPlan) -> None:
    """Rows may not hold images, as far as the script shows their columns.

    Raises:
        Blocked: they do; the result would train on the text alone.
    """
    facts = plan.ledger.facts
    for name in sorted(IMAGES & {*facts.produced_columns, *facts.read_columns}):
        raise Blocked("MM252", f"the rows hold images in `{name}`", plan.trainer.found)


def check_unchanged(plan: TrainerPlan) -> None:
    """Arguments are evaluated where training starts: what they read may not change before."""
    ledger, trainer = plan.ledger, plan.trainer
    since = {
        (name, ledger.owner_of(name, trainer.scope)): trainer.statement
        for argument in plan.arguments.values()
        for name in argument.value.loads
    }
    for name, scope, place in plan.model.loads:
        owner = ledger.owner_of(name, scope)
        if owner != ledger.owner_of(name, trainer.scope):
            raise Blocked(
                "MM230",
                f"the model is loaded where `{name}` is known and trained where it is not",
                trainer.found,
            )
        since.setdefault((name, owner), place)
        since[(name, owner)] = min(since[(name, owner)], place)
    for binding in ledger.facts.bindings:
        start = since.get((binding.name, binding.scope))
        if start is not None and start < binding.statement < plan.given_at:
            raise Blocked(
                "MM238",
                f"`{binding.name}` changes between its use for the trainer and `train()`",
                trainer.found,
            )


def check_handed(plan: TrainerPlan, argument: Argument, call: Call) -> None:
    """An argument of *call* is evaluated where training starts: it must mean the same there.

    Raises:
        Blocked: what it reads changes in between, or is not known there.
    """
    ledger = plan.ledger
    for name in argument.value.loads:
        owner = ledger.owner_of(name, call.scope)
        if owner != ledger.owner_of(name, plan.trainer.scope):
            note = f"`{name}` is not known where the trainer is"
            raise Blocked("MM230", note, argument.found)
        for binding in ledger.facts.bindings:
            is_same = binding.name == name and binding.scope == owner
            if is_same and call.statement < binding.statement < plan.train_use.statement:
                note = f"`{name}` changes between its use and `train()`"
                raise Blocked("MM238", note, argument.found)


def check_evaluation_rows(plan: TrainerPlan) -> None:
    argument = plan.arguments.get("eval_dataset")
    if argument is None:
        return
    text = argument.value.text
    if argument.value.name is not None:
        binding = plan.ledger.binding_of(
            argument.value.name, plan.trainer.scope, plan.trainer.statement
        )
        text = binding.value.text if binding is not None and binding.value is not None else text
    if text.startswith(("{", "dict(")):
        raise Blocked(
            "MM233",
            "a dictionary of evaluation data sets is evaluated part by part, which is not "
            "converted",
            argument.found,
        )


def check_config_uses(plan: BuiltTrainer) -> None:
    """What the user's code reads of the configuration must be in the namespace, or be for a person.

    Raises:
        Blocked: a field that the loop does not read under its own name is assigned after
        construction.
    """
    ledger, config, name = plan.ledger, plan.config, plan.config_variable
    if plan.source is not None:
        check_option_uses(plan, plan.source)
        return
    if name is None:
        return
    for owner, attribute in ledger.facts.attributes_written:
        if owner == name and attribute not in config.fields:
            raise Blocked("MM292", f"`{name}.{attribute}` is set after the configuration was made")
    for attribute in sorted(plan.read_elsewhere - set(config.fields)):
        default = config.default(attribute)
        if default is not None:
            config.put(attribute, config.text(attribute) or default)
            continue
        for statement in ledger.facts.statements:
            is_user = not statement.is_compound and statement.span not in ledger.edits
            if is_user and f"{name}.{attribute}" in ledger.text_of(statement.span):
                ledger.mark_broken(statement.span, "MM230", f"the namespace has no `{attribute}`")
                plan.broken_config = statement.span
