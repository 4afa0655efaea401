"""Log-probabilities and their derivative from hidden states, slice by slice."""

from __future__ import annotations

import pytest
import torch
from mint_runtime.model import head
from mint_runtime.model.adapter import new_adapter
from mint_runtime.model.head import TargetLogprobs, top_logprobs
from mint_runtime.model.lora import LoraPlan, LoraRows
from support.tiny import VOCAB_SIZE, shake

NUM_ROWS = 70
# Two orders of summation in float32.
TOLERANCE = 1e-5
GROUPS = frozenset({"unembed"})


@pytest.fixture
def hidden(base):
    generator = torch.Generator().manual_seed(0)
    width = base.network.config.hidden_size
    return torch.randn(NUM_ROWS, width, generator=generator).requires_grad_()


@pytest.fixture
def target():
    return torch.randint(VOCAB_SIZE, (NUM_ROWS, 3), generator=torch.Generator().manual_seed(2))


@pytest.fixture
def adapters(base):
    """Return two adapters of different rank, with gradients."""
    made = [new_adapter(base.layers, rank=rank, groups=GROUPS, seed=rank) for rank in (2, 3)]
    shake(made[0], 0), shake(made[1], 1)
    return [(adapter, adapter.zero_gradient()) for adapter in made]


def plan_of(adapters):
    """Give rows 10 to 40 to the first adapter and 50 to 70 to the second."""
    ranges = [(10, 40), (50, 70)]
    return LoraPlan(
        [
            LoraRows(start=start, end=end, adapter=adapter, gradient=gradient)
            for (start, end), (adapter, gradient) in zip(ranges, adapters, strict=True)
        ]
    )


def whole_logits(base, hidden, plan, flats):
    """Compute all logits at once with autograd, the adapters' numbers taken from `flats`."""
    logits = hidden @ base.unembedding.weight.T
    for rows, flat in zip(plan.rows, flats, strict=True):
        pair = rows.adapter.views(flat)["lm_head"]
        update = rows.adapter.scaling * hidden[rows.start : rows.end] @ pair.a_RI.T @ pair.b_OR.T
        logits = torch.cat(
            [logits[: rows.start], logits[rows.start : rows.end] + update, logits[rows.end :]]
        )
    return logits


@pytest.fixture(params=["one slice", "many slices", "kept slices"])
def slicing(request, monkeypatch):
    """Cut the rows in different ways, and keep logits or make them again."""
    rows = NUM_ROWS if request.param == "one slice" else 32
    monkeypatch.setattr(head, "slice_rows", lambda base: rows)
    monkeypatch.setattr(head, "_KEPT_LOGITS", 0 if request.param == "many slices" else 2**30)


@pytest.mark.usefixtures("slicing")
@pytest.mark.parametrize("silent", [(), (3, 11, 12, 33, 69)], ids=["all rows", "some rows"])
def test_values_and_derivatives_equal_those_of_all_logits_at_once(
    base, hidden, target, adapters, silent
):
    plan = plan_of(adapters)
    flats = [adapter.flat_P.clone().requires_grad_() for adapter, _ in adapters]
    expected = whole_logits(base, hidden, plan, flats).log_softmax(dim=1).gather(1, target)
    slopes = torch.randn(NUM_ROWS, 3, generator=torch.Generator().manual_seed(5))
    slopes[list(silent)] = 0
    (expected * slopes).sum().backward()

    found = TargetLogprobs(base, hidden, target, plan)
    derivative = found.backward(slopes)

    torch.testing.assert_close(found.logp_NK, expected.detach(), atol=TOLERANCE, rtol=0)
    torch.testing.assert_close(derivative, hidden.grad, atol=TOLERANCE, rtol=1e-4)
    for (_, gradient), flat in zip(adapters, flats, strict=True):
        torch.testing.assert_close(gradient.flat_P, flat.grad, atol=TOLERANCE, rtol=1e-4)


def test_repeated_targets_of_a_row_add_up(base, hidden):
    target = torch.full((NUM_ROWS, 2), 7)
    plan = LoraPlan(())

    twice = TargetLogprobs(base, hidden, target, plan).backward(torch.ones(NUM_ROWS, 2))
    once = TargetLogprobs(base, hidden, target[:, :1], plan).backward(torch.ones(NUM_ROWS, 1))

    torch.testing.assert_close(twice, 2 * once, atol=TOLERANCE, rtol=1e-4)


def test_no_more_logits_exist_at_once_than_a_slice(base, hidden, target, monkeypatch):
    sizes = []
    plain = head.logits
    monkeypatch.setattr(head, "slice_rows", lambda base: 32)
    monkeypatch.setattr(head, "_KEPT_LOGITS", 0)
    monkeypatch.setattr(
        head, "logits", lambda base, rows, plan: sizes.append(len(rows)) or plain(base, rows, plan)
    )

    TargetLogprobs(base, hidden, target, LoraPlan(())).backward(torch.ones(NUM_ROWS, 3))

    assert sizes == [32, 32, 6] * 2


def test_rows_the_loss_does_not_depend_on_are_not_computed_again(base, hidden, target, monkeypatch):
    monkeypatch.setattr(head, "_KEPT_LOGITS", 0)
    found = TargetLogprobs(base, hidden, target, LoraPlan(()))
    slopes = torch.zeros(NUM_ROWS, 3)
    slopes[5] = 1.0
    sizes = []
    plain = head.logits
    monkeypatch.setattr(
        head, "logits", lambda base, rows, plan: sizes.append(len(rows)) or plain(base, rows, plan)
    )

    derivative = found.backward(slopes)

    assert sizes == [1]
    assert derivative.any(dim=1).nonzero()[:, 0].tolist() == [5]


def test_top_tokens_are_the_largest_of_log_softmax_best_first(base, hidden):
    expected = (hidden @ base.unembedding.weight.T).log_softmax(dim=1).sort(dim=1, descending=True)

    ids, values = top_logprobs(base, hidden.detach(), 3, LoraPlan(()))

    assert ids.tolist() == expected.indices[:, :3].tolist()
    torch.testing.assert_close(values, expected.values[:, :3].detach(), atol=TOLERANCE, rtol=0)
