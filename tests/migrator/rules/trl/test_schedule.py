"""Which schedules become a function of the step, and which stop the conversion."""

from __future__ import annotations

import pytest
from mint_migrate.model.plan import Fidelity
from support.scripts import converted, decision, sft

BASE = 'output_dir="out", save_strategy="no", '


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ("", "(num_steps - step) / num_steps"),
        ("warmup_steps=5", "warmup_steps = config.warmup_steps\n"),
        ("warmup_ratio=0.1", "math.ceil(num_steps * config.warmup_ratio)"),
        ("warmup_steps=0.1", "math.ceil(num_steps * config.warmup_steps)"),
        ("warmup_steps=5, warmup_ratio=0.1", "warmup_steps = config.warmup_steps\n"),
        (
            "warmup_steps=w, warmup_ratio=0.1",
            "config.warmup_steps or math.ceil(num_steps * config.warmup_ratio)",
        ),
        ("lr_scheduler_type='constant', warmup_steps=5", "    return config.learning_rate\n"),
        ("lr_scheduler_type=SchedulerType.COSINE", "math.cos(math.pi * progress)"),
        (
            "lr_scheduler_type='cosine', lr_scheduler_kwargs={'num_cycles': 0.5}",
            "math.cos(math.pi * progress)",
        ),
        (
            "lr_scheduler_type='cosine', lr_scheduler_kwargs={'num_cycles': a + b}",
            "math.pi * 2.0 * config.num_cycles",
        ),
        ("lr_scheduler_type='polynomial', lr_scheduler_kwargs={'power': a + b}", "** config.power"),
        (
            "lr_scheduler_type='cosine_with_min_lr', lr_scheduler_kwargs=dict(min_lr=a + b)",
            "floor = config.min_lr / config.learning_rate",
        ),
        (
            "lr_scheduler_type='cosine_with_min_lr', lr_scheduler_kwargs={'min_lr_rate': 0.1}",
            "floor = 0.1\n",
        ),
        (
            "lr_scheduler_type='inverse_sqrt', lr_scheduler_kwargs={'timescale': 7}",
            "timescale = 7\n",
        ),
        ("lr_scheduler_type=kind", "kind = config.lr_scheduler_type"),
    ],
)
def test_a_schedule_becomes_a_function_of_the_step(fields, line):
    assert line in converted(sft(config=BASE + fields))


def test_no_warmup_leaves_no_trace():
    assert "warmup" not in converted(sft(config=BASE + "warmup_steps=0, warmup_ratio=0.0"))


def test_a_schedule_chosen_at_run_time_is_approximate():
    found = decision(sft(config=BASE + "lr_scheduler_type=kind"), "trl.SFTConfig.lr_scheduler_type")
    assert (found.fidelity, found.code) == (Fidelity.APPROXIMATE, "MM212")


@pytest.mark.parametrize(
    "fields",
    [
        "lr_scheduler_type='reduce_lr_on_plateau'",
        "lr_scheduler_type='greedy'",
        "lr_scheduler_type='cosine_warmup_with_min_lr'",
        "lr_scheduler_type='cosine', lr_scheduler_kwargs=options",
        "lr_scheduler_type='cosine', lr_scheduler_kwargs={'num_cycles': 1, **more}",
        "lr_scheduler_type='cosine', lr_scheduler_kwargs=dict(num_cycles=1, **more)",
        "lr_scheduler_type='warmup_stable_decay', lr_scheduler_kwargs={'decay_type': kind}",
        "lr_scheduler_type='warmup_stable_decay', warmup_steps=2, "
        "lr_scheduler_kwargs={'warmup_type': 'cosine'}",
        "lr_scheduler_type='warmup_stable_decay', lr_scheduler_kwargs={'num_stable_steps': 5}",
        "lr_scheduler_type=kind, lr_scheduler_kwargs={'num_cycles': 2}",
    ],
)
def test_a_schedule_that_cannot_be_computed_is_left_alone(fields):
    result = sft(config=BASE + fields)
    assert result.text is None
    assert result.notices[0].startswith("MM212: ")
