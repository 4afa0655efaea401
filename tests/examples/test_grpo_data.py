"""The data of a GRPO step."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import Future
from types import SimpleNamespace

import pytest
from grpo_data import Group, add_kl_penalty, batch_at, build_datum, build_datums, group_advantages
from hypothesis import given
from hypothesis import strategies as st
from mint import types

TOLERANCE = 1e-6
"""The client keeps floats of datums in float32."""


def sequence(*tokens: int, logprob: float = -0.5) -> SimpleNamespace:
    """Return what a response is made of; the client's own class is built differently by release."""
    return SimpleNamespace(tokens=list(tokens), logprobs=[logprob] * len(tokens))


def values(datum: types.Datum, key: str) -> list[float]:
    return datum.loss_fn_inputs[key].tolist()


def test_advantages_are_the_distance_to_the_mean_of_the_group():
    assert group_advantages([1.0, 0.0, 0.0, 0.0]) == [0.75, -0.25, -0.25, -0.25]


def test_advantages_can_be_divided_by_the_standard_deviation():
    # Of 0 and 2, with n - 1 below the root: sqrt(2).
    found = group_advantages([0.0, 2.0], normalize_by_std=True)
    assert found == pytest.approx([-(0.5**0.5), 0.5**0.5], rel=1e-5)


@given(
    prompt=st.lists(st.integers(0, 99), min_size=1, max_size=6),
    response=st.lists(st.integers(0, 99), min_size=1, max_size=6),
)
def test_a_datum_lines_up_prompt_and_response(prompt, response):
    datum = build_datum(prompt, sequence(*response), 2.0)
    inputs, targets = datum.model_input.to_ints(), values(datum, "target_tokens")
    weights = values(datum, "weights")
    assert inputs == (prompt + response)[:-1]
    assert targets == (prompt + response)[1:]
    assert [token for token, weight in zip(targets, weights, strict=True) if weight] == response
    assert weights == [0.0] * (len(prompt) - 1) + [1.0] * len(response)
    assert values(datum, "advantages") == [2.0 * weight for weight in weights]
    assert values(datum, "logprobs") == [-0.5 * weight for weight in weights]


@pytest.mark.parametrize("logprobs", [None, [-0.5]], ids=["missing", "too few"])
def test_a_response_without_its_log_probabilities_is_refused(logprobs):
    drawn = SimpleNamespace(tokens=[1, 2], logprobs=logprobs)
    with pytest.raises(ValueError, match="a response of 2 tokens came with"):
        build_datum([5], drawn, 1.0)


def test_a_group_of_equal_rewards_gives_no_datum():
    group = Group(prompt=[1], sequences=[sequence(2), sequence(3)], rewards=[1.0, 1.0])
    assert build_datums([group]) == []


def test_a_group_of_equal_rewards_is_kept_for_a_penalty():
    group = Group(prompt=[1], sequences=[sequence(2), sequence(3)], rewards=[1.0, 1.0])
    kept = build_datums([group], keep_equal=True)
    assert [values(datum, "advantages") for datum in kept] == [[0.0], [0.0]]


def test_an_empty_response_gives_no_datum_but_counts_in_the_mean():
    group = Group(prompt=[1], sequences=[sequence(), sequence(3)], rewards=[0.0, 1.0])
    (datum,) = build_datums([group])
    assert values(datum, "advantages") == [0.5]


def test_a_pass_through_the_data_leaves_nothing_out():
    seen = [sample for step in range(4) for sample in batch_at(range(12), step, 3, seed=0)]
    assert Counter(seen) == Counter(range(12))


def test_a_batch_may_reach_into_the_next_pass():
    seen = [sample for step in range(6) for sample in batch_at(range(4), step, 6, seed=0)]
    assert Counter(seen) == Counter(dict.fromkeys(range(4), 9))


def test_steps_differ():
    assert batch_at(range(100), 0, 8, seed=0) != batch_at(range(100), 1, 8, seed=0)


def test_passes_are_shuffled_anew():
    assert batch_at(range(20), 0, 20, seed=0) != batch_at(range(20), 1, 20, seed=0)


class Fixed:
    """Answers `compute_logprobs` with the same value for every token but the first."""

    def __init__(self, value: float) -> None:
        self.value = value
        self.asked: list[list[int]] = []

    def compute_logprobs(self, prompt: types.ModelInput) -> Future[list[float | None]]:
        self.asked.append(prompt.to_ints())
        # Longer sequences are less likely under the policy: the gap grows with the length.
        value = self.value * prompt.length
        future: Future[list[float | None]] = Future()
        future.set_result([None] + [value] * (prompt.length - 1))
        return future


def test_the_kl_penalty_is_taken_off_where_the_policy_has_drifted_most():
    datums = [build_datum([1, 2], sequence(3), 1.0), build_datum([1, 2], sequence(3, 4), 0.0)]
    policy, reference = Fixed(-0.1), Fixed(-0.2)
    penalized, average = add_kl_penalty(datums, policy, reference, 0.5)
    assert policy.asked == reference.asked == [[1, 2, 3], [1, 2, 3, 4]]
    # Gaps per token: 0.3, then twice 0.4; their mean over three tokens is 1.1 / 3.
    assert average == pytest.approx(1.1 / 3)
    first, second = (values(datum, "advantages") for datum in penalized)
    assert first == pytest.approx([0.0, 1.0 + 0.5 * (1.1 / 3 - 0.3)], abs=TOLERANCE)
    assert second == pytest.approx([0.0, *[0.5 * (1.1 / 3 - 0.4)] * 2], abs=TOLERANCE)
