"""Rules: where scores come from: a function of the user's, or verl's own by data source."""

from __future__ import annotations

import ast

from mint_migrate.fronts.processes import Read
from mint_migrate.model.verl_script import RewardScript
from mint_migrate.rules.base import Blocked
from mint_migrate.rules.launched.settings import Settings

FAMILIES = ("reward.custom_reward_function", "custom_reward_function")


def plan_reward(settings: Settings, read: Read) -> RewardScript:
    """Decide the options of the reward.

    Raises:
        Blocked: a reward model scores.
    """
    if settings.value("reward_model.enable").data or settings.value("reward.enable").data:
        raise Blocked("MM306", "a reward model scores the responses; MinT has no scalar head")
    family = next((item for item in FAMILIES if settings.is_given(f"{item}.path")), None)
    if family is None or settings.value(f"{family}.path").data is None:
        settings.notices.append(
            "scores come from `verl.utils.reward_score` by data source, so verl stays installed"
        )
        return RewardScript(kind="default")
    settings.use(f"{family}.path", "reward_path")
    name = settings.value(f"{family}.name")
    settings.add_field("reward_name", name.text if name.data else '"compute_score"', "str")
    settings.exact(f"{family}.name", "config.reward_name")
    path = settings.value(f"{family}.path")
    text = read(str(path.data)) if path.is_known else None
    return RewardScript(kind="function", is_async=_is_async(text, name.data or "compute_score"))


def _is_async(text: str | None, name: object) -> bool:
    try:
        tree = ast.parse(text or "")
    except SyntaxError:
        return False
    return any(isinstance(node, ast.AsyncFunctionDef) and node.name == name for node in tree.body)
