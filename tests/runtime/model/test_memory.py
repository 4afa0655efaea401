"""What a pass takes, and what is done when it does not fit."""

from __future__ import annotations

import torch
from mint_runtime.model import memory
from mint_runtime.model.memory import MIN_PASS_TOKENS, PassBudget, PassMemory, measure, recomputing
from support.tiny import datum, gradient, step, train_step, trained, worst_error


def test_rows_are_as_many_as_half_of_the_free_memory_holds():
    assert PassMemory(per_row=100.0, per_input=10.0, num_layers=4).rows(10_000) == 50


def test_as_few_layers_are_recomputed_as_suffice():
    each = PassMemory(per_row=400.0, per_input=20.0, num_layers=4)

    # Four layers keep 100 bytes a row each; a recomputed one keeps 20 instead.
    assert each.layers_to_recompute(100, 80_000) == 0
    assert each.layers_to_recompute(100, 64_000) == 1
    assert each.layers_to_recompute(100, 60_000) == 2
    assert each.layers_to_recompute(100, 1_000) == 4


def test_measured_memory_is_what_autograd_keeps_for_other_lengths_too(base):
    model = trained(base, rank=16, train_unembed=False)
    kept = {}
    weights = {each.untyped_storage().data_ptr() for each in base.network.parameters()}

    def count(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
        train_step(model, step(datum(300, 0)))

    # The head and the loss add their own; the layers are by far the most of it.
    assert 0.8 < measure(base).per_row * 300 / sum(kept.values()) < 1.2


def test_recomputed_layers_give_the_same_numbers_and_keep_less(base):
    model, other = trained(base), trained(base)
    command = step(datum(40, 0), datum(9, 1))
    plain = train_step(model, command)

    with recomputing(base, 2):
        again = train_step(other, command)
        kept_then = measure(base).per_row

    assert again.metrics == plain.metrics
    assert worst_error(gradient(other), gradient(model)) == 0.0
    assert kept_then < measure(base).per_row / 2


def test_layers_are_as_before_after_an_error(base):
    before = measure(base).per_row
    try:
        with recomputing(base, 2):
            raise KeyError
    except KeyError:
        pass

    assert measure(base).per_row == before


def test_passes_shrink_with_free_memory_but_not_below_what_is_useful(base, monkeypatch):
    budget = PassBudget(base)
    monkeypatch.setattr(memory, "_ASK_AGAIN_S", -1.0)
    monkeypatch.setattr(memory, "available_bytes", lambda device: 2**50)
    assert budget.max_rows() == memory.MAX_PASS_TOKENS["cpu"]

    monkeypatch.setattr(memory, "available_bytes", lambda device: int(budget.memory.per_row * 2000))
    assert budget.max_rows() == 1000

    monkeypatch.setattr(memory, "available_bytes", lambda device: 0)
    assert budget.max_rows() == MIN_PASS_TOKENS


def test_free_memory_is_asked_for_now_and_then_only(base, monkeypatch):
    budget, asked = PassBudget(base), []
    monkeypatch.setattr(memory, "available_bytes", lambda device: asked.append(1) or 2**50)

    for _ in range(3):
        budget.max_rows()

    assert len(asked) == 1
