"""What one launch of verl becomes in different releases: their own defaults, and what they read."""

from __future__ import annotations

import ast

import pytest
from mint_migrate.model.plan import Fidelity
from support.verl_launch import ACTOR, by_option, launched, script_of

GRPO = {"algorithm.adv_estimator": "grpo", "actor_rollout_ref.rollout.n": 4}


def field_of(text: str, name: str) -> object:
    """Return the default of a field of the emitted `Config`; None where there is none."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == name:
            assert node.value is not None
            return ast.literal_eval(node.value)
    return None


@pytest.mark.parametrize(
    ("release", "norm"),
    [("0.2", 2.0), ("0.7.1", 2.0), ("0.8.0.dev0", 2.0), ("0.8.0", 3.0), ("0.9.1", 3.0)],
)
def test_gradients_are_cut_to_the_norm_that_the_release_reads(release, norm):
    options = {f"{ACTOR}.grad_clip": 2.0, f"{ACTOR}.optim.clip_grad": 3.0}
    assert field_of(script_of(launched({**GRPO, **options}, release)), "grad_clip") == norm


@pytest.mark.parametrize(
    ("release", "seed"), [("0.2", 1), ("0.5.0", 1), ("0.6.1", None), ("0.9.1", None)]
)
def test_the_order_of_prompts_has_the_seed_of_the_release(release, seed):
    text = script_of(launched(GRPO, release))
    assert "data_seed: int | None = " in text
    assert field_of(text, "data_seed") == seed


@pytest.mark.parametrize("release", ["0.2", "0.3.0.post1", "0.5.0", "0.9.1"])
def test_weights_decay_as_the_workers_of_each_release_say(release):
    assert field_of(script_of(launched(GRPO, release)), "weight_decay") == 0.01


@pytest.mark.parametrize(
    ("release", "fidelity", "repeats"),
    [
        ("0.2", Fidelity.DROPPED, False),
        ("0.3.0.post1", Fidelity.EXACT, True),
        ("0.9.1", Fidelity.EXACT, True),
    ],
)
def test_a_rollout_is_passed_over_as_often_as_the_release_does(release, fidelity, repeats):
    result = launched({**GRPO, f"{ACTOR}.ppo_epochs": 3}, release)
    assert by_option(result)[f"{ACTOR}.ppo_epochs"].fidelity is fidelity
    assert ("* config.ppo_epochs" in script_of(result)) is repeats


def test_an_option_that_no_rule_carries_is_not_called_exact():
    key = "+custom_reward_function.reward_kwargs.scale"
    decision = by_option(launched({**GRPO, key: 2}, "0.5.0"))[key]
    assert (decision.fidelity, decision.code) == (Fidelity.MANUAL, "MM293")


@pytest.mark.parametrize("key", ["lora_rank", "lora.rank"])
def test_an_adapter_has_the_rank_that_its_engine_reads(key):
    result = launched({**GRPO, f"actor_rollout_ref.model.{key}": 16})
    assert by_option(result)[f"actor_rollout_ref.model.{key}"].fidelity is Fidelity.EXACT
    assert field_of(script_of(result), "lora_rank") == 16


@pytest.mark.parametrize(
    "options",
    [
        {"+data.apply_chat_template_kwargs.enable_thinking": False},
        {"data.apply_chat_template_kwargs": "{enable_thinking: false}"},
    ],
)
def test_the_chat_template_is_given_what_the_launch_gives_it(options):
    result = launched({**GRPO, **options})
    text = script_of(result)
    assert '{"enable_thinking": False}' in text
    assert "**config.apply_chat_template_kwargs" in text
    assert {by_option(result)[key].fidelity for key in options} == {Fidelity.EXACT}
