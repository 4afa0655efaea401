"""Rules: prompts that are left out because all their responses are equal; long responses.

Source: verl `recipe/dapo/dapo_ray_trainer.py` and `workers/reward_manager/dapo.py` (to 0.7),
`trainer/ppo/v1/replay_buffer.py` and `experimental/reward_loop/reward_manager/dapo.py` (0.9.1).
"""

from __future__ import annotations

from typing import Final

from mint_migrate.model.verl_math import GroupFilter, Overlong
from mint_migrate.rules.base import Blocked
from mint_migrate.rules.launched.settings import Settings
from mint_migrate.tables.versions import version_key

FILTER: Final = "algorithm.filter_groups"
TOTALS: Final = frozenset({"reward", "seq_reward", "seq_final_reward"})
"""Metrics that are the score, with what long responses lose."""
MANAGERS: Final = (
    "reward.reward_manager.name",
    "reward_manager.name",
    "reward_model.reward_manager",
)
OVERLONG: Final = (
    "reward.reward_kwargs.overlong_buffer_cfg",
    "reward_model.reward_kwargs.overlong_buffer_cfg",
    "reward_model.overlong_buffer",
)


def plan_group_filter(settings: Settings) -> GroupFilter | None:
    """Decide which prompts are replaced.

    Raises:
        Blocked: it is not said by what responses are compared.
    """
    names = ("enable", "metric", "max_num_gen_batches", "max_inflight_gen_batches")
    reads = _is_recipe(settings) or bool(settings.value("trainer.use_v1").data)
    if not reads or not settings.known(f"{FILTER}.enable"):
        note = "no prompt is left out" if reads else "only `main_dapo` of this release reads it"
        for name in names:
            settings.exact(f"{FILTER}.{name}", "nothing", note)
        settings.exact("data.gen_batch_size", "nothing", note)
        return None
    metric = settings.known(f"{FILTER}.metric")
    if metric is None:
        raise Blocked("MM349", f"`{FILTER}.enable` needs `{FILTER}.metric`")
    for name in ("enable", "metric"):
        settings.exact(f"{FILTER}.{name}", "fill_rollout")
    if metric == "seq_final_reward" and settings.value("algorithm.use_kl_in_reward").data:
        settings.differ(
            f"{FILTER}.metric",
            "MM346",
            "responses are compared before the divergence is taken from their reward",
            "fill_rollout",
        )
    settings.drop(f"{FILTER}.max_inflight_gen_batches", "MM346", "batches are sampled in turn")
    if not _is_recipe(settings):
        settings.exact(f"{FILTER}.max_num_gen_batches", "nothing", "this release ignores it")
        settings.differ(
            f"{FILTER}.enable",
            "MM346",
            "prompts that are left out are replaced by the next batch of prompts; the original "
            "replaces each as soon as it is known",
            "fill_rollout",
        )
    if settings.value("trainer.resume_mode").data != "disable":
        settings.differ(
            f"{FILTER}.enable",
            "MM346",
            "a run that is resumed goes on after as many batches of prompts as it has taken "
            "rollouts; the original knows how many batches were sampled",
            "fill_rollout",
        )
    return GroupFilter(
        metric=_metric(str(metric)),
        name=str(metric),
        max_batches=_max_batches(settings) if _is_recipe(settings) else "",
        batch_size=_batch_size(settings),
    )


def _is_recipe(settings: Settings) -> bool:
    return settings.owner.entry == "main_dapo"


def _metric(name: str) -> str:
    """Return what is compared of a `sample`."""
    return "sample.score" if name in TOTALS else f'sample.extra["{name}"]'


def _max_batches(settings: Settings) -> str:
    key = f"{FILTER}.max_num_gen_batches"
    if not settings.value(key).data:
        settings.exact(key, "nothing", "as many as it takes")
        return ""
    return settings.use(key, kind="int")


def _batch_size(settings: Settings) -> str:
    key = "data.gen_batch_size"
    size = settings.value(key)
    if size.data is None:
        return "config.train_batch_size"
    return settings.use(key, kind="int", comment="prompts that are sampled at once")


def plan_overlong(settings: Settings) -> Overlong | None:
    """Decide what long responses lose: only the manager `dapo` takes it from them."""
    name = settings.first(*MANAGERS)
    is_default = _is_recipe(settings) and not settings.is_given(name)
    manager = "dapo" if is_default else settings.value(name).data
    prefix = next((item for item in OVERLONG if settings.is_given(f"{item}.enable")), OVERLONG[0])
    reads = manager == "dapo" and (_is_recipe(settings) or prefix != OVERLONG[2])
    if not reads or not settings.known(f"{prefix}.enable"):
        note = "no overlong buffer is used" if reads else "this entry point does not read it"
        for part in ("enable", "len", "penalty_factor", "log"):
            settings.exact(f"{prefix}.{part}", "nothing", note)
        return None
    settings.exact(f"{prefix}.enable", "overlong_penalty")
    is_moved = version_key(settings.version) >= version_key("0.9") and prefix != OVERLONG[0]
    if is_moved and not _is_recipe(settings):
        settings.differ(
            f"{prefix}.enable",
            "MM308",
            f"verl {settings.version} does not look at `{prefix}`; in the result long responses "
            "lose reward, as the options say",
            "overlong_penalty",
        )
    settings.drop(f"{prefix}.log", "MM346", "the penalty is part of the recorded reward")
    longest = "config.max_response_length"
    limit = prefix.rpartition(".")[0] + ".max_resp_len"
    if settings.is_given(limit):
        longest = settings.use(limit, "max_resp_len", kind="int")
    return Overlong(
        longest=longest,
        buffer=settings.use(f"{prefix}.len", "overlong_buffer_len", kind="int"),
        factor=settings.use(f"{prefix}.penalty_factor", "overlong_penalty_factor", kind="float"),
    )
