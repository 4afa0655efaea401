"""Prompts that are replaced, and long responses that lose reward, release by release."""

from __future__ import annotations

import ast

import pytest
from mint_migrate.model.plan import Fidelity
from support.verl_launch import by_option, launched, script_of

GRPO = {"algorithm.adv_estimator": "grpo", "actor_rollout_ref.rollout.n": 4}
DAPO = {
    "algorithm.filter_groups.enable": True,
    "algorithm.filter_groups.metric": "acc",
    "algorithm.filter_groups.max_num_gen_batches": 10,
}


@pytest.mark.parametrize(
    ("release", "fills", "code"), [("0.9.1", True, "MM346"), ("0.5.0", False, None)]
)
def test_prompts_are_replaced_where_the_release_does_it(release, fills, code):
    result = launched({**GRPO, **DAPO}, release)

    assert ("def fill_rollout(" in script_of(result)) is fills
    assert by_option(result)["algorithm.filter_groups.enable"].code == code


@pytest.mark.parametrize(
    ("release", "prefix", "manager", "shapes"),
    [
        ("0.5.0", "reward_model.reward_kwargs.overlong_buffer_cfg", "dapo", True),
        ("0.5.0", "reward_model.reward_kwargs.overlong_buffer_cfg", "naive", False),
        ("0.5.0", "reward_model.overlong_buffer", "dapo", False),
        ("0.9.1", "reward.reward_kwargs.overlong_buffer_cfg", "dapo", True),
    ],
)
def test_long_responses_lose_reward_where_the_manager_takes_it(release, prefix, manager, shapes):
    name = "reward.reward_manager.name" if release == "0.9.1" else "reward_model.reward_manager"
    options = {
        name: manager,
        f"+{prefix}.enable": True,
        f"+{prefix}.len": 8,
        f"+{prefix}.penalty_factor": 0.5,
        f"+{prefix.rpartition('.')[0]}.max_resp_len": 24,
    }
    text = script_of(launched({**GRPO, **options}, release))

    assert ("def overlong_penalty(" in text) is shapes
    if not shapes:
        return
    space: dict[str, object] = {}
    function = next(
        node for node in ast.parse(text).body if getattr(node, "name", "") == "overlong_penalty"
    )
    exec(f"class Config: pass\n{ast.unparse(function)}", space)
    config = type(
        "C", (), {"max_resp_len": 24, "overlong_buffer_len": 8, "overlong_penalty_factor": 0.5}
    )
    # verl: min(0, -(length - (24 - 8)) / 8 * 0.5)
    lost = [space["overlong_penalty"](length, config) for length in (1, 16, 20, 24)]  # type: ignore[operator]
    assert lost == [0.0, 0.0, -0.25, -0.5]


@pytest.mark.parametrize("release", ["0.5.0", "0.9.1"])
def test_the_recipe_of_dapo_keeps_its_own_rules_in_each_release(release):
    options = {
        **GRPO,
        **DAPO,
        "data.gen_batch_size": 48,
        "trainer.resume_mode": "disable",
        "reward_model.overlong_buffer.enable": True,
        "reward_model.overlong_buffer.len": 8,
        "reward_model.overlong_buffer.penalty_factor": 1.0,
    }
    result = launched(options, release, entry="recipe.dapo.main_dapo")

    mine = {key: by_option(result)[key] for key in options}
    assert {item.fidelity for item in mine.values()} == {Fidelity.EXACT}
    text = script_of(result)
    assert 'values = [sample.extra["acc"] for sample in group]' in text
    assert "if 0 < config.max_num_gen_batches <= num_batches:" in text
    assert "yield order[first : first + config.gen_batch_size]" in text
    assert "steps_per_epoch = len(rows) // config.gen_batch_size" in text
    assert "sample.score += overlong_penalty(len(sample.tokens), config)" in text


def test_a_filter_of_prompts_says_what_a_resumed_run_does():
    result = launched({**GRPO, **DAPO}, entry="recipe.dapo.main_dapo")

    decision = by_option(result)["algorithm.filter_groups.enable"]
    assert (decision.fidelity, decision.code) == (Fidelity.APPROXIMATE, "MM346")
    assert "a run that is resumed goes on" in script_of(result)
