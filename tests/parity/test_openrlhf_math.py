"""Advantages and losses of converted OpenRLHF launchers equal those of three of its releases.

Small launchers are converted; the functions of the results run on random ragged batches,
OpenRLHF's own in an environment of its own on the same numbers, padded. Compared are advantages,
losses and the gradient with respect to every log-probability. 0.6.4 takes means over responses,
0.9.1 over micro-batches, 0.11.2 over optimizer steps.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support.openrlhf_math import (
    GROUP,
    LONGEST,
    MIDDLE,
    NEWEST,
    OLDEST,
    draw,
    our_advantages,
    our_loss,
    run_openrlhf,
    samples_of,
    script,
)
from support.verl_math import loaded

pytestmark = [pytest.mark.environments, pytest.mark.timeout(1800)]

RELEASES = (NEWEST, MIDDLE, OLDEST)
TOLERANCE = 1e-5
"""Relative to the largest number: float32 sums in another order."""
BATCHES = {
    "ragged": draw(groups=4, seed=1),
    "binary": draw(groups=4, seed=2, scores="binary"),
    "equal": draw(groups=4, seed=3, scores="equal"),
    "turns": draw(groups=4, seed=4, turns=True),
}
ESTIMATORS = ("reinforce", "rloo", "reinforce_baseline", "group_norm", "dr_grpo")
WEIGHT, GAMMA, BUFFER, FACTOR = 0.3, 0.9, 8, 0.5
TARGET, HORIZON = 0.4, 100
AGENT = {"agent_func_path": "agent.py", "remote_rm_url": None}
"""Tokens of an environment stand between those of the policy."""


def advantage_case(estimator: str, batch: str, **more: Any) -> dict[str, Any]:
    return {
        "kind": "advantages",
        "batch": batch,
        "estimator": estimator,
        "n": GROUP,
        "longest": LONGEST,
        "clip": [-1.5, 2.0],
        "gamma": 1.0,
        "no_std": False,
        "kl": "",
        "weight": WEIGHT,
        "overlong": None,
        **more,
    }


def loss_case(batch: str, **more: Any) -> dict[str, Any]:
    return {
        "kind": "loss",
        "batch": batch,
        "loss": "ppo",
        "bounds": [0.15, 0.28],
        "dual": None,
        "mode": "token-mean",
        "micro": 4,
        "packed": False,
        "kl": "",
        "unbiased": False,
        "weight": WEIGHT,
        **more,
    }


def advantage_cases(release: str) -> list[dict[str, Any]]:
    """Return what is compared of a release: estimators with each of the options that matter."""
    names = [*ESTIMATORS, *(["flash_reinforce"] if release == NEWEST else [])]
    batches = [name for name in BATCHES if name != "turns" or release != OLDEST]
    cases = [advantage_case(name, batch) for name in names for batch in batches]
    cases += [advantage_case(name, "ragged", kl=kl) for name in names for kl in ("k1", "k2", "k3")]
    cases += [
        advantage_case("reinforce", "ragged", gamma=GAMMA),
        advantage_case("reinforce", "ragged", gamma=GAMMA, kl="k2"),
        advantage_case("rloo", "ragged", gamma=GAMMA),
        *(advantage_case(name, "ragged", no_std=True) for name in names),
    ]
    if release != OLDEST:
        cases += [advantage_case(name, "turns", kl="k3") for name in names]
        cases += [advantage_case(name, "ragged", overlong=BUFFER) for name in names]
    return cases


def loss_cases(release: str) -> list[dict[str, Any]]:
    """Return what is compared of a release: losses with each of the options that matter."""
    estimates = [{"kl": kl} for kl in ("k1", "k2", "k3")]
    if release == OLDEST:
        bounds = {"bounds": [0.2, 0.2]}
        plain = [bounds, {**bounds, "micro": 1}, {**bounds, "packed": True}]
        plain += [{**bounds, **estimate} for estimate in estimates]
        return [loss_case("ragged", **options) for options in plain]
    options: list[dict[str, Any]] = [{}, {"micro": 1}, {"micro": 8}, {"dual": 2.5}, *estimates]
    options += [{"loss": "gspo"}, *({"loss": "gspo", **estimate} for estimate in estimates)]
    options += [{"dual": 2.5, "kl": "k3", "micro": 2}]
    if release == NEWEST:
        options += [{"mode": "seq-mean-token-mean"}, {"mode": "seq-mean-token-mean", "kl": "k2"}]
        options += [{"unbiased": True, **estimate} for estimate in estimates]
    batches = ("ragged", "turns")
    return [loss_case(batch, **each) for batch in batches for each in options]


def controller_case(kl: str, batch: str) -> dict[str, Any]:
    numbers = {"weight": WEIGHT, "target": TARGET, "horizon": HORIZON}
    return {"kind": "controller", "batch": batch, "kl": kl, **numbers}


CONTROLLERS = [(kl, batch) for kl in ("k1", "k2", "k3") for batch in ("ragged", "turns")]


def cases_of(release: str) -> list[dict[str, Any]]:
    moving = [controller_case(*case) for case in CONTROLLERS] if release == NEWEST else []
    return [*advantage_cases(release), *loss_cases(release), *moving]


def label(case: dict[str, Any]) -> str:
    """Return what is special about a case."""
    plain = advantage_case("", "") if case["kind"] == "advantages" else loss_case("")
    parts = [f"{key}={value}" for key, value in case.items() if value != plain[key]]
    return ",".join(parts)


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return a function that gives a release's result of a case; one process for each release."""
    known: dict[str, dict[str, Any]] = {}

    def result(release: str, case: dict[str, Any]) -> Any:
        if release not in known:
            # Where its process fails it fails once, not for each case.
            known[release] = {}
            cases = cases_of(release)
            folder = tmp_path_factory.mktemp("openrlhf")
            results = run_openrlhf(folder, release, BATCHES, cases)
            known[release] = {repr(one): each for one, each in zip(cases, results, strict=True)}
        return known[release][repr(case)]

    return result


def flags_of(case: dict[str, Any]) -> dict[str, Any]:
    """Return the flags of a launch that asks for a case."""
    agent = AGENT if case["batch"] == "turns" else {}
    divergence = {"init_kl_coef": case["weight"], "kl_estimator": case["kl"]} if case["kl"] else {}
    if case["kind"] == "advantages":
        overlong = {"overlong_buffer_len": BUFFER, "overlong_penalty_factor": FACTOR}
        return {
            "advantage_estimator": case["estimator"],
            "reward_clip_range": case["clip"],
            "gamma": case["gamma"],
            "no_advantage_std_norm": case["no_std"],
            **(overlong if case["overlong"] else {}),
            **divergence,
            **agent,
        }
    low, high = case["bounds"]
    bounds = {"eps_clip": low} if low == high else {"eps_clip_low_high": [low, high]}
    return {
        "policy_loss_type": None if case["loss"] == "ppo" else case["loss"],
        "dual_clip": case["dual"],
        "micro_train_batch_size": case["micro"],
        "packing_samples": case["packed"],
        "actor.loss_agg_mode": None if case["mode"] == "token-mean" else case["mode"],
        "algo.kl.unbiased_gradient": case["unbiased"],
        "use_kl_loss": bool(case["kl"]),
        **bounds,
        **divergence,
        **agent,
    }


def differs(ours: np.ndarray, theirs: np.ndarray) -> bool:
    """Say whether two arrays differ by more than rounding."""
    size = max(float(np.abs(theirs).max()), 1e-3)
    return not bool((np.abs(ours - theirs) <= TOLERANCE * size).all())


ADVANTAGES = [(release, case) for release in RELEASES for case in advantage_cases(release)]
LOSSES = [(release, case) for release in RELEASES for case in loss_cases(release)]


@pytest.mark.parametrize(
    ("release", "case"), ADVANTAGES, ids=[f"{name}-{label(case)}" for name, case in ADVANTAGES]
)
def test_advantages_equal_those_of_the_release(theirs, release, case):
    batch = BATCHES[case["batch"]]

    ours = our_advantages(script(flags_of(case), release), batch)

    assert not differs(ours, theirs(release, case)["advantages"] * batch["mask"])


@pytest.mark.parametrize(
    ("release", "case"), LOSSES, ids=[f"{name}-{label(case)}" for name, case in LOSSES]
)
def test_loss_and_gradient_equal_those_of_the_release(theirs, release, case):
    loss, gradient = our_loss(script(flags_of(case), release), BATCHES[case["batch"]])

    expected = theirs(release, case)
    # The terms of the sum cancel, so it is compared with their size.
    terms = float(np.abs(expected["gradient"]).sum())
    assert abs(loss - float(expected["loss"])) <= TOLERANCE * max(terms, abs(loss))
    assert not differs(gradient, expected["gradient"])


@pytest.mark.parametrize(("kl", "batch"), CONTROLLERS, ids=[f"{a}-{b}" for a, b in CONTROLLERS])
def test_the_weight_of_a_divergence_follows_its_target(theirs, kl, batch):
    agent = AGENT if batch == "turns" else {}
    flags = {"init_kl_coef": WEIGHT, "kl_estimator": kl, **agent}
    targets = {"algo.kl.target": TARGET, "algo.kl.horizon": HORIZON}
    space = loaded(script({**flags, **targets}, NEWEST))
    samples = samples_of(space, BATCHES[batch])

    mean = space["penalize_divergence"](samples, WEIGHT)
    weight = space["adapt_weight"](WEIGHT, mean, len(samples), space["config"])

    expected = theirs(NEWEST, controller_case(kl, batch))
    assert mean == pytest.approx(float(expected["mean"]), rel=TOLERANCE)
    assert weight == pytest.approx(float(expected["weight"]), rel=TOLERANCE)
    assert weight != WEIGHT
