"""RL launchers of OpenRLHF: flags of all releases are followed; what cannot be is refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from mint_migrate.fronts.launchers import migrate_launcher
from mint_migrate.model.outcome import Migrated
from mint_migrate.model.plan import Fidelity
from mint_migrate.model.source import Options, Source
from support.scripts import tables

RELEASES = tables().releases("openrlhf")
PROGRAMS = [
    (release, program)
    for program in ("train_ppo_ray", "train_ppo")
    for release in RELEASES
    if tables().config_keys("openrlhf", program, release)
]
BASE = {
    "pretrain": "Qwen/Qwen3-0.6B",
    "prompt_data": "prompts.jsonl",
    "remote_rm_url": "reward.py",
    "advantage_estimator": "rloo",
    "n_samples_per_prompt": 4,
}
VALUES: Mapping[str, Any] = {
    **BASE,
    "adam_betas": (0.8, 0.9),
    "eps_clip_low_high": (0.1, 0.3),
    "reward_clip_range": (-2, 2),
    "dynamic_filtering_reward_range": (0.1, 0.9),
    "vllm_is_truncated_threshold": (0.1, 0.9),
    "kl_estimator": "k2",
    "policy_loss_type": "gspo",
}
REFUSING = frozenset(
    {
        *("agent_func_path", "max_images_per_prompt", "actor.optim", "critic.optim"),
        *("eval_dataset", "lr_scheduler", "actor.lr_scheduler", "critic.lr_scheduler"),
    }
)
"""Left out where every flag is given: with a value of no sense they stop the conversion."""


def migrated(
    flags: Mapping[str, Any],
    release: str,
    *,
    program: str = "train_ppo_ray",
    ppo: str | None = None,
    files: Mapping[str, str] | None = None,
) -> Migrated:
    """Convert a launch. True is a flag without a value, a tuple one with several."""
    words = []
    for name, value in flags.items():
        values = value if isinstance(value, tuple) else (value,)
        words += [f"--{name}", *(str(item) for item in values if item is not True)]
    command = f"python3 -m openrlhf.cli.{program} {' '.join(words)}\n"
    source = Source(path="run.sh", content=command.encode(), text=command, newline="\n")
    options = Options(launched_version=("openrlhf", release, "said by the test"), ppo=ppo)
    outcome = migrate_launcher(source, options, tables(), (files or {}).get)
    assert isinstance(outcome, Migrated), outcome
    return outcome


def all_flags(release: str, program: str) -> dict[str, Any]:
    """Return every flag of a release with a value that is not its default."""
    first_names = {new: old for old, new in tables().renamed_flags(program).items()}
    flags: dict[str, Any] = {}
    for name in sorted(tables().config_keys("openrlhf", program, release)):
        known = first_names.get(name, name)
        row = tables().row(f"openrlhf.{program}.{name}", release)
        default = row.default_in(release) if row is not None else None
        if known in REFUSING or name in REFUSING:
            continue
        flags[name] = VALUES.get(known, True if default in {"True", "False"} else 7)
    return flags


@pytest.mark.parametrize(("release", "program"), PROGRAMS)
def test_every_flag_of_a_release_is_decided_and_followed(release, program):
    flags = all_flags(release, program)

    outcome = migrated(flags, release, program=program, ppo="critic-free")

    assert len(outcome.decisions) == len(flags)
    if outcome.text is not None:
        assert [item.found.name for item in outcome.decisions if item.code == "MM293"] == []


def test_a_critic_is_refused_unless_the_user_lets_it_go():
    flags = {**BASE, "advantage_estimator": "gae"}

    refused = migrated(flags, "0.9.1")
    converted = migrated(flags, "0.9.1", ppo="critic-free")

    assert refused.text is None
    assert {item.code for item in refused.decisions} == {"MM401"}
    assert converted.text is not None
    codes = {item.found.name: item.code for item in converted.decisions}
    assert codes["openrlhf.train_ppo_ray.advantage_estimator"] == "MM401"
    assert "MM401" in converted.text


REFUSED = [
    ({"remote_rm_url": None, "reward_pretrain": "org/model"}, "0.9.1", "MM403"),
    ({"advantage_estimator": None}, "0.9.1", "MM401"),
    ({"max_images_per_prompt": 2}, "0.10.0", "MM409"),
    ({"actor.optim": "muon"}, "0.11.2", "MM416"),
    ({"lr_scheduler": "polynomial"}, "0.9.1", "MM212"),
    ({"prompt_data": "load.py"}, "0.9.1", "MM407"),
]


@pytest.mark.parametrize(("changes", "release", "code"), REFUSED, ids=[row[2] for row in REFUSED])
def test_what_cannot_be_expressed_is_refused_with_its_reason(changes, release, code):
    flags = {name: value for name, value in {**BASE, **changes}.items() if value is not None}

    outcome = migrated(flags, release)

    assert outcome.text is None
    assert any(notice.startswith(code) for notice in outcome.notices)


def test_a_reward_of_unknown_kind_is_told_apart_when_the_result_runs():
    outcome = migrated({**BASE, "remote_rm_url": "$1"}, "0.9.1")

    assert outcome.text is not None
    assert 'if place.endswith(".py"):' in outcome.text
    assert "urlopen(" in outcome.text


EXECUTOR = """
class AgentExecutor(MultiTurnAgentExecutor):
    def __init__(self):
        super().__init__(AgentInstance)
"""
OWN = """
class AgentExecutor(AgentExecutorBase):
    async def execute(self, prompt, label, **kwargs):
        return await self.engine.generate(prompt)
"""
STEP = """
async def step(observation, action, label, **kwargs):
    return {}
"""


@pytest.mark.parametrize(
    ("text", "said"),
    [(EXECUTOR, "class AgentInstanceBase:"), (STEP, "async def mark_turns(")],
    ids=["class", "function"],
)
def test_the_form_of_an_agent_file_decides_how_it_is_driven(text, said):
    flags = {**BASE, "agent_func_path": "agent.py"}

    outcome = migrated(flags, "0.9.1", files={"agent.py": text})

    assert outcome.text is not None
    assert said in outcome.text


def test_an_agent_that_drives_the_engine_itself_is_refused():
    flags = {**BASE, "agent_func_path": "agent.py"}

    outcome = migrated(flags, "0.11.2", files={"agent.py": OWN})

    assert outcome.text is None
    assert any(notice.startswith("MM408") for notice in outcome.notices)


def test_rollouts_that_do_not_fill_steps_leave_samples_for_the_next():
    even = migrated({**BASE, "rollout_batch_size": 32, "train_batch_size": 64}, "0.9.1")
    uneven = migrated({**BASE, "rollout_batch_size": 32, "train_batch_size": 60}, "0.9.1")

    assert even.text is not None
    assert uneven.text is not None
    assert "waiting" not in even.text
    assert "mini_batches, waiting = split(waiting" in uneven.text


def test_the_key_of_a_tracker_is_not_copied():
    outcome = migrated({**BASE, "use_wandb": "0123456789abcdef"}, "0.9.1")

    assert outcome.text is not None
    assert "0123456789abcdef" not in outcome.text
    (decision,) = [item for item in outcome.decisions if item.found.name.endswith("use_wandb")]
    assert decision.fidelity is Fidelity.DROPPED


CALLS = [
    ("0.5.9", "reward_func(\n        [sample.text for sample in samples],\n", '"label"] for'),
    ("0.8.5", '[sample.row["label"] for sample in samples],', "judge"),
    ("0.9.1", "scores[number] or rewards[number]", "end_responses"),
    ("0.11.2", '[sample.row["prompt_text"]], [sample.row["label"]])', " or rewards[number]"),
]


@pytest.mark.parametrize(("release", "there", "absent"), CALLS, ids=[row[0] for row in CALLS])
def test_a_reward_function_is_called_as_its_release_does(release, there, absent):
    text = migrated(BASE, release).text

    assert text is not None
    assert there in text
    assert absent not in text
