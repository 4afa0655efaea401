"""Distillation steps against a plain computation with all logits in memory."""

from __future__ import annotations

from contextlib import contextmanager

import numpy as np
import pytest
import torch
from mint_runtime.engine.commands import ReverseKLDatum, ReverseKLStep
from mint_runtime.engine.models import Sampler
from mint_runtime.engine.reverse_kl import reverse_kl_step
from mint_runtime.errors import UserError
from mint_runtime.model.attention import CausalPlan
from mint_runtime.model.lora import LoraPlan
from mint_runtime.model.memory import PassBudget, recomputing
from support.tiny import VOCAB_SIZE, gradient, logits, trained, worst_error

TEMPERATURE = 1.5


def item(length, seed, *, extra=0, **changes):
    """Return a datum whose reference has `extra` more tokens in front."""
    rng = np.random.default_rng(seed)
    tokens = rng.integers(0, VOCAB_SIZE, length + max(extra, 0))
    weights = rng.random(length).astype(np.float32)
    weights[: length // 3] = 0
    values = {
        "student_tokens": tokens[-length:],
        "reference_tokens": tokens if extra >= 0 else tokens[-extra:],
        "target_tokens": rng.integers(0, VOCAB_SIZE, length),
        "weights": weights,
    }
    return ReverseKLDatum(**{**values, **changes})


DATA = (item(12, 0), item(7, 1, extra=5), item(9, 2, extra=-3), item(4, 3, extra=30))


def step(*data, temperature=TEMPERATURE):
    return ReverseKLStep(model_id="m", reference_sampler_id="r", data=data, temperature=temperature)


class FixedBudget(PassBudget):
    """Says how wide passes are without looking at the memory; can recompute every layer."""

    def __init__(self, base, max_rows=4096, *, recomputes=False):
        super().__init__(base)
        self._max_rows, self._recomputes = max_rows, recomputes
        self.wanted = []

    def max_rows(self):
        return self._max_rows

    @contextmanager
    def fitting(self, num_rows, *, backward):
        self.wanted.append((num_rows, backward))
        with recomputing(self._base, 99 if self._recomputes else 0):
            yield


@pytest.fixture
def model(base):
    return trained(base)


@pytest.fixture
def reference(base):
    return Sampler(base=base, adapter=trained(base, seed=4).adapter.frozen_copy())


def expected_loss(model, reference, flat):
    """Compute the losses with autograd through the student's logits, by finite differences' foe."""
    losses = []
    for datum in DATA:
        student = logits(model.base, torch.from_numpy(datum.student_tokens), flat)
        other = logits(reference.base, torch.from_numpy(datum.reference_tokens), reference.adapter)
        shift = len(other) - len(student)
        p = (student / TEMPERATURE).double().log_softmax(dim=1)
        r = (other / TEMPERATURE).double().log_softmax(dim=1)
        loss = [
            float(weight * (p[t].exp() * (p[t] - r[t + shift])).sum()) if weight else 0.0
            for t, weight in enumerate(datum.weights)
        ]
        losses.append(np.array(loss))
    return losses


@pytest.mark.parametrize("max_rows", [1, 4096])
def test_losses_equal_the_divergence_of_whole_distributions(model, reference, max_rows):
    expected = expected_loss(model, reference, model.adapter)

    result = reverse_kl_step(model, reference, step(*DATA), FixedBudget(model.base, max_rows))

    for output, loss in zip(result.outputs, expected, strict=True):
        np.testing.assert_allclose(output["loss"], loss, atol=1e-5, rtol=1e-4)
    assert result.metrics["loss:sum"] == pytest.approx(sum(map(sum, expected)), rel=1e-4)


def test_gradient_equals_autograd_through_whole_logits(model, reference):
    (datum,) = (DATA[1],)
    reverse_kl_step(model, reference, step(datum), FixedBudget(model.base))
    found = gradient(model)

    gradient_sum = model.adapter.zero_gradient()
    tokens = torch.from_numpy(datum.student_tokens)
    with model.base.under(LoraPlan.whole(model.adapter, len(tokens), gradient_sum)):
        hidden = model.base.hidden(
            tokens, torch.arange(len(tokens)), CausalPlan((len(tokens),), tokens.device)
        )
        student = (model.base.unembed(hidden) / TEMPERATURE).log_softmax(dim=1)
        other = logits(model.base, torch.from_numpy(datum.reference_tokens), reference.adapter)
        other = (other[-len(tokens) :] / TEMPERATURE).log_softmax(dim=1)
        weights = torch.from_numpy(datum.weights)
        ((student.exp() * (student - other)).sum(dim=1) * weights).sum().backward()

    views = model.adapter.views(gradient_sum.flat_P)
    expected = {
        f"{name}.lora_{letter}": matrix
        for name, pair in views.items()
        for letter, matrix in (("A", pair.a_RI), ("B", pair.b_OR))
    }
    assert worst_error(found, expected) < 1e-4  # two float32 programs for a difference of logs


def test_gradient_is_the_same_with_layers_recomputed(model, reference):
    budget = FixedBudget(model.base, recomputes=True)
    reverse_kl_step(model, reference, step(*DATA), FixedBudget(model.base))
    expected, model.gradient = gradient(model), None

    reverse_kl_step(model, reference, step(*DATA), budget)

    assert budget.wanted == [(sum(len(datum.student_tokens) for datum in DATA), True)]
    assert worst_error(gradient(model), expected) < 1e-5  # the same float32 operations again


def test_a_model_does_not_diverge_from_itself(model):
    itself = Sampler(base=model.base, adapter=model.adapter.frozen_copy())

    result = reverse_kl_step(model, itself, step(DATA[0]), FixedBudget(model.base))

    assert result.metrics["loss:sum"] == pytest.approx(0.0, abs=1e-5)


@pytest.mark.parametrize(
    ("broken", "sentence"),
    [
        (item(6, 0, target_tokens=np.arange(5)), "`target_tokens` has 5 tokens"),
        (item(6, 0, weights=np.full(6, np.nan, np.float32)), "`weights` holds nan"),
        (item(6, 0, weights=np.ones(5, np.float32)), "`weights` has shape"),
        (item(9, 2, extra=-4), "position 3 has a weight"),
        (item(6, 0, reference_tokens=np.array([VOCAB_SIZE])), "`reference_input` holds 512"),
    ],
    ids=["targets", "nan", "shape", "uncovered", "vocabulary"],
)
def test_datums_that_do_not_fit_are_refused_and_change_nothing(model, reference, broken, sentence):
    with pytest.raises(UserError, match=f"datum 1: .*{sentence}|datum 1: {sentence}"):
        reverse_kl_step(model, reference, step(DATA[0], broken), FixedBudget(model.base))

    assert model.gradient is None


def test_temperature_must_be_positive(model, reference):
    with pytest.raises(UserError, match="`temperature` is 0"):
        reverse_kl_step(model, reference, step(DATA[0], temperature=0.0), FixedBudget(model.base))
