"""Rule: reward functions are called as they were; what they may need decides the adapter."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass

from mint_migrate.model.facts import Argument, Call
from mint_migrate.model.plan import Fidelity
from mint_migrate.model.rollouts_script import RewardsScript
from mint_migrate.rules.base import Blocked
from mint_migrate.rules.leftovers import KEPT
from mint_migrate.rules.trl.rollouts.provided import plan_provided
from mint_migrate.rules.trl.state import TrainerPlan

Facts = dict[str, str | bool | int | None]

LEVELS = ("columns", "completion_ids", "trainer_state", "log_functions")
"""What releases hand to a reward function; each adds to the one before."""
ASYNC = re.compile(r"\basync\s+def\b")
SKIPPING = frozenset({"accuracy_reward"})
"""Functions of TRL that give no reward to some completions."""
NONE = re.compile(r"\bNone\b|\bnan\b")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rewards:
    """The reward functions of a trainer, as far as the script shows them."""

    text: str
    """What the call of `train` is given."""
    is_list: bool
    """It is a list, as far as can be seen."""
    hidden: bool
    """Some function is not written in this file."""
    models: bool
    """Some rewards come from a model."""


def plan_rewards(plan: TrainerPlan, facts: Facts) -> RewardsScript:
    """Decide how the reward functions are called.

    Raises:
        Blocked: a reward is made in a way that cannot be called from the loop.
    """
    config = plan.config
    own = plan_provided(plan)
    rewards = find_rewards(plan)
    level = LEVELS.index(str(facts["grpo_reward_arguments"]))
    text = plan.ledger.facts.text
    weights = _weights(plan)
    columns = not (
        config.has("remove_unused_columns") and config.literal("remove_unused_columns") is True
    )
    config.exact("remove_unused_columns", "score()")
    unscored = str(facts["grpo_unscored"])
    skips = rewards.hidden or any(name in SKIPPING for name, _ in own)
    return RewardsScript(
        given="list" if rewards.is_list else "any",
        columns=columns,
        completion_ids=level >= LEVELS.index("completion_ids"),
        trainer_state=level >= LEVELS.index("trainer_state")
        and (rewards.hidden or "trainer_state" in text),
        log_functions=level >= LEVELS.index("log_functions")
        and ("log_extra" in text or "log_metric" in text),
        may_wait=rewards.hidden or ASYNC.search(text) is not None,
        may_skip=unscored != "error" and (skips or NONE.search(_functions(plan)) is not None),
        unscored=unscored,
        weights=weights,
        metric=str(facts["grpo_reward_metric"]),
        spread=str(facts["grpo_reward_std"]),
        partials="partial(" in text,
        models=rewards.models,
        own=own,
    )


def _weights(plan: TrainerPlan) -> str:
    config = plan.config
    weights = ""
    if config.has("reward_weights") and config.text("reward_weights") != "None":
        config.put("reward_weights", config.text("reward_weights") or "")
        weights = "config.reward_weights"
    config.exact("reward_weights", "total_rewards()" if weights else "nothing to do")
    return weights


def find_rewards(plan: TrainerPlan) -> Rewards:
    """Look at the reward functions; a model among them becomes a function.

    Raises:
        Blocked: there are none, or a model's tokenizer is given apart.
    """
    argument = plan.given("reward_funcs")
    if argument is None:
        if plan.given("environment_factory") is not None:
            return Rewards(text="[]", is_list=True, hidden=False, models=False)
        raise Blocked("MM230", "the trainer is built without reward functions", plan.trainer.found)
    elements = _elements(plan, argument)
    texts = [argument.value.text] if elements is None else [text for text, _ in elements]
    models = [text for text in texts if _is_model(plan, text)]
    if models and plan.given("reward_processing_classes") is not None:
        raise Blocked(
            "MM250",
            "`reward_processing_classes` beside a reward model is not converted; write a function "
            "that runs the model and returns one reward for each completion",
            plan.arguments["reward_processing_classes"].found,
        )
    text = argument.value.text.strip()
    if models:
        _keep_models(plan, models)
        role = plan.names["model_reward"]
        made = [f"{role}({one})" if one in models else one for one in texts]
        return Rewards(text=f"[{', '.join(made)}]", is_list=True, hidden=True, models=True)
    handed = _handed(plan, argument)
    return Rewards(
        text=handed or text,
        is_list=handed is not None,
        hidden=_is_hidden(plan, elements),
        models=False,
    )


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
    known = {item.name for item in plan.ledger.facts.functions if item.scope == 0}
    return name in known or name in plan.ledger.provided


def _elements(plan: TrainerPlan, argument: Argument) -> list[tuple[str, ast.expr]] | None:
    """Return text and tree of each reward function, where the list can be seen."""
    text = _handed(plan, argument)
    if text is None:
        return None
    if not text.startswith("["):
        binding = plan.ledger.binding_of(text, plan.trainer.scope, plan.trainer.statement)
        if binding is None or binding.value is None:
            return None
        text = binding.value.text.strip()
    node = ast.parse(text, mode="eval").body
    if not isinstance(node, ast.List):
        return None
    return [(ast.get_source_segment(text, item) or "", item) for item in node.elts]


def _is_hidden(plan: TrainerPlan, elements: list[tuple[str, ast.expr]] | None) -> bool:
    """Say whether some reward function is not written in this file."""
    if elements is None:
        return True
    return not all(_is_seen(plan, item) for _, item in elements)


def _is_seen(plan: TrainerPlan, item: ast.expr) -> bool:
    """Say whether a reward is a function of this file, or made by one."""
    called = item.func if isinstance(item, ast.Call) else item
    if isinstance(item, ast.Lambda):
        return True
    if not isinstance(called, ast.Name):
        return False
    if _is_function(plan, called.id):
        return True
    binding = plan.ledger.binding_of(called.id, plan.trainer.scope, plan.trainer.statement)
    if binding is None or binding.value is None or called is not item:
        return False
    made = ast.parse(binding.value.text.strip(), mode="eval").body
    return isinstance(made, ast.Call) and _is_seen(plan, made.func)


def _functions(plan: TrainerPlan) -> str:
    """Return the text of the functions of the file."""
    tree = ast.parse(plan.ledger.facts.text)
    wanted = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
    return "\n".join(ast.unparse(node) for node in ast.walk(tree) if isinstance(node, wanted))


def _is_model(plan: TrainerPlan, text: str) -> bool:
    """Say whether a reward is a model: a name of one, or one that the script loads."""
    if text[:1] in {'"', "'"}:
        return True
    return _maker(plan, text) is not None


def _maker(plan: TrainerPlan, text: str) -> Call | None:
    """Return the call that loads the classification model *text*."""
    if not text.isidentifier():
        return None
    binding = plan.ledger.binding_of(text, plan.trainer.scope, plan.trainer.statement)
    if binding is None or binding.value is None or binding.value.call is None:
        return None
    call = plan.ledger.call_of(binding.value.call)
    return call if "ForSequenceClassification" in call.qualified else None


def _keep_models(plan: TrainerPlan, models: list[str]) -> None:
    """A reward model stays on this machine, and the call that loads it as it is."""
    for text in models:
        call = _maker(plan, text)
        if call is not None and call.found not in plan.ledger.decisions:
            plan.ledger.decide_call(call, Fidelity.EXACT, None, KEPT)
    plan.ledger.notices.append(
        "MM250: the reward model is not served; it runs on the machine that runs the script"
    )


def imports_of_rewards(rewards: RewardsScript) -> set[str]:
    """Return the imports of reward functions that the result defines."""
    names = {name for name, _ in rewards.own}
    needed = {"import re"} if "think_format_reward" in names else set()
    if "accuracy_reward" in names:
        needed |= {"import math_verify", "from latex2sympy2_extended import NormalizationConfig"}
    if rewards.models:
        needed.add("import transformers")
    return needed


def say_logged(plan: TrainerPlan, rewards: RewardsScript) -> None:
    """Say what becomes of columns that reward functions log."""
    if rewards.log_functions and "log_extra" in plan.ledger.facts.text:
        plan.ledger.notices.append(
            "MM222: what reward functions hand to `log_extra` is not kept: the loop writes no "
            "table of completions"
        )
