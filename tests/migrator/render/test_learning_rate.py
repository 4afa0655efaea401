"""The learning rate of every step is the one that transformers' scheduler gives."""

from __future__ import annotations

import math

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings
from support.pieces import pieces
from support.scripts import converted, sft
from transformers.optimization import get_scheduler

TOLERANCE = 1e-12
"""Both sides compute in double precision; only the order of operations differs."""
RATE = 2e-4
SCHEDULES = [
    ("linear", {}),
    ("cosine", {}),
    ("cosine", {"num_cycles": 1.5}),
    ("constant", {}),
    ("constant_with_warmup", {}),
    ("cosine_with_restarts", {}),
    ("cosine_with_restarts", {"num_cycles": 3}),
    ("polynomial", {}),
    ("polynomial", {"power": 2.0, "lr_end": 1e-6}),
    ("inverse_sqrt", {}),
    ("inverse_sqrt", {"timescale": 7}),
    ("cosine_with_min_lr", {"min_lr": 1e-5}),
    ("cosine_with_min_lr", {"min_lr_rate": 0.1}),
    ("cosine_with_min_lr", {"min_lr_rate": 0.1, "num_cycles": 1}),
    ("warmup_stable_decay", {"num_decay_steps": 4}),
    ("warmup_stable_decay", {"num_decay_steps": 4, "decay_type": "linear"}),
    ("warmup_stable_decay", {"num_decay_steps": 4, "decay_type": "1-sqrt"}),
]


def theirs(name: str, options: dict[str, object], num_steps: int, warmup: int) -> list[float]:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=RATE)
    scheduler = get_scheduler(
        name,
        optimizer,
        num_warmup_steps=warmup,
        num_training_steps=num_steps,
        scheduler_specific_kwargs=dict(options),
    )
    rates = []
    for _ in range(num_steps):
        rates.append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
    return rates


def ours(fields: str, num_steps: int) -> list[float]:
    config = f'output_dir="o", save_strategy="no", learning_rate={RATE}, {fields}'
    space = pieces(converted(sft(config=config)), "learning_rate_at")
    return [
        space["learning_rate_at"](step, num_steps, space["config"]) for step in range(num_steps)
    ]


@pytest.mark.parametrize(("name", "options"), SCHEDULES)
@settings(max_examples=6, derandomize=True, database=None, deadline=None)
@given(num_steps=st.integers(6, 40), warmup=st.integers(0, 6))
def test_the_rate_is_transformers(name, options, num_steps, warmup):
    expected = theirs(name, options, num_steps, warmup)
    fields = f"lr_scheduler_type={name!r}, warmup_steps={warmup}, lr_scheduler_kwargs={options!r}"
    assert ours(fields, num_steps) == pytest.approx(expected, rel=TOLERANCE, abs=RATE * TOLERANCE)


@settings(max_examples=10, derandomize=True, database=None, deadline=None)
@given(num_steps=st.integers(1, 60), ratio=st.sampled_from([0.03, 0.1, 0.25, 0.5]))
@pytest.mark.parametrize("field", ["warmup_ratio", "warmup_steps"])
def test_a_share_of_all_steps_is_rounded_up(field, num_steps, ratio):
    expected = theirs("linear", {}, num_steps, math.ceil(num_steps * ratio))
    found = ours(f"{field}={ratio}", num_steps)
    assert found == pytest.approx(expected, rel=TOLERANCE, abs=RATE * TOLERANCE)


@pytest.mark.parametrize("name", ["linear", "cosine", "constant", "constant_with_warmup"])
def test_a_schedule_chosen_at_run_time_gives_the_same_rates(name):
    expected = theirs(name, {}, 12, 0)
    assert ours(f"lr_scheduler_type=str({name!r})", 12) == pytest.approx(
        expected, rel=TOLERANCE, abs=RATE * TOLERANCE
    )


@pytest.mark.parametrize("name", ["linear", "cosine", "constant", "constant_with_warmup"])
def test_a_schedule_chosen_at_run_time_warms_up_as_the_named_one_does(name):
    expected = theirs(name, {}, 12, 3)
    found = ours(f"lr_scheduler_type=str({name!r}), warmup_steps=3", 12)
    assert found == pytest.approx(expected, rel=TOLERANCE, abs=RATE * TOLERANCE)
