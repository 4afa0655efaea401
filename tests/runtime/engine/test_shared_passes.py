"""Steps of several models in shared passes: other ranks, other losses, mistakes of others."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from mint_runtime.engine.commands import Datum
from mint_runtime.errors import UserError
from support.tiny import (
    datum,
    relative_error,
    step,
    train_step,
    train_steps,
    trained,
)

# Other orders of the same float32 sums: nats, and a share of a tensor's norm.
ATOL = 1e-5
RTOL = 1e-5


def policy_datum(length, seed):
    item = datum(length, seed)
    rng = np.random.default_rng(seed)
    return Datum(
        tokens=item.tokens,
        inputs={
            "target_tokens": item.inputs["target_tokens"],
            "logprobs": rng.normal(-6, 0.3, length).astype(np.float32),
            "advantages": rng.normal(size=length).astype(np.float32),
        },
    )


def soft_datum(length, seed):
    rng = np.random.default_rng(seed)
    return Datum(
        tokens=rng.integers(0, 500, length),
        inputs={
            "target_tokens": rng.integers(0, 500, (length, 4)),
            "weights": rng.random((length, 4)).astype(np.float32),
        },
    )


MIX = {
    "supervised": (2, step(*[datum(length, i) for i, length in enumerate((30, 5, 5, 17))])),
    "policy": (8, step(*[policy_datum(length, 7) for length in (9, 40)], loss_fn="ppo")),
    "soft targets": (3, step(soft_datum(12, 3), soft_datum(4, 4))),
    "two tokens": (1, step(datum(2, 9))),
    "other loss": (5, step(policy_datum(21, 2), loss_fn="importance_sampling")),
}


def gradient_error(found, expected):
    return relative_error(found.gradient.flat_P, expected.gradient.flat_P)


def models(base):
    return {name: trained(base, rank=rank, seed=rank) for name, (rank, _) in MIX.items()}


@pytest.mark.parametrize("max_rows", [1, 25, 4096])
def test_every_model_gets_what_it_gets_alone(base, max_rows):
    alone, together = models(base), models(base)
    expected = {name: train_step(alone[name], command) for name, (_, command) in MIX.items()}

    found = train_steps(
        [(together[name], command) for name, (_, command) in MIX.items()], max_rows=max_rows
    )

    for name, result in zip(MIX, found, strict=True):
        assert result.metrics == pytest.approx(expected[name].metrics, rel=1e-4), name
        for one, other in zip(result.outputs, expected[name].outputs, strict=True):
            np.testing.assert_allclose(one["logprobs"], other["logprobs"], atol=ATOL, rtol=0)
        assert gradient_error(together[name], alone[name]) < RTOL, name


def test_order_in_the_pass_does_not_matter(base):
    first, second = models(base), models(base)
    train_steps([(first[name], command) for name, (_, command) in MIX.items()])

    train_steps([(second[name], command) for name, (_, command) in reversed(MIX.items())])

    for name in MIX:
        assert gradient_error(second[name], first[name]) < RTOL, name


def test_a_loss_that_is_not_finite_fails_its_own_step_only(base):
    good, bad, expected = trained(base), trained(base, seed=1), trained(base)
    overflow = Datum(
        tokens=np.array([1, 2]),
        inputs={
            "target_tokens": np.array([2, 3]),
            "logprobs": np.array([-1.0, -500.0], dtype=np.float32),
            "advantages": np.ones(2, dtype=np.float32),
        },
    )
    train_step(expected, step(datum(10, 0)))

    with pytest.raises(UserError, match="datum 0: the loss is not finite"):
        # The good step comes first, so it has ended when the other raises.
        train_steps(
            [(good, step(datum(10, 0))), (bad, step(overflow, loss_fn="importance_sampling"))]
        )

    assert bad.gradient is None
    assert gradient_error(good, expected) < RTOL


def test_an_adapter_that_has_diverged_spoils_nobody_else(base):
    good, bad, expected = trained(base), trained(base, seed=1), trained(base)
    with torch.no_grad():
        bad.adapter.flat_P.fill_(float("nan"))
    train_step(expected, step(datum(10, 0)))

    with pytest.raises(UserError, match="not finite"):
        train_steps([(good, step(datum(10, 0))), (bad, step(datum(10, 1)))])

    assert gradient_error(good, expected) < RTOL
