"""What the options of verl's mathematics become, release by release."""

from __future__ import annotations

import ast

import pytest
from mint_migrate.model.plan import Fidelity
from support.verl_launch import ACTOR, LAUNCH, by_option, launched, script_of

GRPO = {"algorithm.adv_estimator": "grpo", "actor_rollout_ref.rollout.n": 4}
ONCE = {"data.train_batch_size": 8}
"""One optimizer step for each rollout."""
BYPASS = {
    "algorithm.rollout_correction.bypass_mode": True,
    "algorithm.rollout_correction.loss_type": "reinforce",
    "algorithm.rollout_correction.rollout_is": "token",
}


def field_of(text: str, name: str) -> object:
    """Return the default of a field of the emitted `Config`; None where there is none."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == name:
            assert node.value is not None
            return ast.literal_eval(node.value)
    return None


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"algorithm.adv_estimator": "gae"}, "MM301"),
        ({"algorithm.adv_estimator": None}, "MM301"),
        ({"algorithm.adv_estimator": "optimal_token_baseline"}, "MM303"),
        ({"algorithm.adv_estimator": "tir_optimal_token_baseline"}, "MM303"),
        ({"algorithm.adv_estimator": "mine"}, "MM349"),
        ({"algorithm.adv_estimator": "gdpo"}, "MM349"),
        ({f"{ACTOR}.policy_loss.loss_mode": "mine"}, "MM349"),
        ({f"{ACTOR}.policy_loss.loss_mode": "dro"}, "MM349"),
        ({f"{ACTOR}.loss_agg_mode": "mean"}, "MM349"),
        ({f"{ACTOR}.use_kl_loss": True, f"{ACTOR}.kl_loss_type": "full"}, "MM304"),
        ({"algorithm.use_kl_in_reward": True, "algorithm.kl_penalty": "full"}, "MM304"),
        ({**BYPASS, "algorithm.rollout_correction.rollout_is": "geometric"}, "MM344"),
        (
            {
                **BYPASS,
                "algorithm.rollout_correction.rollout_rs": "geometric",
                "algorithm.rollout_correction.rollout_rs_threshold": 2.0,
            },
            "MM344",
        ),
    ],
)
def test_what_cannot_be_computed_is_refused_with_a_reason(options, code):
    result = launched({**GRPO, **options})

    assert result.text is None
    assert any(notice.startswith(f"{code}: ") for notice in result.notices)
    assert {item.fidelity for item in result.decisions} == {Fidelity.MANUAL}


@pytest.mark.parametrize(
    ("release", "options", "penalizes"),
    [
        ("0.2", {}, True),
        ("0.3.0.post1", {}, True),
        ("0.2", {f"{ACTOR}.use_kl_loss": True}, False),
        ("0.4.1", {}, False),
        ("0.9.1", {}, False),
        ("0.9.1", {"algorithm.use_kl_in_reward": True}, True),
        ("0.9.1", {"algorithm.use_kl_in_reward": True, "algorithm.kl_ctrl.kl_coef": 0}, False),
    ],
)
def test_a_coefficient_of_the_divergence_counts_where_its_release_reads_it(
    release, options, penalizes
):
    given = {**GRPO, "algorithm.kl_ctrl.kl_coef": 0.001, **options}

    result = launched(given, release)

    assert ("penalize_divergence(samples, config)" in script_of(result)) is penalizes
    decision = by_option(result)["algorithm.kl_ctrl.kl_coef"]
    assert decision.fidelity is Fidelity.EXACT
    assert decision.target == ("config.kl_coef" if penalizes else "nothing")


@pytest.mark.parametrize(("release", "is_said"), [("0.4.1", True), ("0.9.1", True), ("0.2", False)])
def test_a_coefficient_without_effect_is_said(release, is_said):
    result = launched({**GRPO, "algorithm.kl_ctrl.kl_coef": 0.001}, release)

    said = [text for text in result.notices if "`algorithm.kl_ctrl.kl_coef` has no effect" in text]
    assert bool(said) is is_said


@pytest.mark.parametrize(
    ("release", "options", "low", "high"),
    [
        ("0.2", {"clip_ratio": 0.1}, "config.clip_ratio", "config.clip_ratio"),
        ("0.9.1", {"clip_ratio": 0.1}, "config.clip_ratio_low", "config.clip_ratio_high"),
        ("0.9.1", {"clip_ratio_low": "null"}, "config.clip_ratio", "config.clip_ratio_high"),
    ],
)
def test_the_bounds_are_those_that_the_release_reads(release, options, low, high):
    given = {f"{ACTOR}.{key}": value for key, value in options.items()}

    text = script_of(launched({**GRPO, **given}, release))

    assert f"1.0 - {low}" in text
    assert f"1.0 + {high}" in text
    if low == "config.clip_ratio_low":
        assert field_of(text, "clip_ratio_low") == 0.2


def test_a_bound_that_the_release_does_not_read_is_said():
    result = launched({**GRPO, f"{ACTOR}.clip_ratio": 0.1})

    assert any(f"`{ACTOR}.clip_ratio` has no effect" in text for text in result.notices)


@pytest.mark.parametrize(
    ("release", "options", "loss"),
    [
        ("0.2", {}, "ppo"),
        ("0.9.1", {}, "policy_loss(mini_batch, config)"),
        ("0.9.1", ONCE, "importance_sampling"),
        ("0.9.1", {**ONCE, f"{ACTOR}.use_kl_loss": True}, "policy_loss(samples, config)"),
        ("0.2", {**ONCE, f"{ACTOR}.ppo_epochs": 2}, "importance_sampling"),
        ("0.3.0.post1", {**ONCE, f"{ACTOR}.ppo_epochs": 2}, "ppo"),
    ],
)
def test_a_loss_of_the_server_is_used_only_where_it_is_equal(release, options, loss):
    text = script_of(launched({**GRPO, "algorithm.kl_ctrl.kl_coef": 0, **options}, release))

    assert (f'loss_fn="{loss}"' in text) is not loss.startswith("policy_loss")
    assert (loss in text) is True


@pytest.mark.parametrize(
    ("release", "options", "code"),
    [
        ("0.7.0", {}, "MM310"),
        ("0.8.0", {}, None),
        ("0.7.0", {"trainer.use_legacy_worker_impl": "disable"}, None),
        (
            "0.5.0",
            {
                "trainer.n_gpus_per_node": 1,
                "trainer.nnodes": 1,
                f"{ACTOR}.ppo_micro_batch_size_per_gpu": 32,
            },
            None,
        ),
        (
            "0.5.0",
            {
                "trainer.n_gpus_per_node": 2,
                "trainer.nnodes": 1,
                f"{ACTOR}.ppo_micro_batch_size_per_gpu": 32,
            },
            "MM310",
        ),
    ],
)
def test_the_mean_over_tokens_is_exact_where_the_release_takes_it_over_a_step(
    release, options, code
):
    key = f"{ACTOR}.loss_agg_mode"
    result = launched({**GRPO, **options, key: "token-mean"}, release)

    assert by_option(result)[key].code == code
    assert Fidelity.MANUAL not in {by_option(result)[name].fidelity for name in options}
    assert (code or "MM310: ") in script_of(result) or code is None


@pytest.mark.parametrize(
    ("release", "options", "horizon", "code"),
    [
        ("0.9.1", {"loss_scale_factor": 100}, "config.loss_scale_factor", None),
        ("0.9.1", {}, "config.max_response_length", "MM347"),
        ("0.8.0", {}, "config.max_response_length", None),
        (
            "0.6.1",
            {"ppo_micro_batch_size_per_gpu": 2},
            "config.max_response_length / config.micro_batch_size",
            None,
        ),
        ("0.6.1", {"use_dynamic_bsz": True}, "config.max_response_length", "MM310"),
    ],
)
def test_the_divisor_of_a_normed_sum_is_that_of_the_release(release, options, horizon, code):
    given = {f"{ACTOR}.{key}": value for key, value in options.items()}
    mode = {f"{ACTOR}.loss_agg_mode": "seq-mean-token-sum-norm"}

    text = script_of(launched({**GRPO, **mode, **given}, release))

    assert f"(len(samples) * {horizon})" in text
    for possible in ("MM310", "MM347"):
        assert (f"{possible}: " in text) is (possible == code)


@pytest.mark.parametrize(
    ("release", "mode", "counts"),
    [
        ("0.9.1", "token-mean", "1.0 / num_tokens"),
        ("0.9.0", "token-mean", "1.0 / (len(sample.tokens) * len(samples))"),
    ],
)
def test_gspo_averages_over_responses_in_releases_that_do(release, mode, counts):
    options = {f"{ACTOR}.policy_loss.loss_mode": "gspo", f"{ACTOR}.loss_agg_mode": mode}

    assert counts in script_of(launched({**GRPO, **options}, release))


@pytest.mark.parametrize(("release", "code"), [("0.2", "MM302"), ("0.9.1", None)])
def test_an_entropy_bonus_is_missed_only_where_there_is_one(release, code):
    text = script_of(launched(GRPO, release))

    assert ("MM302" in text) is (code is not None)


@pytest.mark.parametrize(
    ("level", "expected"),
    [("token", (Fidelity.APPROXIMATE, "MM319")), ("null", (Fidelity.EXACT, None))],
)
def test_a_correction_for_another_sampler_is_said_where_it_does_something(level, expected):
    options = {
        "algorithm.rollout_correction.rollout_is": level,
        "algorithm.rollout_correction.rollout_is_threshold": 2.0,
    }
    result = launched({**GRPO, **options})

    for key in options:
        decision = by_option(result)[key]
        assert (decision.fidelity, decision.code) == expected
    assert script_of(result).count("MM319: ") == (level == "token")


def test_the_loss_of_bypass_mode_can_be_named_itself():
    text = script_of(launched({**GRPO, f"{ACTOR}.policy_loss.loss_mode": "bypass_mode"}))

    assert "config.clip_ratio_c * advantages" in text


def test_each_option_has_one_decision():
    options = {
        **GRPO,
        "algorithm.gamma": 0.9,
        "algorithm.lam": 0.95,
        "algorithm.norm_adv_by_std_in_grpo": False,
        "algorithm.use_pf_ppo": False,
        "algorithm.use_kl_in_reward": False,
        "algorithm.kl_penalty": "k3",
        "algorithm.kl_ctrl.type": "fixed",
        "algorithm.filter_groups.enable": False,
        f"{ACTOR}.clip_ratio": 0.2,
        f"{ACTOR}.clip_ratio_c": 10.0,
        f"{ACTOR}.policy_loss.clip_cov_lb": 1.0,
        f"{ACTOR}.tau_pos": 1.0,
        f"{ACTOR}.loss_scale_factor": 7,
        f"{ACTOR}.entropy_coeff": 0,
        f"{ACTOR}.use_kl_loss": False,
        f"{ACTOR}.kl_loss_type": "low_var_kl",
    }
    result = launched(options)

    # Two words of the command stand in no option: `python3 -m` and the module.
    assert set(by_option(result)) == set(LAUNCH) | set(options)
    assert len(result.decisions) == len(set(LAUNCH) | set(options))
    mine = {by_option(result)[key].fidelity for key in options}
    assert mine == {Fidelity.EXACT}


@pytest.mark.parametrize(
    "options",
    [
        {"algorithm.adv_estimator": "remax", "algorithm.use_kl_in_reward": True},
        {"algorithm.adv_estimator": "reinforce_plus_plus", "algorithm.kl_ctrl.type": "adaptive"},
        {
            "algorithm.adv_estimator": "gdpo",
            "algorithm.gdpo_reward_keys": "[a,b]",
            "algorithm.filter_groups.enable": True,
            "algorithm.filter_groups.metric": "acc",
            f"{ACTOR}.use_kl_loss": True,
        },
        {"algorithm.adv_estimator": "opo", f"{ACTOR}.policy_loss.loss_mode": "cispo"},
        {"algorithm.adv_estimator": "gpg", f"{ACTOR}.policy_loss.loss_mode": "kl_cov"},
        {"algorithm.adv_estimator": "rloo", f"{ACTOR}.policy_loss.loss_mode": "geo_mean"},
        {"algorithm.adv_estimator": "grpo_passk", f"{ACTOR}.policy_loss.loss_mode": "dppo_kl"},
    ],
    ids=lambda options: options["algorithm.adv_estimator"],
)
def test_scripts_hold_what_their_algorithm_needs_and_no_more(options):
    text = script_of(launched({**GRPO, **options}))

    defined = {node.name for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef)}
    called = {
        ast.unparse(node.func)
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    passed = {"loss_fn", "compute_score", "read_value"}
    assert defined - called <= passed
    fields = {
        ast.unparse(node.target)
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.AnnAssign)
    }
    read = {
        node.attr
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "config"
    }
    assert read <= fields


def test_a_normed_sum_of_early_releases_counts_tokens_as_their_micro_batches_did():
    options = {
        f"{ACTOR}.loss_agg_mode": "seq-mean-token-sum-norm",
        f"{ACTOR}.ppo_micro_batch_size_per_gpu": 2,
    }
    text = script_of(launched({**GRPO, **options}, "0.6.1"))
    function = next(
        node for node in ast.parse(text).body if getattr(node, "name", "") == "token_shares"
    )
    space: dict[str, object] = {}
    exec(f"Sample = Config = object\n{ast.unparse(function)}", space)
    config = type("C", (), {"max_response_length": 24, "micro_batch_size": 2})

    shares = space["token_shares"]([object()] * 8, config)  # type: ignore[operator]

    # Each of four micro-batches is a sum over 24; their mean is the loss.
    assert shares == pytest.approx([1 / 24 / 4] * 8)
