"""Whatever a script passes, in any order, layout and way of importing: one decision for each, and
sound code.
"""

from __future__ import annotations

import ast
from collections import Counter

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings
from mint_migrate.model.outcome import Failed, Migrated, Skipped
from mint_migrate.model.plan import Decision, Kind
from support.drawn import TRAINERS, UNTOUCHED, WRITINGS, Script, Writing, scripts, written
from support.scripts import converted, outcome, tables
from support.walker import found

FEW = settings(
    max_examples=15,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
MANY = settings(FEW, max_examples=400)


def kinds(result: Migrated) -> list[tuple[str, int, int]]:
    return sorted(
        (item.found.kind.value, item.found.span.line, item.found.span.column)
        for item in result.decisions
    )


def holds_for(script: Script, writing: Writing) -> None:
    """Each use is decided once; a result compiles, keeps the user's code and is left alone."""
    text = written(script, writing)
    result = outcome(text, source_version=script.release)
    assert not isinstance(result, Failed), (text, result.reason)
    assert isinstance(result, Migrated)
    assert kinds(result) == sorted((item.kind, item.line, item.column) for item in found(text))
    assert all(item.code for item in result.decisions if item.fidelity.value != "exact")
    if result.text is None:
        return
    ast.parse(result.text)
    assert isinstance(outcome(result.text), Skipped)
    assert UNTOUCHED in result.text


def same_however_written(script: Script, writing: Writing) -> None:
    """Order, layout, comments and aliases change no decision."""
    plain = outcome(written(script), source_version=script.release)
    other = outcome(written(script, writing), source_version=script.release)
    assert isinstance(plain, Migrated)
    assert isinstance(other, Migrated)
    assert (plain.text is None) == (other.text is None)
    assert summaries(plain) == summaries(other)


@pytest.mark.parametrize("kind", TRAINERS)
def test_any_keywords_are_each_decided_once_and_give_sound_code(kind):
    FEW(given(scripts(kind), WRITINGS)(holds_for))()


@pytest.mark.parametrize("kind", TRAINERS)
def test_order_layout_and_aliases_change_no_decision(kind):
    FEW(given(scripts(kind), WRITINGS)(same_however_written))()


@pytest.mark.whole
@pytest.mark.parametrize("kind", TRAINERS)
@pytest.mark.parametrize("claim", [holds_for, same_however_written])
def test_claims_hold_for_many_scripts(claim, kind):
    MANY(given(scripts(kind), WRITINGS)(claim))()


def summaries(result: Migrated) -> Counter[tuple[object, ...]]:
    """Count what was decided about all but imports, by public names."""
    return Counter(
        (item.found.kind, tables().canonical(item.found.name), *summary(item)[2:])
        for item in result.decisions
        if item.found.kind is not Kind.IMPORT
    )


def summary(item: Decision) -> tuple[object, ...]:
    return item.found.kind, item.found.name, item.fidelity, item.code, item.row


LINES = [
    "import os",
    "from datasets import load_dataset",
    "from peft import LoraConfig",
    "from trl import SFTConfig, SFTTrainer",
    'dataset = load_dataset("acme/chats", split="train")',
    'config = SFTConfig(output_dir="out", bf16=True, packing=True, seed=os.getpid())',
    "lora = LoraConfig(r=4, lora_dropout=0.1)",
    'trainer = SFTTrainer("m", config, train_dataset=dataset, peft_config=lora)',
    "trainer.train()",
    'trainer.save_model("final")',
    "trainer.push_to_hub()",
    "print(trainer)",
]
BETWEEN = st.lists(
    st.sampled_from(["", "# comment", "# é", "   ", "# TODO later", "pass", "0  # zero"]),
    max_size=3,
)


@FEW
@given(st.lists(BETWEEN, min_size=len(LINES), max_size=len(LINES)))
def test_comments_and_blank_lines_change_no_decision(between):
    gaps = ["\n".join(lines) + "\n" if lines else "" for lines in between]
    plain = outcome("\n".join(LINES) + "\n")
    spaced = outcome("".join(gap + line + "\n" for gap, line in zip(gaps, LINES, strict=True)))
    assert isinstance(plain, Migrated)
    assert isinstance(spaced, Migrated)
    assert [summary(item) for item in spaced.decisions] == [
        summary(item) for item in plain.decisions
    ]
    for lines in between:
        for line in lines:
            assert line.strip() in converted(spaced)


@pytest.mark.parametrize("seed", range(3))
def test_the_same_script_gives_the_same_bytes(seed):
    text = "\n".join(LINES).replace("seed=os.getpid()", f"seed={seed}") + "\n"
    first, second = outcome(text), outcome(text)
    assert isinstance(first, Migrated)
    assert first == second
