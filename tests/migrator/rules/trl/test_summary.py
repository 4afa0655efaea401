"""What the user's code reads of the result of `train()`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.pieces import pieces
from support.scripts import LORA, SFT, converted, decision, migrated


def trained(after: str, target: str = "stats = ") -> str:
    text = SFT.format(config='output_dir="out"', lora=LORA, trainer="", after=after)
    return text.replace("trainer.train()", f"{target}trainer.train()")


@pytest.mark.parametrize(
    "reads",
    [
        "print(stats.metrics['train_runtime'])",
        "speed = stats.metrics['train_samples_per_second']",
        "m = stats.metrics\nprint(m['train_steps_per_second'])",
    ],
)
def test_training_is_timed_where_the_script_reads_its_speed(reads):
    result = migrated(trained(reads))
    text = converted(result)
    assert "started = time.perf_counter()\n" in text
    assert (
        "training_summary(config.output_dir, config.batch_size, time.perf_counter() - started)"
        in text
    )
    assert "figures of its speed" in decision(result, "trl.SFTTrainer.train").note


@pytest.mark.parametrize("reads", ["", "print(stats.training_loss)", "print(stats.metrics)"])
def test_nothing_is_timed_where_nobody_asks(reads):
    text = converted(migrated(trained(reads)))
    assert "time" not in text.split("def training_summary")[1].split("Trainer's")[0]
    assert "import time" not in text


def test_a_result_that_is_not_bound_is_not_summed_up():
    text = converted(migrated(trained("print('train_runtime')", target="")))
    assert "training_summary" not in text
    assert "import time" not in text


def test_the_figures_are_those_of_the_trainer(tmp_path: Path):
    text = converted(migrated(trained("print(stats.metrics['train_runtime'])")))
    lines = [{"step": 0, "loss": 2.0}, {"step": 0, "eval_loss": 9.0}, {"step": 1, "loss": 1.0}]
    content = "".join(json.dumps(line) + "\n" for line in lines)
    (tmp_path / "metrics.jsonl").write_text(content, encoding="utf-8")
    space = pieces(text, "training_summary")
    space["training_summary"].__globals__.update(json=json, Path=Path)
    found = space["training_summary"](str(tmp_path), 8, 4.0)
    assert (found.global_step, found.training_loss) == (2, 1.5)
    assert found.metrics == {
        "train_runtime": 4.0,
        "train_samples_per_second": 4.0,
        "train_steps_per_second": 0.5,
        "train_loss": 1.5,
    }
