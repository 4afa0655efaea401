"""Rule: the optimizer of PPO driven step by step: Adam, or one of torch's that is passed in."""

from __future__ import annotations

import ast
from typing import TypedDict

from mint_migrate.model.facts import Argument
from mint_migrate.model.plan import Fidelity
from mint_migrate.model.source import contains
from mint_migrate.rules.base import Blocked
from mint_migrate.rules.trl.state import BuiltTrainer


class StepOptimizer(TypedDict):
    """The settings of the optimizer, as expressions."""

    learning_rate: str
    beta1: str
    beta2: str
    eps: str
    weight_decay: str


def plan_step_optimizer(plan: BuiltTrainer) -> StepOptimizer:
    """Decide the optimizer. Without one the original made `torch.optim.Adam(lr=learning_rate)`.

    Raises:
        Blocked: another optimizer than Adam or AdamW, or one that cannot be seen.
    """
    settings = StepOptimizer(
        learning_rate="config.learning_rate",
        beta1="0.9",
        beta2="0.999",
        eps="1e-8",
        weight_decay="0.0",
    )
    argument = plan.given("optimizer")
    if argument is None:
        return settings
    text = _text_of(plan, argument)
    tree = ast.parse(text, mode="eval").body
    call = tree if isinstance(tree, ast.Call) else None
    name = ast.unparse(call.func).rsplit(".", 1)[-1] if call is not None else ""
    if call is None or name not in {"Adam", "AdamW"}:
        raise Blocked(
            "MM213",
            f"`optimizer={argument.value.text}` is not an Adam or AdamW of torch that is made here",
            argument.found,
        )
    options = {
        item.arg: ast.get_source_segment(text, item.value) or ""
        for item in call.keywords
        if item.arg
    }
    settings["weight_decay"] = options.get("weight_decay", "0.01" if name == "AdamW" else "0.0")
    if name == "Adam" and "weight_decay" in options:
        raise Blocked(
            "MM213", "the weight decay of `Adam` is added to the gradient, MinT's is AdamW's"
        )
    settings["eps"] = options.get("eps", settings["eps"])
    if "betas" in options:
        betas = ast.literal_eval(options["betas"])
        settings["beta1"], settings["beta2"] = (repr(value) for value in betas)
    if "lr" in options:
        plan.config.put("learning_rate", _own_text(plan, options["lr"]))
    elif "lr" not in options:
        plan.config.put("learning_rate", "1e-3")
    _decide(plan, argument)
    return settings


def _own_text(plan: BuiltTrainer, text: str) -> str:
    """Return the learning rate as the namespace can say it: its own field is what it was given."""
    variable = plan.config_variable
    if variable is not None and text == f"{variable}.learning_rate":
        return plan.config.text("learning_rate") or plan.config.default("learning_rate") or text
    return text


def _text_of(plan: BuiltTrainer, argument: Argument) -> str:
    """Return the expression that makes the optimizer, as one line may hold it."""
    text = argument.value.text
    if argument.value.name is not None:
        binding = plan.ledger.binding_of(
            argument.value.name, plan.trainer.scope, plan.trainer.statement
        )
        text = binding.value.text if binding is not None and binding.value is not None else text
    return f"({text})"


def _decide(plan: BuiltTrainer, argument: Argument) -> None:
    ledger = plan.ledger
    row = ledger.tables.row("trl.PPOTrainer.optimizer", ledger.version)
    ledger.exact(argument.found, row, "AdamParams(...)")
    places = [argument.found.span]
    if argument.value.name is not None:
        binding = ledger.binding_of(argument.value.name, plan.trainer.scope, plan.trainer.statement)
        assert binding is not None
        places.append(binding.statement)
        ledger.remove_statement(binding.statement)
    for use in ledger.facts.uses:
        if any(contains(place, use.found.span) for place in places):
            ledger.decide(
                use.found, Fidelity.EXACT, target="AdamParams(...)", note="the adapter's weights"
            )
            for inner in use.arguments:
                ledger.exact(inner.found, None, "AdamParams(...)")
