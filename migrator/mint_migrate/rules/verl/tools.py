"""Rules: tools that answer between the turns of the policy.

The user's tool classes are called as the agent loop of the release calls them. Only the policy's
tokens are trained on, so losses and advantages are those of its tokens alone.

Source: verl `experimental/agent_loop/tool_agent_loop.py`, `tools/` (0.7.0, 0.8.0, 0.9.1).
"""

from __future__ import annotations

from mint_migrate.model.verl_math import Advantages
from mint_migrate.model.verl_script import ToolsScript
from mint_migrate.rules.launched.settings import Settings
from mint_migrate.tables.versions import version_key

TURNS = "actor_rollout_ref.rollout.multi_turn"
AGENT = "actor_rollout_ref.rollout.agent.default_agent_loop"
FIRST = "0.7"
"""Earlier releases hold conversations in other ways."""
RECENT = "0.8"
_ESTIMATORS = frozenset({"grpo", "rloo", "reinforce_plus_plus_baseline"})
"""Those that give all tokens of a response one advantage, whatever stands between them."""
_ELSEWHERE = ("interaction_config_path", "function_tool_path", "completion_callback")


def plan_tools(settings: Settings, advantages: Advantages, *, is_plain: bool) -> ToolsScript | None:
    """Decide the options of conversations; None where there are none, or for a person to write.

    Args:
        settings: the options of the launch.
        advantages: how responses are compared.
        is_plain: rollouts are not filtered, and scores do not depend on lengths.
    """
    switch = f"{TURNS}.enable"
    if not settings.is_given(switch) or settings.value(switch).data is not True:
        switch = AGENT
        if not settings.is_given(AGENT) or settings.value(AGENT).data != "tool_agent":
            return None
    hindrance = _hindrance(settings, advantages, is_plain=is_plain)
    if hindrance:
        settings.manual(
            switch,
            "MM312",
            f"several turns, which the script does not hold: {hindrance}; it samples one response "
            "for each prompt",
        )
        return None
    is_recent = version_key(settings.version) >= version_key(RECENT)
    side = str(settings.known(f"{TURNS}.tool_response_truncate_side") or "middle")
    sides = {"left": "end", "right": "start"} if is_recent else {"left": "start", "right": "end"}
    _plan_fields(settings)
    settings.differ(
        switch,
        "MM381",
        "what tools answer becomes tokens with the chat template, between turns as they were "
        "sampled; `agent_data`, which a tool may read, is the `Sample` so far, and images of "
        "tools are not seen",
        "play_episode",
    )
    return ToolsScript(
        registry="verl.tools.tool_registry" if is_recent else "verl.tools.utils.tool_registry",
        is_recent=is_recent,
        error="Error executing tool '{name}'" if is_recent else "Error when executing tool",
        keeps=sides.get(side, "both"),
    )


def _hindrance(settings: Settings, advantages: Advantages, *, is_plain: bool) -> str:
    """Return why a person has to write the turns, empty where the script holds them."""
    if version_key(settings.version) < version_key(FIRST):
        return f"verl {settings.version} holds conversations in a way of its own"
    if settings.value(f"{TURNS}.tool_config_path").data is None:
        return "no `tool_config_path` is given"
    other = next((key for key in _ELSEWHERE if _is_set(settings, f"{TURNS}.{key}")), None)
    if other is not None:
        return f"`{other}` answers in a way of its own"
    form = settings.value(f"{TURNS}.format").data
    if form not in {"hermes", None}:
        return f"calls of the form `{form}` are not read"
    agent = settings.value(AGENT)
    if agent.data not in {"tool_agent", "single_turn_agent", None}:
        return f"the agent loop {agent.text} is one of your own"
    if advantages.estimator not in _ESTIMATORS:
        return f"`{advantages.estimator}` looks at the places of tokens"
    return "" if is_plain else "rollouts are filtered, or scores depend on lengths"


def _is_set(settings: Settings, key: str) -> bool:
    return settings.is_given(key) and settings.value(key).data is not None


def _plan_fields(settings: Settings) -> None:
    settings.use(f"{TURNS}.tool_config_path", kind="str")
    for key in ("max_assistant_turns", "max_user_turns"):
        settings.use(f"{TURNS}.{key}", kind="int | None")
    settings.use(f"{TURNS}.max_parallel_calls", kind="int", comment="of a turn")
    settings.use(f"{TURNS}.max_tool_response_length", kind="int", comment="characters")
    settings.use(AGENT, kind="str", comment="of rows without `agent_name`")
    for key in (*_ELSEWHERE, "format", "tool_response_truncate_side"):
        settings.exact(f"{TURNS}.{key}", "play_episode")
