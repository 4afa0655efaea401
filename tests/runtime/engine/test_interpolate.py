"""Weighted sums of adapters, against the sums of their updates."""

from __future__ import annotations

import pytest
import torch
from mint_runtime.engine.interpolate import interpolate
from mint_runtime.errors import UserError
from mint_runtime.model.adapter import LORA_ALPHA, Adapter

SIZES = {"first": (6, 5), "second": (4, 7)}
# One rounding of each factor to float32, of updates of order one.
ROUNDING = 1e-5


def adapter(rank, *, seed=0, names=tuple(SIZES), alpha=8.0, use_rslora=False):
    generator = torch.Generator().manual_seed(seed)
    matrices = {
        name: (
            torch.randn(rank, SIZES[name][1], generator=generator),
            torch.randn(SIZES[name][0], rank, generator=generator),
        )
        for name in names
    }
    return Adapter.of(matrices, rank=rank, alpha=alpha, use_rslora=use_rslora)


def update(of, name):
    """Return what an adapter adds to the weight of a layer, in float64."""
    if name not in of.pairs:
        num_outputs, num_inputs = SIZES[name]
        return torch.zeros(num_outputs, num_inputs, dtype=torch.float64)
    pair = of.pairs[name]
    return of.scaling * pair.b_OR.double() @ pair.a_RI.double()


def summed(adapters, coefficients, name):
    return sum(c * update(a, name) for a, c in zip(adapters, coefficients, strict=True))


def diagonal(*values):
    """Return an adapter of rank 1 for each value: the update is the diagonal matrix of values."""
    rank = len(values)
    matrices = {"layer": (torch.eye(rank), torch.diag(torch.tensor(values)))}
    return Adapter.of(matrices, rank=rank, alpha=float(rank))


def test_half_and_half_of_two_numbers_is_their_mean():
    mixture = interpolate([diagonal(2.0), diagonal(5.0)], [0.5, 0.5], max_rank=8)

    pair = mixture.adapter.pairs["layer"]
    assert mixture.adapter.scaling * float(pair.b_OR @ pair.a_RI) == pytest.approx(3.5)


@pytest.mark.parametrize("name", SIZES)
@pytest.mark.parametrize(
    "adapters",
    [
        [adapter(2, seed=1)],
        [adapter(2, seed=1), adapter(2, seed=2)],
        [adapter(1, seed=1), adapter(3, seed=2), adapter(2, seed=3)],
        [adapter(2, seed=1, alpha=32.0), adapter(2, seed=2, alpha=1.0)],
        [adapter(4, seed=1, use_rslora=True), adapter(2, seed=2)],
        [adapter(2, seed=1, names=("first",)), adapter(3, seed=2, names=("second",))],
        [adapter(2, seed=1), adapter(3, seed=2, names=("second",))],
    ],
    ids=["one", "two", "ranks", "alphas", "rank-stabilized", "no layer shared", "one layer shared"],
)
def test_updates_add_up_exactly(adapters, name):
    coefficients = [0.7, -1.3, 2.0][: len(adapters)]

    mixture = interpolate(adapters, coefficients, max_rank=64)

    expected = summed(adapters, coefficients, name)
    torch.testing.assert_close(
        update(mixture.adapter, name), expected, atol=ROUNDING, rtol=ROUNDING
    )
    assert mixture.relative_error == 0.0


def test_rank_is_what_the_fullest_layer_needs():
    adapters = [adapter(2, names=("first",)), adapter(3, names=("second",)), adapter(1)]

    mixture = interpolate(adapters, [1.0, 1.0, 1.0], max_rank=64)

    assert mixture.adapter.rank == 4
    assert mixture.adapter.alpha == LORA_ALPHA


def test_largest_singular_values_are_kept_and_the_rest_is_reported():
    mixture = interpolate([diagonal(3.0, 0.0, 2.0, 1.0)], [1.0], max_rank=2)

    pair = mixture.adapter.pairs["layer"]
    kept = mixture.adapter.scaling * pair.b_OR @ pair.a_RI
    torch.testing.assert_close(
        kept, torch.diag(torch.tensor([3.0, 0.0, 2.0, 0.0])), atol=ROUNDING, rtol=0
    )
    assert mixture.relative_error == pytest.approx(1 / 14**0.5)  # 1 of 9 + 4 + 1


@pytest.mark.parametrize("name", SIZES)
def test_cut_is_the_best_approximation_of_its_rank(name):
    adapters, coefficients = [adapter(3, seed=1), adapter(3, seed=2)], [0.5, 0.5]

    mixture = interpolate(adapters, coefficients, max_rank=3)

    u, s, v = torch.linalg.svd(summed(adapters, coefficients, name), full_matrices=False)
    best = u[:, :3] @ torch.diag(s[:3]) @ v[:3]
    torch.testing.assert_close(update(mixture.adapter, name), best, atol=ROUNDING, rtol=ROUNDING)


def test_reported_error_is_that_of_all_layers_together():
    adapters, coefficients = [adapter(3, seed=1), adapter(3, seed=2)], [0.5, 0.5]

    mixture = interpolate(adapters, coefficients, max_rank=2)

    whole = torch.cat([summed(adapters, coefficients, name).flatten() for name in SIZES])
    found = torch.cat([update(mixture.adapter, name).flatten() for name in SIZES])
    expected = float((found - whole).norm() / whole.norm())
    assert mixture.relative_error == pytest.approx(expected, abs=1e-6)  # float32 factors
    assert expected > 0.01


def test_rank_beyond_the_size_of_a_layer_is_cut_without_loss():
    adapters = [adapter(4, seed=seed) for seed in range(3)]

    mixture = interpolate(adapters, [1.0, 1.0, 1.0], max_rank=6)

    torch.testing.assert_close(
        update(mixture.adapter, "first"),
        summed(adapters, [1.0, 1.0, 1.0], "first"),
        atol=ROUNDING,
        rtol=ROUNDING,
    )
    assert mixture.relative_error < 1e-7  # difference of two equal squares in float64


def test_adapter_minus_itself_is_nothing_without_error():
    mixture = interpolate([adapter(2), adapter(2)], [1.0, -1.0], max_rank=2)

    assert update(mixture.adapter, "first").abs().max() < ROUNDING


def test_zeros_are_mixed_without_error():
    empty = Adapter.of({"first": (torch.ones(2, 5), torch.zeros(6, 2))}, rank=2, alpha=8.0)

    assert interpolate([empty, empty], [0.5, 0.5], max_rank=2).relative_error == 0.0


def test_sources_are_left_alone():
    source = adapter(2)
    before = source.flat_P.clone()

    interpolate([source, source], [0.5, 0.5], max_rank=2)

    assert torch.equal(source.flat_P, before)


@pytest.mark.parametrize(
    ("adapters", "coefficients", "sentence"),
    [
        ([], [], "no checkpoint to interpolate"),
        ([adapter(2)], [0.5, 0.5], "1 checkpoints and 2 coefficients"),
        ([adapter(2)], [float("nan")], "coefficient nan is not a finite number"),
        ([adapter(2)], [float("inf")], "coefficient inf is not a finite number"),
        ([adapter(2), diagonal(1.0)], [1.0], "2 checkpoints and 1 coefficients"),
    ],
)
def test_arguments_that_do_not_fit_are_named(adapters, coefficients, sentence):
    with pytest.raises(UserError, match=sentence):
        interpolate(adapters, coefficients, max_rank=8)


def test_adapter_that_has_diverged_is_refused():
    diverged = adapter(2)
    diverged.flat_P[3] = float("nan")

    with pytest.raises(UserError, match="checkpoint 1 of those to interpolate holds numbers that"):
        interpolate([adapter(2), diverged], [0.5, 0.5], max_rank=2)


def test_adapters_of_different_models_are_refused():
    other = Adapter.of({"first": (torch.ones(2, 9), torch.ones(6, 2))}, rank=2, alpha=8.0)

    with pytest.raises(UserError, match=r"size of `first` \(\[6, 5\] and \[6, 9\]\)"):
        interpolate([adapter(2), other], [0.5, 0.5], max_rank=8)
