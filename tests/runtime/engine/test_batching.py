"""Datums to passes and back."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from mint_runtime.engine.batching import collate, group_datums, split_outputs
from mint_runtime.engine.validation import CheckedDatum


def checked(length, num_targets=1, **values):
    return CheckedDatum(
        tokens_T=np.arange(length),
        target_TK=np.arange(length * num_targets).reshape(length, num_targets),
        values={
            name: np.full((length, num_targets), value, dtype=np.float32)
            for name, value in values.items()
        },
        is_flat=num_targets == 1,
    )


@pytest.mark.parametrize("max_tokens", [1, 7, 20, 1000])
def test_every_datum_is_in_exactly_one_pass(max_tokens):
    data = [checked(length) for length in (5, 1, 9, 3, 3, 12)]

    groups = group_datums(data, max_tokens=max_tokens)

    assert sorted(index for group in groups for index in group) == list(range(6))


def test_passes_respect_the_budget_padding_included():
    data = [checked(length) for length in (5, 1, 9, 3, 3, 12)]

    groups = group_datums(data, max_tokens=20)

    sizes = [len(group) * max(len(data[index].tokens_T) for index in group) for group in groups]
    assert max(sizes) <= 20
    assert len(groups) == 3


def test_a_datum_longer_than_the_budget_goes_alone():
    assert group_datums([checked(50), checked(2)], max_tokens=10) == [(1,), (0,)]


def test_datums_with_other_inputs_or_widths_do_not_share_a_pass():
    data = [checked(4), checked(4, weights=1.0), checked(4, 3), checked(4)]

    assert sorted(group_datums(data, max_tokens=100)) == [(0, 3), (1,), (2,)]


def test_padding_is_dropped_and_the_rest_kept_in_order():
    data = [checked(2, weights=0.5), checked(4, weights=2.0)]

    batch = collate(data, (0, 1), torch.device("cpu"))

    assert batch.tokens_BT.tolist() == [[0, 1, 0, 0], [0, 1, 2, 3]]
    assert batch.tokens_BT.flatten()[batch.position_N].tolist() == [0, 1, 0, 1, 2, 3]
    assert batch.datum_N.tolist() == [0, 0, 1, 1, 1, 1]
    assert batch.target_NK[:, 0].tolist() == [0, 1, 0, 1, 2, 3]
    assert batch.values["weights"][:, 0].tolist() == [0.5, 0.5, 2.0, 2.0, 2.0, 2.0]


def test_outputs_find_their_datum():
    data = [checked(3), checked(1), checked(2)]

    parts = split_outputs(torch.arange(6.0)[:, None], data, (1, 2, 0))

    assert {index: part.tolist() for index, part in parts.items()} == {
        1: [0.0],
        2: [1.0, 2.0],
        0: [3.0, 4.0, 5.0],
    }
