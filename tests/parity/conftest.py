"""What all parity tests share: the hosted service's limits, and which of them are long.

Every server that a parity test starts leaves out what the hosted service lacks.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from mint_migrate.bridge.runtime import PROFILE_VARIABLE


@pytest.fixture(scope="module", autouse=True)
def hosted_profile() -> Iterator[None]:
    """Hand the profile to the processes that a module starts: what trains here, trains there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(PROFILE_VARIABLE, "hosted")
        yield


CORE = frozenset(
    {
        *("sft_minimal", "sft_prompt_completion_chat", "sft_accumulation", "sft_packed"),
        *("dpo_minimal", "kto_unpaired", "orpo_minimal", "simpo_full", "grpo_minimal"),
        *("grpo_kl", "rloo_functions", "online_dpo_rewards", "hf_arg_parser"),
    }
)
"""Scripts that stand for their trainers in every run."""
LAUNCHED = frozenset(
    {
        *("grpo_gsm8k", "rloo_kl_in_reward", "dapo_ray", "remax", "sft_gsm8k", "sft_engine"),
        *("generation", "reinforce_ray", "agent_turns", "sft_chats_dotted", "dpo", "kto"),
    }
)
"""Launchers that stand for their entry points in every run."""
RELEASES = ("0.11.4", "0.19.1")
"""Releases that stand for the old ones."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what a run beside other checks leaves out: `-m "parity and not long"`."""
    for item in items:
        standing = {"test_verify_fixtures.py": CORE, "test_train_launchers.py": LAUNCHED}
        if item.path.name in standing:
            case = getattr(item, "callspec", None)
            is_core = case is None or case.params.get("case", "") in {
                *standing[item.path.name],
                "",
            }
        elif item.path.name == "test_old_releases.py":
            is_core = any(release in item.name for release in RELEASES)
        else:
            is_core = True
        if not is_core:
            item.add_marker(pytest.mark.long)
