"""Rule: tools and environments become turns between the model and functions of the script."""

from __future__ import annotations

import re
from dataclasses import dataclass

from mint_migrate.model.facts import Argument
from mint_migrate.model.plan import Fidelity
from mint_migrate.rules.base import Blocked
from mint_migrate.rules.trl.state import TrainerPlan

CODE = "MM203"
LIMIT = "max_tool_calling_iterations"
NOTE = (
    "calls of tools are read as the chat templates of Qwen write them, "
    "`<tool_call>{...}</tool_call>`; change `parse_answer` for a model that writes them otherwise"
)
GET_REWARD = re.compile(r"\bdef\s+get_reward\b")


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolsPlan:
    """What the model may call."""

    kind: str = ""
    """functions | environment; empty for nothing."""
    passes: tuple[str, ...] = ()
    rounds: str = ""
    rewards: bool = False


def plan_tools(plan: TrainerPlan) -> ToolsPlan:
    """Decide what the model may call while it answers.

    Raises:
        Blocked: the turns are made in a way that cannot be seen.
    """
    _check_rollout(plan)
    tools, environment = _tools(plan), plan.given("environment_factory")
    rounds = _rounds(plan, used=tools is not None or environment is not None)
    if tools is not None and environment is not None:
        raise Blocked(
            CODE,
            "`tools` beside `environment_factory` is not converted; make the tools methods of the "
            "environment",
            tools.found,
        )
    if tools is not None:
        return ToolsPlan(kind="functions", passes=("tools",), rounds=rounds)
    if environment is None:
        return ToolsPlan()
    _check_environment(plan, environment)
    rewards = GET_REWARD.search(plan.ledger.facts.text) is not None
    weights = plan.config.fields.get("reward_weights")
    if rewards and weights is not None:
        plan.config.put(
            "reward_weights", f"{weights.text} + [1.0]", trailing="# the environment counts 1"
        )
    return ToolsPlan(
        kind="environment",
        passes=("environment_factory",),
        rounds=rounds,
        rewards=rewards,
    )


def _tools(plan: TrainerPlan) -> Argument | None:
    tools = plan.given("tools")
    return None if tools is None or tools.value.text == "[]" else tools


def _rounds(plan: TrainerPlan, *, used: bool) -> str:
    config = plan.config
    if not config.has(LIMIT):
        return ""
    if not used or config.text(LIMIT) == "None":
        config.exact(LIMIT, "nothing to do")
        return ""
    config.keep(LIMIT)
    return f"config.{LIMIT}"


def _check_rollout(plan: TrainerPlan) -> None:
    rollout = plan.given("rollout_func")
    if rollout is not None:
        raise Blocked(
            CODE,
            "`rollout_func` is handed the trainer and reaches into its model or its engine, which "
            "do not exist on MinT; make the samples in `sample_completions` of a conversion "
            "without it",
            rollout.found,
        )


def _check_environment(plan: TrainerPlan, environment: Argument) -> None:
    value = environment.value
    text = value.text
    if value.name is not None:
        binding = plan.ledger.binding_of(value.name, plan.trainer.scope, plan.trainer.statement)
        if binding is not None and binding.value is not None:
            text = binding.value.text
    if text.lstrip().startswith(("{", "dict(")):
        raise Blocked(
            CODE,
            "several environments, chosen by the rows, are not converted; give one factory",
            environment.found,
        )
    if plan.given("train_dataset") is None:
        raise Blocked(
            CODE,
            "without `train_dataset` the environment makes the prompts, which is not converted; "
            "give rows with a prompt",
            environment.found,
        )


def decide_tools(plan: TrainerPlan, name: str, argument: Argument) -> bool:
    """Decide `tools` and `environment_factory`; return whether the argument was one of them."""
    if name not in {"tools", "environment_factory"}:
        return False
    row = plan.ledger.tables.row(f"{plan.kind.trainer}.{name}", plan.ledger.version)
    if plan.given(name) is None or argument.value.text == "[]":
        plan.ledger.exact(argument.found, row, "nothing to do")
        return True
    target = f"{plan.names['use_tools']}()"
    plan.ledger.decide(
        argument.found, Fidelity.APPROXIMATE, row=row, code=CODE, target=target, note=NOTE
    )
    plan.ledger.differ(argument.found, CODE, NOTE, plan.train_use.statement)
    return True
