"""Rule: reward functions are called as they were; what they may need decides the adapter."""

from __future__ import annotations

import ast
import re

from mint_migrate.model.facts import Argument
from mint_migrate.model.rollouts_script import RewardsScript
from mint_migrate.rules.base import Blocked
from mint_migrate.rules.trl.state import TrainerPlan

Facts = dict[str, str | bool | int | None]

LEVELS = ("columns", "completion_ids", "trainer_state", "log_functions")
"""What releases hand to a reward function; each adds to the one before."""
ASYNC = re.compile(r"\basync\s+def\b")
NONE = re.compile(r"\bNone\b|\bnan\b")


def plan_rewards(plan: TrainerPlan, facts: Facts) -> RewardsScript:
    """Decide how the reward functions are called.

    Raises:
        Blocked: a reward is made in a way that cannot be called from the loop.
    """
    config = plan.config
    argument = plan.given("reward_funcs")
    if argument is None:
        raise Blocked("MM230", "the trainer is built without reward functions", plan.trainer.found)
    _check_models(plan, argument)
    level = LEVELS.index(str(facts["grpo_reward_arguments"]))
    text = plan.ledger.facts.text
    hidden = _is_hidden(plan, argument)
    weights = ""
    if config.has("reward_weights") and config.text("reward_weights") != "None":
        config.put("reward_weights", config.text("reward_weights") or "")
        weights = "config.reward_weights"
    config.exact("reward_weights", "total_rewards()" if weights else "nothing to do")
    columns = not (
        config.has("remove_unused_columns") and config.literal("remove_unused_columns") is True
    )
    config.exact("remove_unused_columns", "score()")
    unscored = str(facts["grpo_unscored"])
    return RewardsScript(
        given="list" if _handed(plan, argument) is not None else "any",
        columns=columns,
        completion_ids=level >= LEVELS.index("completion_ids"),
        trainer_state=level >= LEVELS.index("trainer_state")
        and (hidden or "trainer_state" in text),
        log_functions=level >= LEVELS.index("log_functions")
        and ("log_extra" in text or "log_metric" in text),
        may_wait=hidden or ASYNC.search(text) is not None,
        may_skip=unscored != "error" and (hidden or NONE.search(_functions(plan)) is not None),
        unscored=unscored,
        weights=weights,
        metric=str(facts["grpo_reward_metric"]),
        spread=str(facts["grpo_reward_std"]),
    )


def handed_rewards(plan: TrainerPlan) -> str:
    """Return the expression of the reward functions for the call of `train`."""
    argument = plan.arguments["reward_funcs"]
    return _handed(plan, argument) or argument.value.text


def decide_rewards(plan: TrainerPlan, argument: Argument) -> None:
    """Decide `reward_funcs`: called unchanged."""
    row = plan.ledger.tables.row(f"{plan.kind.trainer}.reward_funcs", plan.ledger.version)
    plan.ledger.exact(
        argument.found,
        row,
        f"{plan.names['score']}()",
        "called as they were, with the same arguments",
    )


def _handed(plan: TrainerPlan, argument: Argument) -> str | None:
    """Return a list as an expression, where it can be seen that it is one."""
    text = argument.value.text.strip()
    if text.startswith("["):
        return text
    name = argument.value.name
    if name is None:
        return None
    if _is_function(plan, name):
        return f"[{text}]"
    binding = plan.ledger.binding_of(name, plan.trainer.scope, plan.trainer.statement)
    if binding is not None and binding.value is not None:
        made = binding.value.text.strip()
        if made.startswith("["):
            return text
    return None


def _is_function(plan: TrainerPlan, name: str) -> bool:
    return any(item.name == name and item.scope == 0 for item in plan.ledger.facts.functions)


def _elements(plan: TrainerPlan, argument: Argument) -> list[ast.expr] | None:
    """Return the elements of the list of reward functions, where they can be seen."""
    text = _handed(plan, argument)
    if text is None:
        return None
    if not text.startswith("["):
        binding = plan.ledger.binding_of(text, plan.trainer.scope, plan.trainer.statement)
        assert binding is not None and binding.value is not None
        text = binding.value.text.strip()
    node = ast.parse(text, mode="eval").body
    return node.elts if isinstance(node, ast.List) else None


def _is_hidden(plan: TrainerPlan, argument: Argument) -> bool:
    """Say whether some reward function is not written in this file."""
    elements = _elements(plan, argument)
    if elements is None:
        return True
    return not all(
        isinstance(item, ast.Lambda) or (isinstance(item, ast.Name) and _is_function(plan, item.id))
        for item in elements
    )


def _functions(plan: TrainerPlan) -> str:
    """Return the text of the functions of the file."""
    tree = ast.parse(plan.ledger.facts.text)
    wanted = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
    return "\n".join(ast.unparse(node) for node in ast.walk(tree) if isinstance(node, wanted))


def _check_models(plan: TrainerPlan, argument: Argument) -> None:
    """A reward model is no function.

    Raises:
        Blocked: the script rewards with a model by name, or with one it has loaded.
    """
    elements = _elements(plan, argument)
    texts = [argument.value.text] if elements is None else [ast.unparse(item) for item in elements]
    for text in texts:
        is_name = text[:1] in {'"', "'"}
        if is_name or _is_model(plan, text):
            raise Blocked(
                "MM250",
                f"`{text}` is a reward model, which MinT does not serve; write a function that "
                "runs it and returns one reward for each completion",
                argument.found,
            )


def _is_model(plan: TrainerPlan, name: str) -> bool:
    if not name.isidentifier():
        return "from_pretrained(" in name
    binding = plan.ledger.binding_of(name, plan.trainer.scope, plan.trainer.statement)
    return (
        binding is not None
        and binding.value is not None
        and "from_pretrained(" in binding.value.text
    )


def say_logged(plan: TrainerPlan, rewards: RewardsScript) -> None:
    """Say what becomes of columns that reward functions log."""
    if rewards.log_functions and "log_extra" in plan.ledger.facts.text:
        plan.ledger.notices.append(
            "MM222: what reward functions hand to `log_extra` is not kept: the loop writes no "
            "table of completions"
        )
