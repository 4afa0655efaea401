"""Rows come in the packs that TRL makes of them, in the same order."""

from __future__ import annotations

import random
from typing import Any

import pytest
from support.pieces import pieces
from support.scripts import converted, sft


def pack_rows(strategy: str, masked: bool) -> Any:
    columns = "" if masked else ', dataset_text_field="text"'
    options = f'output_dir="o", packing=True, packing_strategy="{strategy}"{columns}'
    return pieces(converted(sft(options)), "pack_rows")["pack_rows"]


def theirs(rows: list[list[int]], length: int, strategy: str) -> list[list[list[int]]]:
    """Return the packs of TRL, each as the list of its rows."""
    from datasets import Dataset
    from trl import pack_dataset

    packed = pack_dataset(Dataset.from_dict({"input_ids": rows}), length, strategy)
    packs = []
    for index, tokens in enumerate(packed["input_ids"]):
        lengths = [len(tokens)] if strategy == "wrapped" else packed["seq_lengths"][index]
        ends = [sum(lengths[: number + 1]) for number in range(len(lengths))]
        packs.append([tokens[end - size : end] for end, size in zip(ends, lengths, strict=True)])
    return packs


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("masked", [False, True], ids=["tokens", "masked"])
@pytest.mark.parametrize("strategy", ["bfd", "bfd_split", "wrapped"])
@pytest.mark.parametrize(
    ("num_rows", "longest", "length"),
    [(2300, 90, 64), (1000, 20, 64), (300, 30, 7), (40, 16, 16), (1, 3, 8)],
)
def test_packs_are_those_of_trl(strategy, masked, num_rows, longest, length):
    draw = random.Random(num_rows + longest)
    rows = [draw.choices(range(1000), k=draw.randint(1, longest)) for _ in range(num_rows)]
    expected = theirs(rows, length, strategy)
    if strategy == "bfd":
        # Such rows are cut where they become tokens.
        rows = [row[:length] for row in rows]
    given = [(row, [token % 2 for token in row]) for row in rows] if masked else rows
    found = pack_rows(strategy, masked)(given, length)
    if strategy == "wrapped":
        found = [[row] for row in found]
    if masked:
        assert all(mask == [token % 2 for token in row] for pack in found for row, mask in pack)
        found = [[row for row, _ in pack] for pack in found]
    assert found == expected
