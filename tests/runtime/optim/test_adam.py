"""AdamW as the API names it, against torch's own."""

from __future__ import annotations

import math

import pytest
import torch
from mint_runtime.optim.adam import Adam, AdamSettings

SHAPES = {"a": (3, 4), "b": (5,)}
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


def tensors(seed=0):
    generator = torch.Generator().manual_seed(seed)
    return {
        name: torch.randn(shape, generator=generator).requires_grad_()
        for name, shape in SHAPES.items()
    }


def set_gradient(parameters, seed):
    generator = torch.Generator().manual_seed(seed)
    for parameter in parameters:
        parameter.grad = torch.randn(parameter.shape, generator=generator) * 10


@pytest.mark.parametrize(
    "changes",
    [{}, {"weight_decay": 0.1}, {"grad_clip_norm": 1.0}, {"grad_clip_norm": 1e6}, {"eps": 1e-2}],
    ids=["plain", "decay", "clipped", "clip out of reach", "large eps"],
)
def test_five_steps_follow_torch_with_a_new_learning_rate_each_time(changes):
    ours, theirs = tensors(), list(tensors().values())
    adam, reference = Adam(ours), torch.optim.AdamW(theirs, foreach=False)
    numbers = settings(**changes)
    for step in range(5):
        rate = 1e-2 / (step + 1)
        set_gradient(ours.values(), step)
        set_gradient(theirs, step)
        reference.param_groups[0].update(
            lr=rate,
            betas=(numbers.beta1, numbers.beta2),
            eps=numbers.eps,
            weight_decay=numbers.weight_decay,
        )
        if numbers.grad_clip_norm:
            torch.nn.utils.clip_grad_norm_(theirs, numbers.grad_clip_norm)
        reference.step()

        adam.step(settings(**{**changes, "learning_rate": rate}))

    # The same operations, in another loop order at most.
    torch.testing.assert_close(list(ours.values()), theirs, rtol=1e-6, atol=1e-7)


def test_first_step_by_hand():
    weight = torch.tensor([2.0], requires_grad=True)
    weight.grad = torch.tensor([3.0])

    Adam({"w": weight}).step(settings(learning_rate=0.1, eps=1.0, weight_decay=0.5))

    # Decay first: 2 * (1 - 0.1 * 0.5) = 1.9. Corrected moments are 3 and 9, and eps stands
    # outside the root: 1.9 - 0.1 * 3 / (3 + 1).
    assert weight.item() == pytest.approx(1.825, abs=1e-6)


def test_norm_is_global_and_taken_before_clipping():
    first = torch.zeros(2, requires_grad=True)
    second = torch.zeros(1, requires_grad=True)
    first.grad, second.grad = torch.tensor([3.0, 0.0]), torch.tensor([4.0])

    norm = Adam({"a": first, "b": second}).step(settings(grad_clip_norm=0.5))

    assert norm == pytest.approx(5.0, abs=1e-6)


def test_zero_clip_norm_leaves_the_gradient_as_it_is():
    weight = torch.zeros(1, requires_grad=True)
    weight.grad = torch.tensor([1e4])
    adam = Adam({"w": weight})

    adam.step(settings())

    # The first moment after one step is (1 - beta1) * gradient.
    assert adam.moments()["w.exp_avg"].item() == pytest.approx(1e3, rel=1e-6)


def test_gradient_is_forgotten_after_the_step():
    parameters = tensors()
    set_gradient(parameters.values(), 0)

    Adam(parameters).step(settings())

    assert [parameter.grad for parameter in parameters.values()] == [None, None]


def test_restored_optimizer_takes_the_same_next_step():
    original = tensors()
    adam = Adam(original)
    for step in range(3):
        set_gradient(original.values(), step)
        adam.step(settings())
    copy = {name: value.detach().clone().requires_grad_() for name, value in original.items()}
    restored = Adam(copy)
    moments = {name: value.clone() for name, value in adam.moments().items()}

    restored.restore(moments, adam.num_steps)
    for parameters, optimizer in ((original, adam), (copy, restored)):
        set_gradient(parameters.values(), 9)
        optimizer.step(settings(weight_decay=0.1))

    assert restored.num_steps == 4
    assert all(torch.equal(original[name], copy[name]) for name in original)


def test_moments_without_count_would_step_differently():
    # Guards the test above: bias correction depends on the count, so losing it must show.
    original, copy = tensors(), tensors()
    adam, restored = Adam(original), Adam(copy)
    for step in range(3):
        set_gradient(original.values(), step)
        adam.step(settings())
    restored.restore(adam.moments(), 1)
    with torch.no_grad():
        for name in copy:
            copy[name].copy_(original[name])
    for parameters, optimizer in ((original, adam), (copy, restored)):
        set_gradient(parameters.values(), 9)
        optimizer.step(settings())

    assert not torch.equal(original["a"], copy["a"])


def test_no_moments_exist_before_the_first_step():
    assert Adam(tensors()).moments() == {}


def test_missing_moment_is_an_error():
    with pytest.raises(KeyError, match="exp_avg"):
        Adam(tensors()).restore({}, 1)


def test_moment_of_another_shape_is_an_error_and_keeps_the_state():
    parameters = tensors()
    adam = Adam(parameters)
    set_gradient(parameters.values(), 0)
    adam.step(settings())
    broken = {**adam.moments(), "b.exp_avg_sq": torch.zeros(7)}

    with pytest.raises(ValueError, match=r"b\.exp_avg_sq is \[7\], not \[5\]"):
        adam.restore(broken, 5)

    assert adam.num_steps == 1
    assert math.isfinite(adam.moments()["b.exp_avg_sq"].sum())
