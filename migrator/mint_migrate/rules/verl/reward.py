"""Rules: where scores come from: a function of the user's, or rules by data source.

Source: verl `trainer/ppo/reward.py` and `workers/reward_manager/` (0.2 to 0.8),
`experimental/reward_loop/` (0.9.1).
"""

from __future__ import annotations

import ast
from dataclasses import replace

from mint_migrate.launches.processes import Read
from mint_migrate.model.verl_script import RewardScript
from mint_migrate.rules.base import Blocked
from mint_migrate.rules.launched.settings import Settings
from mint_migrate.rules.verl.scorers import find_evidence
from mint_migrate.tables.versions import version_key

FAMILIES = ("reward.custom_reward_function", "custom_reward_function")
MANAGERS = (*("reward.reward_manager.name", "reward_manager.name", "reward_model.reward_manager"),)
FORK = "verl/utils/reward_score/__init__.py"


def plan_reward(settings: Settings, read: Read) -> RewardScript:
    """Decide the options of the reward.

    Raises:
        Blocked: a reward model or a manager of the user's own scores.
    """
    _check_models(settings)
    manager = _plan_manager(settings)
    settings.use("data.reward_fn_key", "reward_fn_key", kind="str")
    if not settings.fields["reward_fn_key"].default.strip("\"'").replace("None", ""):
        settings.add_field("reward_fn_key", '"data_source"', "str")
    first_release = version_key(settings.version) < version_key("0.3")
    family = next((item for item in FAMILIES if settings.is_given(f"{item}.path")), None)
    if family is None or settings.value(f"{family}.path").data is None:
        script = _by_source(settings, read)
    else:
        script = _own_function(settings, read, family)
    return replace(
        script,
        manager=manager,
        takes_extra=script.takes_extra and not first_release,
        with_prompt=first_release,
    )


def _check_models(settings: Settings) -> None:
    for key in ("reward_model.enable", "reward.reward_model.enable"):
        if settings.value(key).data:
            raise Blocked("MM306", "a reward model scores the responses; MinT has no scalar head")
        settings.exact(key, "nothing", "no reward model is used")


def _plan_manager(settings: Settings) -> str:
    key = settings.first(*MANAGERS)
    name = settings.known(key) or "naive"
    if name not in {"naive", "batch", "prime", "dapo", "gdpo"}:
        raise Blocked(
            "MM315", f"`{name}` is a reward manager of your own; write its score as a function"
        )
    settings.exact(key, "score_samples")
    if name == "gdpo":
        settings.differ(
            key,
            "MM315",
            "`extra_info` does not hold the `experiment_name` that the manager `gdpo` adds",
            "score_samples",
        )
    if name == "prime":
        settings.differ(
            key,
            "MM315",
            "responses are scored one after the other without the time limit of the `prime` "
            "manager, which gave 0 to a response whose score took too long",
            "score_samples",
        )
    return "batch" if name == "batch" else "naive"


def _own_function(settings: Settings, read: Read, family: str) -> RewardScript:
    settings.use(f"{family}.path", "reward_path")
    name = settings.value(f"{family}.name")
    settings.add_field("reward_name", name.text if name.data else '"compute_score"', "str")
    settings.exact(f"{family}.name", "config.reward_name")
    if family == "custom_reward_function" and settings.version.startswith("0.9"):
        settings.differ(
            f"{family}.path",
            "MM308",
            f"verl {settings.version} does not look at `{family}.path` and scores by data source; "
            "the result calls your function",
            "config.reward_path",
        )
    passes = _plan_kwargs(settings, family)
    path = settings.value(f"{family}.path")
    function = _function(read(str(path.data)) if path.is_known else None, name.data)
    return RewardScript(
        kind="function",
        is_async=isinstance(function, ast.AsyncFunctionDef),
        takes_extra=function is None or _takes(function, "extra_info"),
        passes=passes,
    )


def _plan_kwargs(settings: Settings, family: str) -> tuple[str, ...]:
    """Return the further arguments of the function as keywords of its call."""
    prefix = f"{family}.reward_kwargs"
    found = []
    for key in [*settings.given]:
        if key.startswith(f"{prefix}."):
            name = key.removeprefix(f"{prefix}.")
            found.append(f"{name}={settings.use(key, f'reward_{name}')}")
        elif key == prefix:
            found.append(f"**{settings.use(key, 'reward_kwargs', kind='dict')}")
    return tuple(found)


def _function(text: str | None, name: object) -> ast.FunctionDef | ast.AsyncFunctionDef | None:
    """Return the definition of the function in the text of its file."""
    try:
        tree = ast.parse(text or "")
    except SyntaxError:
        return None
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    functions = [node for node in tree.body if isinstance(node, kinds)]
    return next((node for node in functions if node.name == (name or "compute_score")), None)


def _takes(function: ast.FunctionDef | ast.AsyncFunctionDef, name: str) -> bool:
    names = {item.arg for item in (*function.args.args, *function.args.kwonlyargs)}
    return function.args.kwarg is not None or name in names


def _by_source(settings: Settings, read: Read) -> RewardScript:
    """Score by data source: by rules that the result brings, else by verl's own function."""
    fork = read(FORK)
    if fork is not None:
        settings.notices.append(
            f"scores come from your `{FORK}`, which the result imports unchanged"
        )
        return RewardScript(kind="default", fallback=_scorer_of(fork))
    fallback = "default_compute_score"
    if version_key(settings.version) < version_key("0.3"):
        fallback = "_default_compute_score"
    evidence = find_evidence(settings, read)
    settings.notices.append(evidence.notice)
    if not evidence.scorers or evidence.left:
        shown = f" (`{'`, `'.join(evidence.left)}`)" if evidence.left else ""
        settings.differ(
            "data.reward_fn_key",
            "MM309",
            f"scores come from `verl.utils.reward_score` by data source{shown}: verl stays "
            "installed",
        )
    return RewardScript(kind="default", scorers=evidence.scorers, fallback=fallback)


def _scorer_of(text: str) -> str:
    """Return the name of the function of a fork that scores by data source."""
    names = ("default_compute_score", "_default_compute_score")
    return next((name for name in names if f"def {name}(" in text), names[0])
