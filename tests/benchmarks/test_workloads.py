"""The work every side gets is the same, and is what its description says."""

from __future__ import annotations

import json

import numpy as np
import pytest

from benchmarks.workloads import (
    SampleWork,
    TrainWork,
    prompt_arrays,
    sample_work,
    skewed_lengths,
    train_arrays,
    train_work,
    uniform_lengths,
)

TRAIN = TrainWork(
    lengths=(10, 3), vocab_size=50, loss_fn="importance_sampling", prompt_fraction=0.5
)
SAMPLE = SampleWork(prompts=(4, 6), outputs=(2, 3), vocab_size=50, num_samples=2)


def test_training_work_survives_its_journey_to_another_process():
    assert train_work(json.loads(json.dumps(TRAIN.to_json()))) == TRAIN


def test_sampling_work_survives_its_journey_to_another_process():
    assert sample_work(json.loads(json.dumps(SAMPLE.to_json()))) == SAMPLE


def test_the_same_work_is_expanded_to_the_same_arrays():
    first, second = train_arrays(TRAIN), train_arrays(TRAIN)
    assert all(
        np.array_equal(one[name], other[name])
        for one, other in zip(first, second, strict=True)
        for name in one
    )


def test_targets_are_the_next_tokens():
    (arrays, _) = train_arrays(TRAIN)
    assert np.array_equal(arrays["tokens"][1:], arrays["target_tokens"][:-1])


def test_active_positions_are_those_with_an_advantage():
    found = sum(np.count_nonzero(arrays["advantages"]) for arrays in train_arrays(TRAIN))
    assert found == TRAIN.num_active


def test_every_array_has_one_value_per_position():
    shapes = [{array.shape for array in arrays.values()} for arrays in train_arrays(TRAIN)]
    assert shapes == [{(10,)}, {(3,)}]


def test_prompts_have_their_lengths_and_no_special_token():
    prompts = prompt_arrays(SAMPLE)
    assert [len(prompt) for prompt in prompts] == [4, 6]
    assert min(prompt.min() for prompt in prompts) >= 3


def test_tokens_to_draw_count_every_sample():
    assert SAMPLE.num_tokens == 2 * (2 + 3)


@pytest.mark.parametrize("seed", range(3))
def test_uniform_lengths_stay_in_their_range(seed):
    lengths = uniform_lengths(500, 20, 160, seed=seed)
    assert (min(lengths), max(lengths)) == (20, 160)


def test_skewed_lengths_have_a_long_tail_around_their_median():
    lengths = skewed_lengths(2000, 32, 8, 256, seed=0)
    assert np.median(lengths) == pytest.approx(32, rel=0.1)
    assert np.mean(lengths) > 1.2 * np.median(lengths)
    assert (min(lengths), max(lengths)) == (8, 256)
