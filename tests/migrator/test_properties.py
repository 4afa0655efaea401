"""Whatever keywords a script passes, in any layout: one decision for each, and sound code."""

from __future__ import annotations

import ast

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings
from mint_migrate.model.outcome import Failed, Migrated, Skipped
from mint_migrate.model.plan import Decision
from support.scripts import converted, outcome, tables
from support.walker import found

FEW = settings(
    max_examples=30,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

PARTS = """\
import os
from datasets import load_dataset
from peft import LoraConfig
from trl import SFTConfig, SFTTrainer

options = {{"a": 1}}
dataset = load_dataset("acme/chats", split="train")


def untouched(row, *, sep=" "):
    return {{"text": row["q"] + sep}}   # odd   spacing


config = SFTConfig({config})
trainer = SFTTrainer({trainer})
trainer.train()
"""

VALUES = st.sampled_from(
    [
        *(
            "True",
            "False",
            "None",
            "0",
            "1",
            "2",
            "-1",
            "0.1",
            "1e-5",
            "0.5",
            "8",
            "'no'",
            "'steps'",
            "'epoch'",
        ),
        *(
            "'cosine'",
            "'linear'",
            "'constant'",
            "'wandb'",
            "'none'",
            "[]",
            "{}",
            "['a', 'b']",
            "()",
            "'all-linear'",
        ),
        *(
            "{'num_cycles': 2}",
            "os.environ['X']",
            "options['a']",
            "1 + 2",
            "3 if options else 4",
            "lambda x: x",
        ),
        *(
            "dataset",
            "(y := 3)",
            "f'{dataset}'",
            "'é日本'",
            "[i for i in range(3)]",
            "print",
            "-(2 ** 3)",
        ),
        '"""a\n  b"""',
    ]
)


def keywords(owner: str, *, at_most: int) -> st.SearchStrategy[dict[str, str]]:
    names = {row.id.rsplit(".", 1)[-1] for row in tables().rows_for(owner) if row.id != owner}
    names = {name for name in names if name.isidentifier()} | {"no_such_option"}
    return st.dictionaries(st.sampled_from(sorted(names)), VALUES, max_size=at_most)


def layout(arguments: dict[str, str], breaks: bool) -> str:
    listed = [f"{name}={value}" for name, value in arguments.items()]
    if not breaks:
        return ", ".join(listed)
    return "".join(f"\n    # about\n    {item},  # behind" for item in listed) + "\n"


@st.composite
def scripts(draw: st.DrawFn) -> str:
    config = draw(keywords("trl.SFTConfig", at_most=4))
    config |= draw(keywords("transformers.TrainingArguments", at_most=5))
    lora = draw(keywords("peft.LoraConfig", at_most=4))
    trainer = {"model": "'acme/model'", "args": "config", "train_dataset": "dataset"}
    trainer |= {"peft_config": f"LoraConfig({layout(lora, False)})"} if draw(st.booleans()) else {}
    extra = draw(keywords("trl.SFTTrainer", at_most=2))
    taken = {"model", "args", "train_dataset", "peft_config", "tokenizer", "processing_class"}
    trainer |= {name: value for name, value in extra.items() if name not in taken}
    items = draw(st.permutations(list(trainer.items())))
    return PARTS.format(
        config=layout(config, draw(st.booleans())), trainer=layout(dict(items), draw(st.booleans()))
    )


def kinds(result: Migrated) -> list[tuple[str, int, int]]:
    return sorted(
        (item.found.kind.value, item.found.span.line, item.found.span.column)
        for item in result.decisions
    )


@FEW
@given(scripts())
def test_any_keywords_are_each_decided_once_and_give_sound_code(text):
    result = outcome(text)
    assert not isinstance(result, Failed), result.reason
    assert isinstance(result, Migrated)
    assert kinds(result) == sorted((item.kind, item.line, item.column) for item in found(text))
    if result.text is None:
        return
    ast.parse(result.text)
    assert isinstance(outcome(result.text), Skipped)
    assert (
        'def untouched(row, *, sep=" "):\n    return {"text": row["q"] + sep}   # odd   spacing\n'
        in result.text
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
