"""`datums_from_batch`: tokens, masks, log-probabilities and advantages stay beside each other."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import hypothesis
import pytest
import torch
from hypothesis import strategies as st
from support.library import library

PAD = 0


@st.composite
def rows(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Return rows as plain lists: prompt, response, and what belongs to each token of it."""
    drawn = []
    for _ in range(draw(st.integers(1, 5))):
        # Tokens may be the padding token: what counts is the mask, not the number.
        prompt = draw(st.lists(st.integers(0, 50), min_size=1, max_size=6))
        response = draw(st.lists(st.integers(0, 50), max_size=6))
        size = len(response)
        drawn.append(
            {
                "prompt": prompt,
                "response": response,
                "written": draw(st.lists(st.booleans(), min_size=size, max_size=size)),
                "logprobs": [-0.25 * (position + 1) for position in range(size)],
                "advantages": draw(st.lists(st.integers(-8, 8), min_size=size, max_size=size)),
            }
        )
    return drawn


def padded(values: list[Any], width: int, *, left: bool = False) -> list[Any]:
    missing = [PAD] * (width - len(values))
    return [*missing, *values] if left else [*values, *missing]


def batch_of(rows: list[dict[str, Any]], *, mask: str, extra: int) -> Any:
    """Return a batch as verl's rollout leaves it: prompts padded left, responses right."""
    before = max(len(row["prompt"]) for row in rows) + extra
    behind = max([1, *(len(row["response"]) for row in rows)]) + extra
    present = [
        padded([1] * len(row["prompt"]), before, left=True)
        + padded([1] * len(row["response"]), behind)
        for row in rows
    ]
    tensors = {
        "prompts": torch.tensor([padded(row["prompt"], before, left=True) for row in rows]),
        "responses": torch.tensor([padded(row["response"], behind) for row in rows]),
        "attention_mask": torch.tensor(present),
        # What stands behind a response is rubbish on purpose: nothing of it may be seen.
        "old_log_probs": torch.tensor(
            [[*row["logprobs"], *[7.0] * (behind - len(row["logprobs"]))] for row in rows]
        ),
        "advantages": torch.tensor(
            [[*row["advantages"], *[9] * (behind - len(row["advantages"]))] for row in rows]
        ).float(),
    }
    if mask:
        width = behind if mask == "response_mask" else before + behind
        written = [padded([int(one) for one in row["written"]], behind) for row in rows]
        tensors[mask] = torch.tensor([padded(row, width, left=True) for row in written])
    return library().DataProto.from_dict(tensors=tensors)


@hypothesis.settings(deadline=None)
@hypothesis.given(
    rows=rows(), mask=st.sampled_from(["", "response_mask", "loss_mask"]), extra=st.integers(0, 3)
)
def test_every_target_carries_its_own_values(
    rows: list[dict[str, Any]], mask: str, extra: int
) -> None:
    datums = library().datums_from_batch(batch_of(rows, mask=mask, extra=extra))
    assert len(datums) == len(rows)
    for row, datum in zip(rows, datums, strict=True):
        tokens = [*row["prompt"], *row["response"]]
        inputs = datum.loss_fn_inputs
        assert datum.model_input.to_ints() == tokens[:-1]
        assert inputs["target_tokens"].tolist() == tokens[1:]
        counts = [float(one) for one in row["written"]] if mask else [1.0] * len(row["response"])
        nothing = [0.0] * (len(row["prompt"]) - 1)
        for name, values in (("logprobs", row["logprobs"]), ("advantages", row["advantages"])):
            # Multiples of a quarter: exact in float32.
            expected = [value * count for value, count in zip(values, counts, strict=True)]
            assert inputs[name].tolist() == [*nothing, *expected]


@hypothesis.settings(deadline=None)
@hypothesis.given(rows=rows(), extra=st.integers(0, 3))
def test_without_advantages_the_weights_are_the_mask(
    rows: list[dict[str, Any]], extra: int
) -> None:
    batch = batch_of(rows, mask="response_mask", extra=extra)
    batch.pop(batch_keys=["advantages"])
    for row, datum in zip(rows, library().datums_from_batch(batch), strict=True):
        nothing = [0.0] * (len(row["prompt"]) - 1)
        written = [float(one) for one in row["written"]]
        assert set(datum.loss_fn_inputs) == {"target_tokens", "weights"}
        assert datum.loss_fn_inputs["weights"].tolist() == [*nothing, *written]


@hypothesis.settings(deadline=None)
@hypothesis.given(rows=rows(), order=st.randoms(use_true_random=False))
def test_a_batch_in_another_order_gives_the_datums_in_that_order(
    rows: list[dict[str, Any]], order: Any
) -> None:
    places = list(range(len(rows)))
    order.shuffle(places)
    batch = batch_of(rows, mask="response_mask", extra=0)
    plain = library().datums_from_batch(batch)
    batch.reorder(torch.tensor(places))
    moved = library().datums_from_batch(batch)
    assert [one.model_input.to_ints() for one in moved] == [
        plain[place].model_input.to_ints() for place in places
    ]


def test_rows_of_a_data_set_become_columns_with_one_object_for_each_row() -> None:
    """As the data sets of verl do, whose module needs packages for images."""
    rows = [{"ids": torch.tensor([row, 7]), "raw_prompt_ids": [row, row]} for row in range(3)]
    columns = library().collate_fn(rows)
    assert columns["ids"].tolist() == [[0, 7], [1, 7], [2, 7]]
    assert columns["raw_prompt_ids"].shape == (3,)
    assert columns["raw_prompt_ids"].tolist() == [[0, 0], [1, 1], [2, 2]]


class _Client:
    """Gives each token its place in the sequence as log-probability."""

    def compute_logprobs(self, prompt: Any) -> SimpleNamespace:
        size = len(prompt.to_ints())
        values = [None, *(-float(place) for place in range(1, size))]
        return SimpleNamespace(result=lambda: values)


@hypothesis.settings(deadline=None)
@hypothesis.given(rows=rows(), extra=st.integers(0, 3))
def test_log_probabilities_of_responses_stand_where_the_responses_do(
    rows: list[dict[str, Any]], extra: int
) -> None:
    batch = batch_of(rows, mask="", extra=extra)
    result = library().response_logprobs(_Client(), batch)
    width = batch.batch["responses"].shape[1]
    for row, found in zip(rows, result.tolist(), strict=True):
        first = len(row["prompt"])
        expected = [-float(first + place) for place in range(len(row["response"]))]
        assert found == padded(expected, width)


def test_policy_gradient_of_the_datums_is_that_of_the_padded_batch() -> None:
    """The sum over datums of ratio times advantage equals the masked sum over the batch."""
    drawn = [
        {"prompt": [5, 6], "response": [7, 8, 9], "written": [1, 0, 1], "logprobs": [-1.0, -2, -3],
         "advantages": [0.5, 0.5, 0.5]},
        {"prompt": [4], "response": [3], "written": [1], "logprobs": [-0.5], "advantages": [-2.0]},
    ]  # fmt: skip
    batch = batch_of(drawn, mask="response_mask", extra=2)
    new = batch.batch["old_log_probs"] + 0.1
    mask = batch.batch["response_mask"].float()
    ratio = torch.exp(new - batch.batch["old_log_probs"])
    whole = -(ratio * batch.batch["advantages"] * mask).sum()
    datums = library().datums_from_batch(batch)
    parts = [
        -advantage * math.exp(0.1)
        for datum in datums
        for advantage in datum.loss_fn_inputs["advantages"].tolist()
    ]
    # Float32 sums of four numbers.
    assert sum(parts) == pytest.approx(float(whole), abs=1e-6)
