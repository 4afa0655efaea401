"""Datums of several models to one pass and back."""

from __future__ import annotations

import numpy as np
import torch
from mint_runtime.engine.batching import pack, split_rows
from mint_runtime.engine.validation import CheckedDatum

CPU = torch.device("cpu")


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


def test_sequences_follow_each_other_without_padding_and_positions_restart():
    data = [checked(3, weights=0.5), checked(2, weights=2.0)]

    packed = pack([(data, [0, 1])], CPU)

    assert packed.lengths == (2, 3)
    assert packed.tokens_N.tolist() == [0, 1, 0, 1, 2]
    assert packed.position_N.tolist() == [0, 1, 0, 1, 2]
    assert packed.target_NK[:, 0].tolist() == [0, 1, 0, 1, 2]
    (share,) = packed.shares
    assert share.indices == (1, 0)
    assert share.datum_n.tolist() == [0, 0, 1, 1, 1]
    assert share.values["weights"][:, 0].tolist() == [2.0, 2.0, 0.5, 0.5, 0.5]


def test_rows_of_a_model_are_neighbors_and_only_chosen_datums_take_part():
    first = [checked(4), checked(9), checked(2)]
    second = [checked(3)]

    packed = pack([(first, [0, 2]), (second, [0])], CPU)

    assert [(share.start, share.end) for share in packed.shares] == [(0, 6), (6, 9)]
    assert packed.lengths == (2, 4, 3)


def test_models_with_more_targets_widen_the_pass_but_not_the_shares_of_others():
    packed = pack([([checked(2)], [0]), ([checked(2, 3)], [0])], CPU)

    assert packed.target_NK.tolist() == [[0, 0, 0], [1, 0, 0], [0, 1, 2], [3, 4, 5]]
    assert [share.num_targets for share in packed.shares] == [1, 3]


def test_outputs_find_their_datum_in_the_shape_of_its_targets():
    data = [checked(3), checked(1), checked(2)]
    (share,) = pack([(data, [0, 1, 2])], CPU).shares

    parts = split_rows(np.arange(6, dtype=np.float32)[:, None], share)

    assert {index: part.tolist() for index, part in parts.items()} == {
        1: [0.0],
        2: [1.0, 2.0],
        0: [3.0, 4.0, 5.0],
    }
