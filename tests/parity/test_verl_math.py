"""Advantages, rewards and losses of converted verl launchers equal those of verl 0.9.1.

Small launchers are converted; the functions of the results run on random ragged batches, verl's
own in an environment of its own on the same numbers, padded. Compared are advantages, penalized
rewards, losses and the gradient with respect to every log-probability.
"""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
from support.verl_launch import ACTOR, launched, script_of
from support.verl_math import (
    COMPONENTS,
    SHAPES,
    Arrays,
    builtin_of,
    draw,
    loaded,
    our_loss,
    padded,
    run_verl,
    samples_of,
)

pytestmark = [pytest.mark.environments, pytest.mark.timeout(1800)]

TOLERANCE = 1e-5
"""Relative to the largest number: float32 sums in another order."""
BATCHES = {name: draw(shape) for name, shape in SHAPES.items()}
BATCHES["still"] = {**BATCHES["ragged"], "new": BATCHES["ragged"]["old"]}
"""The policy has not moved since it sampled."""
GAMMA = 0.9
WEIGHTS = [0.7, 1.5]
ESTIMATORS: dict[str, dict[str, Any]] = {
    "grpo": {},
    "grpo_unscaled": {"norm_adv_by_std_in_grpo": False},
    "grpo_vectorized": {},
    "grpo_vectorized_always_scales": {"norm_adv_by_std_in_grpo": False},
    "grpo_passk": {},
    "grpo_passk_unscaled": {"norm_adv_by_std_in_grpo": False},
    "rloo": {},
    "rloo_vectorized": {},
    "opo": {},
    "gpg": {},
    "reinforce_plus_plus": {"gamma": GAMMA},
    "reinforce_plus_plus_baseline": {},
    "remax": {},
    "gdpo": {"gdpo_reward_keys": list(COMPONENTS)},
    "gdpo_weighted": {"gdpo_reward_keys": list(COMPONENTS), "gdpo_reward_weights": WEIGHTS},
}
"""Options of `algorithm.*` by estimator and what is special about a case of it."""
ENDINGS = ("_unscaled", "_always_scales", "_weighted")
SINGLES = "ragged"
"""The batch in which some prompts have one response."""
LOSSES: dict[str, dict[str, float]] = {
    "vanilla": {"clip_ratio_c": 3.0},
    "gspo": {},
    "sapo": {"tau_pos": 1.0, "tau_neg": 1.3},
    "gpg": {},
    "clip_cov": {"clip_cov_ratio": 0.05, "clip_cov_lb": 0.1, "clip_cov_ub": 2.0},
    "kl_cov": {"kl_cov_ratio": 0.1, "ppo_kl_coef": 0.4},
    "geo_mean": {},
    "cispo": {},
    "dro": {"dro_beta": 0.07},
    "dppo_tv": {"clip_ratio_c": 4.0},
    "dppo_kl": {"clip_ratio_c": 4.0},
}
"""Options that only some losses read."""
BOUNDS = {"clip_ratio_low": 0.15, "clip_ratio_high": 0.28}
IN_ACTOR = frozenset({"clip_ratio_c", "tau_pos", "tau_neg"})
AGGREGATIONS = (
    *("token-mean", "token-sum", "seq-mean-token-sum", "seq-mean-token-mean"),
    "seq-mean-token-sum-norm",
)
HORIZON = 17
DIVERGENCES = ("kl", "k1", "abs", "mse", "k2", "low_var_kl", "k3", "k1+", "abs+", "k2+", "k3+")
COEFFICIENT, TARGET, STEPS = 0.3, 0.05, 100
SEED = 3


def estimator_case(name: str, batch: str) -> dict[str, Any]:
    estimator = name
    for ending in ENDINGS:
        estimator = estimator.removesuffix(ending)
    return {
        "kind": "advantages",
        "batch": batch,
        "estimator": estimator,
        "config": ESTIMATORS[name],
    }


def reward_case(estimator: str, batch: str) -> dict[str, Any]:
    numbers = {"weight": COEFFICIENT, "target": TARGET, "horizon": STEPS}
    return {"kind": "rewards", "batch": batch, "estimator": estimator, **numbers}


def loss_case(loss: str, aggregation: str, batch: str, kl: str = "", **more: Any) -> dict[str, Any]:
    options = LOSSES.get(loss, {})
    own = {key: value for key, value in options.items() if key not in IN_ACTOR}
    return {
        "kind": "loss",
        "batch": batch,
        "loss": loss,
        "aggregation": aggregation,
        "actor": {**BOUNDS, **{key: options[key] for key in options.keys() & IN_ACTOR}},
        "policy_loss": own,
        "correction": {},
        "kl": kl,
        "kl_weight": COEFFICIENT,
        "loss_scale_factor": HORIZON,
        "seed": SEED,
        **more,
    }


ADVANTAGES = [
    (name, batch)
    for name, batch in product(ESTIMATORS, SHAPES)
    if not (name.startswith("grpo_passk") and batch == SINGLES)
]
REWARDS = list(product(DIVERGENCES, SHAPES))
PLAIN = list(product(LOSSES, AGGREGATIONS, SHAPES))
FRESH = list(product(("vanilla", "gspo", "cispo", "gpg", "sapo", "geo_mean"), AGGREGATIONS))
WITH_KL = list(
    product(
        ("vanilla", "gspo", "sapo", "geo_mean", "cispo"),
        ("token-mean", "seq-mean-token-sum-norm"),
        DIVERGENCES,
    )
)
REINFORCE = {"loss_type": "reinforce", "rollout_is_threshold": 1.5}
CORRECTIONS: dict[str, dict[str, Any]] = {
    "no_weights": {**REINFORCE, "rollout_is": None},
    "token": {**REINFORCE, "rollout_is": "token"},
    "sequence": {**REINFORCE, "rollout_is": "sequence"},
    "two_bounds": {**REINFORCE, "rollout_is": "token", "rollout_is_threshold": "0.6_1.6"},
    "mean_one": {**REINFORCE, "rollout_is": "token", "rollout_is_batch_normalize": True},
    "sequence_mean_one": {
        **REINFORCE,
        "rollout_is": "sequence",
        "rollout_is_batch_normalize": True,
    },
    "weighted_rejection": {
        **REINFORCE,
        "rollout_is": "token",
        "rollout_rs": "token_k2",
        "rollout_rs_threshold": 0.1,
    },
    **{
        f"{rule}_{bounds}": {
            "loss_type": "ppo_clip",
            "rollout_is": "token",
            "rollout_rs": rule,
            "rollout_rs_threshold": bounds,
        }
        for rule, bounds in (
            ("token_k1", "0.6_1.8"),
            ("token_k1", "1.5"),
            ("token_k3", "0.05"),
            ("seq_sum_k1", "0.2_4.0"),
            ("seq_mean_k1", "0.9_1.3"),
            ("seq_mean_k2", "0.3"),
            ("seq_max_k3", "2.5"),
            ("token_k1,seq_max_k2", "0.6_1.6,2.5"),
        )
    },
}
"""Options of `algorithm.rollout_correction.*` with `bypass_mode`."""
BYPASSED = list(product(CORRECTIONS, AGGREGATIONS))


def bypass_case(name: str, aggregation: str) -> dict[str, Any]:
    correction = {"bypass_mode": True, **CORRECTIONS[name]}
    return loss_case("bypass_mode", aggregation, "ragged", correction=correction)


CASES = [
    *(estimator_case(*case) for case in ADVANTAGES),
    *(reward_case(*case) for case in REWARDS),
    *(loss_case(*case) for case in PLAIN),
    *(loss_case(*case, "still") for case in FRESH),
    *(loss_case(loss, mode, "ragged", kl) for loss, mode, kl in WITH_KL),
    *(bypass_case(*case) for case in BYPASSED),
]


@pytest.fixture(scope="module")
def computed(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Arrays], Arrays]:
    """Return verl's results of all cases, from one process, and the names that it knows."""
    return run_verl(tmp_path_factory.mktemp("verl"), BATCHES, CASES)


@pytest.fixture(scope="module")
def theirs(computed: tuple[list[Arrays], Arrays]) -> Any:
    """Return a function that gives verl's result of a case."""
    known = {repr(case): result for case, result in zip(CASES, computed[0], strict=True)}
    return lambda case: known[repr(case)]


def advantage_script(case: dict[str, Any]) -> str:
    """Return the script of a launch with an estimator."""
    options = {f"algorithm.{key}": value for key, value in case["config"].items()}
    num = 1 if case["batch"] == SINGLES else 4
    return script_of(
        launched(
            {
                "algorithm.adv_estimator": case["estimator"],
                "actor_rollout_ref.rollout.n": num,
                **options,
            }
        )
    )


def loss_options(case: dict[str, Any]) -> dict[str, object]:
    """Return the options of a launch with a loss."""
    own = {f"{ACTOR}.policy_loss.{key}": value for key, value in case["policy_loss"].items()}
    correction = {
        f"algorithm.rollout_correction.{key}": "null"
        if value is None
        else f'"{value}"'
        if isinstance(value, str)
        else value
        for key, value in case["correction"].items()
    }
    loss = "vanilla" if correction else case["loss"]
    options: dict[str, object] = {
        "algorithm.adv_estimator": "grpo",
        f"{ACTOR}.policy_loss.loss_mode": loss,
        f"{ACTOR}.loss_agg_mode": case["aggregation"],
        f"{ACTOR}.loss_scale_factor": case["loss_scale_factor"],
        **{f"{ACTOR}.{key}": value for key, value in case["actor"].items()},
        **own,
        **correction,
    }
    if case["kl"]:
        options[f"{ACTOR}.use_kl_loss"] = True
        options[f"{ACTOR}.kl_loss_coef"] = case["kl_weight"]
        options[f"{ACTOR}.kl_loss_type"] = case["kl"]
    if case["batch"] == "still":
        options["data.train_batch_size"] = 8
    return options


def loss_script(case: dict[str, Any]) -> str:
    return script_of(launched(loss_options(case)))


def our_advantages(text: str, batch: Arrays) -> np.ndarray:
    space = loaded(text)
    samples = samples_of(space, batch)
    space["compute_advantages"](samples, space["config"])
    return padded([sample.advantages for sample in samples], batch)


def differs(ours: np.ndarray, theirs: np.ndarray) -> bool:
    """Say whether two arrays differ by more than rounding."""
    size = max(float(np.abs(theirs).max()), 1e-3)
    return not bool((np.abs(ours - theirs) <= TOLERANCE * size).all())


def loss_differs(text: str, case: dict[str, Any], theirs: Arrays) -> bool:
    """Say whether the loss of a script or its gradient is another than verl's."""
    loss, gradient = our_loss(text, BATCHES[case["batch"]], seed=case["seed"])
    # The terms of the sum cancel, so it is compared with their size.
    terms = float(np.abs(theirs["gradient"]).sum())
    is_same = abs(loss - float(theirs["loss"])) <= TOLERANCE * max(terms, abs(loss))
    return not is_same or differs(gradient, theirs["gradient"])


@pytest.mark.parametrize(("name", "batch"), ADVANTAGES, ids=["-".join(case) for case in ADVANTAGES])
def test_advantages_equal_verls(theirs, name, batch):
    case = estimator_case(name, batch)

    ours = our_advantages(advantage_script(case), BATCHES[batch])

    assert not differs(ours, theirs(case)["advantages"])


@pytest.mark.parametrize(("estimator", "batch"), REWARDS, ids=["-".join(one) for one in REWARDS])
def test_penalized_rewards_equal_verls(theirs, estimator, batch):
    case = reward_case(estimator, batch)
    controls = {"type": "adaptive", "target_kl": TARGET, "horizon": STEPS, "kl_coef": COEFFICIENT}
    options = {f"algorithm.kl_ctrl.{key}": value for key, value in controls.items()}
    options |= {"algorithm.use_kl_in_reward": True, "algorithm.kl_penalty": estimator}
    space = loaded(script_of(launched({"algorithm.adv_estimator": "grpo", **options})))
    samples = samples_of(space, BATCHES[batch])

    mean = space["penalize_divergence"](samples, COEFFICIENT)
    weight = space["adapt_coefficient"](COEFFICIENT, mean, len(samples), space["config"])

    expected = theirs(case)
    ours = padded([sample.rewards for sample in samples], BATCHES[batch])
    assert not differs(ours, expected["rewards"] * BATCHES[batch]["mask"])
    assert mean == pytest.approx(float(expected["mean"]), rel=TOLERANCE)
    assert weight == pytest.approx(float(expected["weight"]), rel=TOLERANCE)


@pytest.mark.parametrize(("loss", "mode", "batch"), PLAIN, ids=["-".join(case) for case in PLAIN])
def test_loss_and_gradient_equal_verls(theirs, loss, mode, batch):
    case = loss_case(loss, mode, batch)

    assert not loss_differs(loss_script(case), case, theirs(case))


@pytest.mark.parametrize(("loss", "mode"), FRESH, ids=["-".join(case) for case in FRESH])
def test_used_once_the_loss_equals_verls(theirs, loss, mode):
    case = loss_case(loss, mode, "still")

    assert not loss_differs(loss_script(case), case, theirs(case))


@pytest.mark.parametrize(("loss", "mode", "kl"), WITH_KL, ids=["-".join(case) for case in WITH_KL])
def test_loss_with_a_divergence_equals_verls(theirs, loss, mode, kl):
    case = loss_case(loss, mode, "ragged", kl)

    assert not loss_differs(loss_script(case), case, theirs(case))


@pytest.mark.parametrize(("name", "mode"), BYPASSED, ids=["-".join(case) for case in BYPASSED])
def test_a_loss_corrected_for_moved_policies_equals_verls(theirs, name, mode):
    case = bypass_case(name, mode)

    assert not loss_differs(loss_script(case), case, theirs(case))


@pytest.mark.parametrize(
    ("case", "builtin"),
    [
        (loss_case("vanilla", "token-mean", "still"), "importance_sampling"),
        (loss_case("gspo", "token-mean", "still"), "importance_sampling"),
        (loss_case("vanilla", "token-mean", "ragged"), ""),
        (loss_case("cispo", "token-mean", "ragged"), "cispo"),
        (loss_case("gpg", "token-mean", "ragged"), "cross_entropy"),
        (loss_case("cispo", "token-mean", "ragged", "k3"), ""),
        (bypass_case("token", "token-mean"), "cispo"),
        (bypass_case("no_weights", "token-mean"), "cross_entropy"),
        (bypass_case("sequence", "token-mean"), ""),
    ],
    ids=lambda value: value if isinstance(value, str) else f"{value['loss']}-{value['batch']}",
)
def test_a_loss_of_the_server_is_used_where_it_is_equal(case, builtin):
    text = loss_script(case)

    assert builtin_of(text, loaded(text)["config"])[0] == builtin


MUTANTS = {
    "bound": ("vanilla", "1.0 + config.clip_ratio_high", "1.0 + config.clip_ratio_low"),
    "dual_clip": ("vanilla", "per_token = torch.where(", "per_token + torch.where("),
    "aggregation": ("vanilla", "[1.0 / num_tokens]", "[1.0 / len(samples)]"),
    "off_by_one": ("vanilla", "len(sample.prompt) - 1 :", "len(sample.prompt) - 1 : -1"),
    "ratio": ("gspo", "part.mean()", "part.sum()"),
    "gate": ("sapo", "advantages > 0", "advantages < 0"),
    "threshold": ("cispo", "1.0 - config.clip_ratio_low", "config.clip_ratio_low"),
    "penalty": ("kl_cov", "(new - old).abs()", "(new - old)"),
    "sign": ("geo_mean", "sign * moved,", "moved,"),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_changed_loss_is_told_apart(theirs, name):
    loss, old, new = MUTANTS[name]
    case = loss_case(loss, "token-mean", "ragged")
    text = loss_script(case)
    assert old in text

    try:
        is_other = loss_differs(text.replace(old, new), case, theirs(case))
    except RuntimeError:
        is_other = True

    assert is_other


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("weighted_rejection", "per_token = per_token * kept", "pass"),
        ("token_k1,seq_max_k2_0.6_1.6,2.5", "part.max()", "part.mean()"),
        ("seq_mean_k1_0.9_1.3", "-math.log(1.3)", "math.log(1.3)"),
        ("two_bounds", "weights, 0.0)", "weights, 1.0)"),
        ("sequence_mean_one", "weights.mean()", "weights.sum()"),
    ],
)
def test_a_changed_correction_is_told_apart(theirs, name, old, new):
    case = bypass_case(name, "token-mean")
    text = loss_script(case)
    assert old in text

    assert loss_differs(text.replace(old, new), case, theirs(case))


@pytest.mark.parametrize(
    ("name", "batch", "old", "new"),
    [
        ("grpo", "even", "+ 1e-6", "+ 1e-3"),
        ("rloo", "even", "(len(group) - 1)", "len(group)"),
        ("opo", "large", "lengths * totals", "totals"),
        ("reinforce_plus_plus", "large", "config.gamma", "1.0"),
        ("reinforce_plus_plus_baseline", "large", "values.var()", "values.std()"),
        ("gpg", "even", "scale *", "1.0 *"),
    ],
)
def test_a_changed_advantage_is_told_apart(theirs, name, batch, old, new):
    case = estimator_case(name, batch)
    text = advantage_script(case)
    assert old in text

    ours = our_advantages(text.replace(old, new), BATCHES[batch])

    assert differs(ours, theirs(case)["advantages"])


def test_every_estimator_and_loss_of_verl_is_compared_or_refused(computed):
    _, names = computed
    compared = {estimator_case(name, "even")["estimator"] for name in ESTIMATORS}
    refused = {"gae", "optimal_token_baseline", "tir_optimal_token_baseline"}

    assert {name.rpartition(".")[2].lower() for name in names["estimators"]} == compared | refused
    assert set(names["losses"]) == {*LOSSES, "bypass_mode"}


@pytest.mark.parametrize("name", ["ragged", "large"])
def test_batches_pass_all_bounds_with_both_signs(name):
    batch = BATCHES[name]
    inside = batch["mask"] != 0
    ratio = np.exp(batch["new"] - batch["old"])[inside]
    positive = batch["advantages"][inside] > 0

    for sign in (True, False):
        mine = ratio[positive == sign]
        assert (mine < 1 - BOUNDS["clip_ratio_low"]).any()
        assert (mine > 1 + BOUNDS["clip_ratio_high"]).any()
    assert (ratio[~positive] > LOSSES["vanilla"]["clip_ratio_c"]).any()
