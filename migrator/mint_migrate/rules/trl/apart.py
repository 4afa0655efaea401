"""Rule: a trainer that is built in one place and trained in another.

The construction becomes `functools.partial(train, config, ...)` under the name of the trainer, and
`trainer.train()` a call of it: what the trainer was given is evaluated where it was, and the
function, the attribute or the branch that held the trainer holds what is left to do.
"""

from __future__ import annotations

from dataclasses import replace

from mint_migrate.model.facts import Call, Use
from mint_migrate.model.script import LoopScript
from mint_migrate.rules.base import Blocked, Ledger
from mint_migrate.rules.trl.arguments import bind_arguments
from mint_migrate.rules.trl.branches import exclude
from mint_migrate.rules.trl.decisions import decide_trainer
from mint_migrate.rules.trl.lora import plan_lora
from mint_migrate.rules.trl.model_plan import ModelPlan
from mint_migrate.rules.trl.state import TrainerPlan
from mint_migrate.rules.trl.write import write_construction

ALIKE = frozenset({"model", "train_dataset", "eval_dataset", "processing_class", "peft_config"})
"""Arguments that may differ from branch to branch; others shape the loop."""
IMPORT = "from functools import partial"


def branches_of(ledger: Ledger, trainer: Call) -> list[Call]:
    """Return the other constructions of the same trainer, in branches of one `if`.

    Raises:
        Blocked: it is built again where both constructions may run.
    """
    others = [
        call
        for call in ledger.facts.calls
        if trainer.target is not None
        and call.number != trainer.number
        and (call.target, call.scope) == (trainer.target, trainer.scope)
        and ledger.tables.canonical(call.qualified) == ledger.tables.canonical(trainer.qualified)
    ]
    if others and not all(
        exclude(ledger.facts.text, call.statement, trainer.statement) for call in others
    ):
        raise Blocked(
            "MM238",
            f"`{trainer.target}` is built in {len(others) + 1} places; build it once, with "
            "`peft_config` in a variable",
            trainer.found,
        )
    return others


def is_branch(ledger: Ledger, trainer: Call) -> bool:
    """Say whether a later construction is planned together with this one."""
    try:
        return any(call.number > trainer.number for call in branches_of(ledger, trainer))
    except Blocked:
        return False


def check_construction(ledger: Ledger, trainer: Call) -> None:
    """Make sure that the trainer is built once, and is bound to a name or returned.

    Raises:
        Blocked: it is not.
    """
    branches_of(ledger, trainer)
    if trainer.target is None and not _is_returned(ledger, trainer):
        raise Blocked("MM238", "the trainer is not bound to a name", trainer.found)


def is_apart(ledger: Ledger, trainer: Call, use: Use) -> bool:
    """Say whether training stands in another scope than the construction, or after an `if`."""
    return use.scope != trainer.scope or bool(branches_of(ledger, trainer))


def _is_returned(ledger: Ledger, trainer: Call) -> bool:
    return any(
        len(values) == 1 and values[0].call == trainer.number
        for flow in ledger.facts.flows
        for values in flow.results
    )


def plan_branches(plan: TrainerPlan, script: LoopScript) -> None:
    """Write the other constructions of the trainer.

    Raises:
        Blocked: they need another loop.
    """
    for other in branches_of(plan.ledger, plan.trainer):
        arguments = bind_arguments(plan.ledger, plan.kind, other)
        branch = replace(plan, trainer=other, arguments=arguments, config_text="")
        _check_alike(plan, branch)
        branch.model = _model_of(plan, branch)
        if branch.model.options != plan.model.options:
            raise Blocked(
                "MM238", "the two branches train different parts of the model", other.found
            )
        decide_trainer(branch, script)
        write_construction(branch, script)


def _check_alike(plan: TrainerPlan, branch: TrainerPlan) -> None:
    for name in sorted({*plan.arguments, *branch.arguments} - {"peft_config"}):
        one, other = plan.arguments.get(name), branch.arguments.get(name)
        if one is None or other is None:
            raise Blocked("MM238", f"only one of the branches gives `{name}`", branch.trainer.found)
        is_same = one.value.text == other.value.text and one.value.name is not None
        if name not in ALIKE and not is_same:
            raise Blocked(
                "MM238",
                f"`{name}` differs from branch to branch; set it in a variable above",
                other.found,
            )


def _model_of(plan: TrainerPlan, branch: TrainerPlan) -> ModelPlan:
    one, other = plan.arguments["model"].value, branch.arguments["model"].value
    if other.text != one.text and (one.literal is None or other.literal is None):
        raise Blocked(
            "MM238", "the branches train different models", branch.arguments["model"].found
        )
    base = plan.model.base_model if other.text == one.text else other.text
    model = ModelPlan(base_model=base)
    if plan.model.wrapped is not None:
        return replace(plan.model)
    peft = branch.arguments.get("peft_config")
    place = branch.train_use.statement
    plan_lora(plan.ledger, model, peft.value if peft else None, branch.trainer, place)
    return model
