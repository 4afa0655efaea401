"""Rules: an environment of the user's that answers each turn of the policy.

Source: OpenRLHF `trainer/ray/vllm_engine_async.py`, `trainer/ppo_utils/experience_maker_async.py`
(0.8.5) and `utils/agent.py` (0.9.1, 0.11.2).
"""

from __future__ import annotations

import ast

from mint_migrate.launches.processes import Read
from mint_migrate.rules.base import Blocked
from mint_migrate.rules.launched.settings import Settings
from mint_migrate.rules.openrlhf.options import at_least

FIRST_WITH_CLASSES = "0.9"
FIRST_WITH_OWN_INSTANCE = "0.9.10"
"""Since then each conversation has an environment of its own; before, an engine has one for all."""
EXECUTOR = "AgentExecutor"


def plan_agent(settings: Settings, read: Read) -> str:
    """Return the form of the agent file: class | function; empty where there is none.

    Raises:
        Blocked: the file drives the sampling engine itself.
    """
    path = settings.value("agent_func_path")
    if path.data is None:
        settings.exact("agent_func_path", "nothing")
        return ""
    settings.use("agent_func_path", kind="str")
    text = read(str(path.data)) if path.is_known else None
    form = _form(text, settings)
    if form == "class" and not at_least(settings, FIRST_WITH_OWN_INSTANCE):
        settings.differ(
            "agent_func_path",
            "MM423",
            "every conversation has an environment of its own; in this release those of a sampling "
            "engine share one",
            "play_episode",
        )
    return form


def _form(text: str | None, settings: Settings) -> str:
    by_release = "class" if at_least(settings, FIRST_WITH_CLASSES) else "function"
    try:
        tree = ast.parse(text or "")
    except SyntaxError:
        return by_release
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name == EXECUTOR:
            _check_executor(node)
            return "class"
        if isinstance(node, ast.AsyncFunctionDef) and node.name == "step":
            return "function"
    return by_release


def _check_executor(executor: ast.ClassDef) -> None:
    bases = {ast.unparse(base).rpartition(".")[2] for base in executor.bases}
    own = {node.name for node in executor.body if isinstance(node, ast.AsyncFunctionDef)}
    if "MultiTurnAgentExecutor" not in bases or "execute" in own:
        raise Blocked(
            "MM408",
            f"`{EXECUTOR}` of the agent file drives the sampling engine itself; move what it does "
            "into `reset` and `step` of an AgentInstanceBase",
        )
