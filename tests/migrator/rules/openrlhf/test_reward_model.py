"""`train_rm` is refused, or becomes a loop over the same pairs in which log-probabilities score."""

from __future__ import annotations

import ast
import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from mint_migrate.fronts.launchers import migrate_launcher
from mint_migrate.model.outcome import Migrated
from mint_migrate.model.plan import Decision, Fidelity
from mint_migrate.model.source import Options, Source
from support.scripts import tables

BASE = "--pretrain m --dataset pairs.jsonl"
RELEASES = [
    release
    for release in tables().releases("openrlhf")
    if tables().config_keys("openrlhf", "train_rm", release)
]


def migrated(
    flags: str, *, program: str = "train_rm", release: str = "0.8.5", asked: bool = True
) -> Migrated:
    command = f"deepspeed --module openrlhf.cli.{program} {flags}\n"
    source = Source(path="run.sh", content=command.encode(), text=command, newline="\n")
    known = ("openrlhf", release, "said by the test")
    options = Options(launched_version=known, reward_model="generative" if asked else None)
    outcome = migrate_launcher(source, options, tables(), lambda _: None)
    assert isinstance(outcome, Migrated), outcome
    return outcome


def decided(outcome: Migrated) -> Mapping[str, Decision]:
    """Return decisions by the last part of what they are about."""
    return {item.found.name.rpartition(".")[2]: item for item in outcome.decisions}


@dataclass
class Answer:
    tokens: list[int]
    num_prompt: int
    margin: float = 0.0


class Words:
    """A tokenizer that makes one token of each word; the end of a text is 0."""

    eos_token = "END"
    eos_token_id = 0

    def __call__(self, text: str, *, max_length: int, **_: Any) -> dict[str, list[int]]:
        words = ["" if word == "END" else word for word in text.split()]
        return {"input_ids": [sum(map(ord, word)) for word in words][:max_length]}


def taken(text: str, *names: str) -> dict[str, Any]:
    """Return functions of a converted script."""
    wanted = [item for item in ast.parse(text).body if getattr(item, "name", "") in names]
    lead = ast.parse("from __future__ import annotations").body
    space: dict[str, Any] = {"torch": torch, "Answer": Answer}
    exec(compile(ast.Module([*lead, *wanted], type_ignores=[]), "script", "exec"), space)
    return space


def loss_of(flags: str) -> float:
    """Return the loss of two pairs with known log-probabilities."""
    text = migrated(f"{BASE} {flags}").text
    assert text is not None
    space = taken(text, "rewards", "preference_loss")
    pairs = [
        (Answer([1, 2, 3, 0], 2, margin=0.5), Answer([1, 2, 0], 2)),
        (Answer([1, 4, 0], 1), Answer([1, 5, 6, 0], 1)),
    ]
    # The first prediction of the first pair is that of its prompt.
    logprobs = [[-9.0, -1.0, -2.0], [-9.0, -3.0], [-1.0, -1.0], [-4.0, -1.0, -1.0]]
    loss, figures = space["preference_loss"](pairs, None)(None, list(map(torch.tensor, logprobs)))
    assert figures["acc"] == 1.0
    return float(loss)


@pytest.mark.parametrize(
    ("flags", "margin"),
    [
        ("", 0.0),
        ("--margin_loss", 0.5),
        ("--loss logexp", 0.0),
        ("--loss logexp --margin_loss", 0.0),
    ],
)
def test_loss_is_that_of_the_difference_of_mean_log_probabilities(
    flags: str, margin: float
) -> None:
    differences = (-1.5 + 3.0 - margin, -1.0 + 2.0)
    expected = sum(math.log1p(math.exp(-value)) for value in differences) / 2
    # Single precision.
    assert loss_of(flags) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("flags", "row", "prompts"),
    [
        ("", {"chosen": "q a b", "rejected": "q c"}, (1, 1)),
        ("", {"chosen": "q a", "rejected": "q a"}, (2, 2)),
        ("--prompt_key p", {"p": "q q ", "chosen": "a", "rejected": "a b"}, (2, 2)),
    ],
)
def test_the_prompt_is_a_column_or_what_both_answers_begin_with(
    flags: str, row: dict[str, str], prompts: tuple[int, int]
) -> None:
    text = migrated(f"{BASE} {flags}").text
    assert text is not None
    tokenize = taken(text, "render", "encode", "tokenize")["tokenize"]
    keys = SimpleNamespace(max_len=8, prompt_key="p", chosen_key="chosen", rejected_key="rejected")
    pair = tokenize(row, Words(), keys)
    assert tuple(answer.num_prompt for answer in pair) == prompts
    assert [answer.tokens[-1] for answer in pair] == [0, 0]


def test_without_the_option_nothing_is_written_and_every_flag_has_the_reason() -> None:
    outcome = migrated(f"{BASE} --max_len 64", asked=False)
    assert outcome.text is None
    assert {item.code for item in outcome.decisions} == {"MM242"}
    assert all("--reward-model generative" in item.note for item in outcome.decisions)


@pytest.mark.parametrize("release", RELEASES)
def test_every_release_says_that_it_is_another_algorithm(release: str) -> None:
    is_dotted = "data.dataset" in tables().config_keys("openrlhf", "train_rm", release)
    flags = "--model.model_name_or_path m --data.dataset d" if is_dotted else BASE
    outcome = migrated(flags, release=release)
    assert outcome.text is not None
    assert "MM258: another algorithm" in " ".join(outcome.text.split())
    assert outcome.decisions[0].fidelity is Fidelity.APPROXIMATE


def test_distillation_is_refused_with_what_the_server_lacks() -> None:
    outcome = migrated("--pretrain m --teacher_model t --dataset d", program="train_kd")
    assert outcome.text is None
    assert {item.code for item in outcome.decisions} == {"MM412"}
    assert "log-probabilities of named tokens only" in decided(outcome)["pretrain"].note
