"""A reward manager of the user's gives the same scores after its conversion."""

from __future__ import annotations

import random
import sys
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from support.cases import FIXTURES
from support.library import library
from support.scripts import converted, outcome

WORDS = ["<think>", "four", "five", "is", "the", "sum", "4", "5"]


class Words:
    """A tokenizer of whole words."""

    def decode(self, tokens: torch.Tensor, *, skip_special_tokens: bool) -> str:
        assert skip_special_tokens
        return " ".join(WORDS[token] for token in tokens.tolist())


def compute_score(data_source: str, solution_str: str, ground_truth: str, extra_info: Any) -> float:
    return float(ground_truth in solution_str) + (data_source == "sums") / 4


@pytest.fixture
def manager(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Return the converted file as a module."""
    rewards = ModuleType("my_rewards")
    rewards.compute_score = compute_score  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "my_rewards", rewards)
    path = FIXTURES / "before" / "verl" / "python" / "format_manager.py"
    module = ModuleType("format_manager_mint")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(converted(outcome(path.read_text(encoding="utf-8"))), module.__dict__)
    return module


def test_twenty_samples_have_the_scores_of_the_function(manager: ModuleType) -> None:
    drawn = random.Random(0)
    prompts = [[drawn.randrange(8) for _ in range(drawn.randint(1, 4))] for _ in range(20)]
    responses = [[drawn.randrange(8) for _ in range(drawn.randint(1, 6))] for _ in range(20)]
    mask = [
        [0] * (4 - len(prompt)) + [1] * (len(prompt) + len(response)) + [0] * (6 - len(response))
        for prompt, response in zip(prompts, responses, strict=True)
    ]
    truths = [drawn.choice(["4", "5"]) for _ in range(20)]
    sources = [drawn.choice(["sums", "other"]) for _ in range(20)]
    columns = {"data_source": sources, "reward_model": [{"ground_truth": one} for one in truths]}
    batch = manager.DataProto(
        batch={
            "prompts": torch.tensor([[0] * (4 - len(row)) + row for row in prompts]),
            "responses": torch.tensor([row + [0] * (6 - len(row)) for row in responses]),
            "attention_mask": torch.tensor(mask),
        },
        non_tensor_batch={name: np.array(column) for name, column in columns.items()},
    )
    result = manager.FormatRewardManager(Words(), num_examine=0)(batch, return_dict=True)
    texts = [" ".join(WORDS[token] for token in row) for row in responses]
    expected = [
        compute_score(source, text, truth, None) - (0 if text.startswith("<think>") else 0.5)
        for source, text, truth in zip(sources, texts, truths, strict=True)
    ]
    tensor = result["reward_tensor"]
    assert result["reward_extra_info"]["score"] == expected
    # The score stands on the last token of the response, nothing anywhere else.
    assert [
        float(row[len(one) - 1]) for row, one in zip(tensor, responses, strict=True)
    ] == expected
    assert tensor.sum() == pytest.approx(sum(expected))


def test_library_and_converted_file_define_the_same_batches(manager: ModuleType) -> None:
    fields = library().DataProto.__dataclass_fields__
    assert list(manager.DataProto.__dataclass_fields__) == list(fields)
