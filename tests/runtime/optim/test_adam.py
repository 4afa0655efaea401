"""AdamW as the API names it, against torch's own."""

from __future__ import annotations

import math

import pytest
import torch
from mint_runtime.model.adapter import Adapter, named_matrices
from mint_runtime.optim.adam import Adam, AdamSettings

RANK = 2
SETTINGS = {
    "learning_rate": 1e-2,
    "beta1": 0.9,
    "beta2": 0.95,
    "eps": 1e-8,
    "weight_decay": 0.0,
    "grad_clip_norm": 0.0,
}


def settings(**changes):
    return AdamSettings(**{**SETTINGS, **changes})


def make(seed=0):
    """Return an adapter of two layers with random matrices."""
    generator = torch.Generator().manual_seed(seed)

    def random(*shape):
        return torch.randn(shape, generator=generator)

    matrices = {"a": (random(RANK, 4), random(3, RANK)), "b": (random(RANK, 3), random(5, RANK))}
    return Adapter.of(matrices, rank=RANK, alpha=32.0)


def single(value):
    """Return an adapter of two numbers, `value` and 0."""
    pair = (torch.tensor([[value]]), torch.tensor([[0.0]]))
    return Adapter.of({"w": pair}, rank=1, alpha=32.0)


def gradient_of(adapter, seed):
    gradient = adapter.zero_gradient()
    generator = torch.Generator().manual_seed(seed)
    gradient.flat_P.normal_(std=10, generator=generator)
    return gradient


def given(adapter, *values):
    gradient = adapter.zero_gradient()
    gradient.flat_P.copy_(torch.tensor(values))
    return gradient


@pytest.mark.parametrize(
    "changes",
    [{}, {"weight_decay": 0.1}, {"grad_clip_norm": 1.0}, {"grad_clip_norm": 1e6}, {"eps": 1e-2}],
    ids=["plain", "decay", "clipped", "clip out of reach", "large eps"],
)
def test_five_steps_follow_torch_with_a_new_learning_rate_each_time(changes):
    ours = make()
    theirs = [tensor.clone().requires_grad_() for tensor in ours.parameters()]
    adam, reference = Adam(ours), torch.optim.AdamW(theirs, foreach=False)
    numbers = settings(**changes)
    for step in range(5):
        rate = 1e-2 / (step + 1)
        gradient = gradient_of(ours, step)
        for tensor, pair in zip(theirs, named_matrices(gradient.pairs).values(), strict=True):
            tensor.grad = pair.clone()
        reference.param_groups[0].update(
            lr=rate,
            betas=(numbers.beta1, numbers.beta2),
            eps=numbers.eps,
            weight_decay=numbers.weight_decay,
        )
        if numbers.grad_clip_norm:
            torch.nn.utils.clip_grad_norm_(theirs, numbers.grad_clip_norm)
        reference.step()

        adam.step(gradient, settings(**{**changes, "learning_rate": rate}))

    # The same operations, in another loop order at most.
    torch.testing.assert_close(
        ours.parameters(), [tensor.detach() for tensor in theirs], rtol=1e-6, atol=1e-7
    )


def test_first_step_by_hand():
    adapter = single(2.0)

    Adam(adapter).step(
        given(adapter, 3.0, 0.0), settings(learning_rate=0.1, eps=1.0, weight_decay=0.5)
    )

    # Decay first: 2 * (1 - 0.1 * 0.5) = 1.9. Corrected moments are 3 and 9, and eps stands
    # outside the root: 1.9 - 0.1 * 3 / (3 + 1).
    assert adapter.flat_P[0].item() == pytest.approx(1.825, abs=1e-6)


def test_norm_is_global_and_taken_before_clipping():
    adapter = single(0.0)

    norm = Adam(adapter).step(given(adapter, 3.0, 4.0), settings(grad_clip_norm=0.5))

    assert norm == pytest.approx(5.0, abs=1e-6)


def test_zero_clip_norm_leaves_the_gradient_as_it_is():
    adapter = single(0.0)
    adam = Adam(adapter)

    adam.step(given(adapter, 1e4, 0.0), settings())

    # The first moment after one step is (1 - beta1) * gradient.
    assert adam.moments()["w.lora_A.exp_avg"].item() == pytest.approx(1e3, rel=1e-6)


def stepped(num_steps=3):
    """Return an adapter and its optimizer after some steps."""
    adapter = make()
    adam = Adam(adapter)
    for step in range(num_steps):
        adam.step(gradient_of(adapter, step), settings())
    return adapter, adam


def test_restored_optimizer_takes_the_same_next_step():
    original, adam = stepped()
    copy = original.frozen_copy()
    restored = Adam(copy)
    moments = {name: value.clone() for name, value in adam.moments().items()}

    restored.restore(moments, adam.num_steps)
    for adapter, optimizer in ((original, adam), (copy, restored)):
        optimizer.step(gradient_of(adapter, 9), settings(weight_decay=0.1))

    assert restored.num_steps == 4
    assert torch.equal(original.flat_P, copy.flat_P)


def test_copied_optimizer_takes_the_same_next_step_and_does_not_follow():
    original, adam = stepped()
    adapter = original.frozen_copy()
    twin = adam.copy(adapter)
    before = {name: value.clone() for name, value in twin.moments().items()}

    adam.step(gradient_of(original, 9), settings())

    assert all(torch.equal(value, before[name]) for name, value in twin.moments().items())
    twin.step(gradient_of(adapter, 9), settings())
    assert torch.equal(original.flat_P, adapter.flat_P)


def test_moments_without_count_would_step_differently():
    # Guards the tests above: bias correction depends on the count, so losing it must show.
    original, adam = stepped()
    copy = original.frozen_copy()
    restored = Adam(copy)
    restored.restore(adam.moments(), 1)
    for adapter, optimizer in ((original, adam), (copy, restored)):
        optimizer.step(gradient_of(adapter, 9), settings())

    assert not torch.equal(original.flat_P, copy.flat_P)


def test_no_moments_exist_before_the_first_step():
    assert Adam(make()).moments() == {}


def test_missing_moment_is_an_error():
    with pytest.raises(KeyError, match="exp_avg"):
        Adam(make()).restore({}, 1)


def test_moment_of_another_shape_is_an_error_and_keeps_the_state():
    _, adam = stepped(1)
    broken = {**adam.moments(), "b.lora_B.exp_avg_sq": torch.zeros(7)}

    with pytest.raises(ValueError, match=r"b\.lora_B\.exp_avg_sq is \[7\], not \[5, 2\]"):
        adam.restore(broken, 5)

    assert adam.num_steps == 1
    assert math.isfinite(adam.moments()["b.lora_B.exp_avg_sq"].sum())
