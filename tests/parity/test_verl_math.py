"""Advantages, rewards and losses of converted verl launchers equal those of verl 0.9.1.

Small launchers are converted; the functions of the results run on random ragged batches, verl's
own in an environment of its own on the same numbers, padded. Compared are advantages, penalized
rewards, losses and the gradient with respect to every log-probability.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support.verl_cases import (
    ADVANTAGES,
    BATCHES,
    BOUNDS,
    BYPASSED,
    CASES,
    COEFFICIENT,
    ESTIMATORS,
    FRESH,
    LOSSES,
    PLAIN,
    REWARDS,
    STEPS,
    TARGET,
    WITH_KL,
    advantage_script,
    bypass_case,
    estimator_case,
    loss_case,
    loss_script,
    reward_case,
)
from support.verl_launch import launched, script_of
from support.verl_math import (
    Arrays,
    builtin_of,
    loaded,
    our_loss,
    padded,
    run_verl,
    samples_of,
)

pytestmark = [pytest.mark.environments, pytest.mark.timeout(1800)]

TOLERANCE = 1e-5
"""Relative to the largest number: float32 sums in another order."""


@pytest.fixture(scope="module")
def computed(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Arrays], Arrays]:
    """Return verl's results of all cases, from one process, and the names that it knows."""
    return run_verl(tmp_path_factory.mktemp("verl"), BATCHES, CASES)


@pytest.fixture(scope="module")
def theirs(computed: tuple[list[Arrays], Arrays]) -> Any:
    """Return a function that gives verl's result of a case."""
    known = {repr(case): result for case, result in zip(CASES, computed[0], strict=True)}
    return lambda case: known[repr(case)]


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
