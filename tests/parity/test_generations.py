"""Which completions are written down, and what of a generated row belongs to them."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
import torch
from mint_migrate.parity.harness.generations import Generations, completions_of
from mint_migrate.parity.harness.quantities import MicroBatch, Quantities, measure
from mint_migrate.parity.harness.spec import REPLAY

BEFORE, FIRST, LATER = ({"prompt": [number], "completion": [2]} for number in (7, 8, 9))


def written(folder):
    """Return the lines of the file, or None where there is none."""
    file = folder / REPLAY
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else None


def test_what_is_generated_before_training_counts_once_training_generates(tmp_path):
    generations = Generations(tmp_path)
    generations.add([BEFORE])
    assert written(tmp_path) is None
    generations.is_training = True
    generations.add([FIRST])
    generations.stepped()
    generations.add([LATER])
    assert written(tmp_path) == [BEFORE, FIRST, LATER]
    assert generations.step == 1


def test_training_that_takes_a_step_without_generating_writes_nothing(tmp_path):
    generations = Generations(tmp_path)
    generations.add([BEFORE])
    generations.is_training = True
    generations.stepped()
    generations.add([LATER])
    assert written(tmp_path) is None


def test_padding_is_taken_off_both_ends_and_each_prompt_keeps_its_completions():
    prompts = torch.tensor([[0, 0, 5, 6], [7, 8, 9, 3]])
    mask = torch.tensor([[0, 0, 1, 1], [1, 1, 1, 1]])
    found = torch.tensor(
        [
            [0, 0, 5, 6, 11, 2, 0],
            [0, 0, 5, 6, 12, 13, 14],
            [7, 8, 9, 3, 2, 0, 0],
            [7, 8, 9, 3, 15, 4, 0],
        ]
    )
    lines = list(completions_of(prompts, mask, found, frozenset({2, 4}), 3))
    assert [(line["prompt"], line["completion"]) for line in lines] == [
        ([5, 6], [11, 2]),
        ([5, 6], [12, 13, 14]),
        ([7, 8, 9, 3], [2]),
        ([7, 8, 9, 3], [15, 4]),
    ]
    assert {line["step"] for line in lines} == {3}


def trainer(**lists):
    """Return an object that keeps lists where trainers do."""
    return SimpleNamespace(_metrics={"train": lists, "eval": {"kl": [99.0]}})


def sampled(num_tokens, num_rows, *, is_sampled=True, is_marked=False):
    return MicroBatch(
        num_tokens=num_tokens, num_rows=num_rows, is_sampled=is_sampled, is_marked=is_marked
    )


def test_numbers_of_micro_batches_become_means_over_tokens_or_rows():
    quantities = Quantities(trainer(kl=[1.0, 4.0], reward=[0.5], **{"rewards/chosen": [1.0, 4.0]}))
    found = quantities.take([sampled(2, 1), sampled(1, 3)])
    assert found == {"kl": 2.0, "reward": 0.5, "rewards/chosen": 3.25}


def test_each_step_takes_what_is_new_whether_or_not_a_log_came_between():
    owner = trainer(reward=[1.0])
    quantities = Quantities(owner)
    assert quantities.take([])["reward"] == 1.0
    owner._metrics["train"]["reward"].append(2.0)
    assert quantities.take([])["reward"] == 2.0
    owner._metrics["train"] = {"reward": [3.0]}
    assert quantities.take([])["reward"] == 3.0
    assert quantities.take([]) == {}


@pytest.mark.parametrize(
    "batches",
    [
        [sampled(2, 1)] * 3,
        [sampled(2, 1, is_marked=True)] * 2,
    ],
    ids=["another number of micro-batches", "marks in any proportion"],
)
def test_numbers_whose_weights_are_unknown_are_left_out(batches):
    assert Quantities(trainer(kl=[1.0, 4.0])).take(batches) == {}


def test_order_of_rewards_and_what_only_a_trainer_knows_are_left_out():
    kept = trainer(entropy=[1.0], **{"rewards/accuracies": [1.0], "logits/chosen": [1.0]})
    assert Quantities(kept).take([]) == {}


MASK = torch.tensor([[0, 1, 1], [0, 0, 1]])


@pytest.mark.parametrize(
    ("inputs", "num_tokens", "num_rows"),
    [
        ({"labels": torch.tensor([[1, 2, -100], [-100, -100, 3]])}, 2, 2),
        ({"chosen_labels": MASK, "rejected_labels": MASK}, 8, 4),
        ({"input_ids": MASK, "completion_mask": torch.tensor([[1, 1, 1]])}, 2, 1),
        ({"completion_ids": MASK, "completion_mask": MASK}, 3, 2),
        ({"completion_ids": MASK, "completion_mask": MASK, "tool_mask": MASK - 1}, 0, 2),
        (
            {
                "prompt_input_ids": MASK,
                "chosen_attention_mask": MASK,
                "rejected_attention_mask": MASK,
            },
            6,
            4,
        ),
        ({"prompt": ["a", "b"]}, 0, 2),
    ],
)
def test_targets_are_counted_whatever_a_trainer_calls_them(inputs, num_tokens, num_rows):
    batch = measure(inputs)
    assert batch is not None
    assert (batch.num_tokens, batch.num_rows) == (num_tokens, num_rows)


def test_inputs_without_targets_are_unknown():
    assert measure({"input_ids": MASK}) is None
