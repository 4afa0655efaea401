"""Rules: where scores come from, and what is taken from them.

Source: OpenRLHF `utils/remote_rm_utils.py` (0.6.4, 0.8.5), `utils/agent.py` and
`trainer/ppo_utils/length_penalty.py` (0.11.2).
"""

from __future__ import annotations

import re

from mint_migrate.model.openrlhf_script import RewardScript
from mint_migrate.rules.base import Blocked
from mint_migrate.rules.launched.settings import Settings
from mint_migrate.rules.openrlhf.options import at_least, fact, field_of
from mint_migrate.rules.openrlhf.prompts import FIRST_WITH_TOTAL_LENGTH, new_tokens_key

MODEL = ("reward_pretrain", "reward_num_nodes", "reward_num_gpus_per_node")


def plan_reward(settings: Settings, *, is_agent: bool) -> RewardScript:
    """Decide the options of the reward.

    Raises:
        Blocked: a reward model scores, or nothing does.
    """
    settings.exact("normalize_reward", "nothing", "it is about reward models that are loaded here")
    if is_agent:
        for key in ("remote_rm_url", *MODEL):
            settings.exact(key, "nothing", "the environment of the agent file gives rewards")
        return RewardScript(kind="agent", one_by_one=True)
    remote = settings.value("remote_rm_url")
    if remote.given is None or remote.data is None:
        name = settings.value("reward_pretrain").text
        raise Blocked(
            "MM403",
            f"the reward model {name} scores the responses; MinT has no scalar head: serve it "
            "elsewhere and name its address, or a file with a `reward_func`, in `--remote_rm_url`",
        )
    for key in MODEL:
        settings.exact(key, "nothing", "scores come from --remote_rm_url")
    settings.use("remote_rm_url", kind="str")
    return RewardScript(
        kind=_kind(settings),
        one_by_one=bool(fact(settings, "responses_are_scored_alone")),
        takes_labels="labels" in str(fact(settings, "reward_function_arguments")),
        zero_counts=bool(fact(settings, "score_of_zero_counts")),
    )


def _kind(settings: Settings) -> str:
    """Return what scores: a file, one or more servers, or either where only the shell knows."""
    text = settings.value("remote_rm_url").text
    if re.search(r"\.py\b[\"')]*$", text):
        return "function"
    return "http" if "://" in text else "any"


def plan_penalties(settings: Settings) -> tuple[str, bool]:
    """Return the longest response, where long ones lose, and whether those cut off do."""
    longest = ""
    if settings.value("overlong_buffer_len").data is not None:
        settings.use("overlong_buffer_len", kind="float", comment="tokens")
        field_of(settings, "overlong_penalty_factor", "1.0", "float")
        longest = "config.generate_max_len"
        if at_least(settings, FIRST_WITH_TOTAL_LENGTH):
            has_length = settings.value(new_tokens_key(settings)).data is not None
            longest = "config.max_new_tokens" if has_length else "config.max_len"
    else:
        settings.exact("overlong_penalty_factor", "nothing", "there is no buffer")
    stops = settings.value("stop_properly_penalty_coef").data is not None
    if stops:
        settings.use("stop_properly_penalty_coef", kind="float")
    return longest, stops
