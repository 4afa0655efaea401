"""Rule: RLOO before 0.22, with a reward model, a reference and `rloo_k` responses to a prompt."""

from __future__ import annotations

from mint_migrate.model.ppo_script import EpisodesScript
from mint_migrate.rules.trl.config import ConfigPlan
from mint_migrate.rules.trl.episodes.plan import FIELDS, plan_episodes
from mint_migrate.rules.trl.state import TrainerPlan

OLD_FIELDS = FIELDS | {
    "rloo_k",
    "normalize_reward",
    "normalize_advantage",
    "reward_clip_range",
    "token_level_kl",
    "whiten_rewards",
    "gamma",
    "lam",
    "vf_coef",
    "cliprange_value",
}
"""Fields that this rule decides."""
UNREAD = ("whiten_rewards", "gamma", "lam", "vf_coef", "cliprange_value")
"""Fields that the configuration had and the trainer never looked at."""


def plan_old_rloo(plan: TrainerPlan) -> EpisodesScript:
    """Decide the options of RLOO before 0.22.

    Raises:
        Blocked: the loop depends on something that cannot be seen.
    """
    config = plan.config
    for name in UNREAD:
        config.exact(name, "nothing to do", "the original did not read it")
    loop, episodes = plan_episodes(plan, "RLOO", multiplies=True, averages_tokens=False)
    if config.has("rloo_k"):
        config.keep("rloo_k")
    config.need("rloo_k")
    normalizes = _flag(config, "normalize_reward")
    if normalizes:
        if config.has("reward_clip_range"):
            config.keep("reward_clip_range")
        config.need("reward_clip_range")
    config.exact("reward_clip_range", "nothing to do", "rewards are not normalized")
    config.exact(
        "token_level_kl", "compute_advantages()", "the sum over a response is the same either way"
    )
    return EpisodesScript(
        **loop,
        **episodes,
        algorithm="rloo",
        normalizes_rewards=normalizes,
        normalizes_advantages=_flag(config, "normalize_advantage"),
    )


def _flag(config: ConfigPlan, name: str) -> bool:
    if config.row(name) is None and not config.has(name):
        return False
    value = bool(config.literal(name))
    config.exact(name, "compute_advantages()")
    return value
