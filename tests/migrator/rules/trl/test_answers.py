"""Answers that a collator or a function of unsloth finds by the text of a template."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
from mint_migrate.model.outcome import Migrated
from mint_migrate.model.plan import Fidelity
from support.pieces import pieces
from support.scripts import converted, decision, migrated

SCRIPT = """
from datasets import load_dataset
from peft import LoraConfig
from transformers import AutoTokenizer
from trl import DataCollatorForCompletionOnlyLM, SFTConfig, SFTTrainer
from unsloth.chat_templates import train_on_responses_only

tokenizer = AutoTokenizer.from_pretrained("Qwen/Qwen3-0.6B")
dataset = load_dataset("acme/chats", split="train")
{before}
trainer = SFTTrainer(
    model="Qwen/Qwen3-0.6B",
    args=SFTConfig(output_dir="out", dataset_text_field="text", save_strategy="no"),
    train_dataset=dataset,
    processing_class=tokenizer,
    peft_config=LoraConfig(r=16, lora_alpha=32, target_modules="all-linear"),
    {trainer}
)
{between}
trainer.train()
{after}
"""
COLLATOR = "trl.DataCollatorForCompletionOnlyLM"
UNSLOTH = "unsloth.chat_templates.train_on_responses_only"


def script(before: str = "", trainer: str = "", between: str = "", after: str = "") -> Migrated:
    text = SCRIPT.format(before=before, trainer=trainer, between=between, after=after)
    return migrated(text, source_version="0.15.2")


def outcomes(result: Migrated, name: str) -> set[Fidelity]:
    """Return what was decided about the import and the call of *name*."""
    return {item.fidelity for item in result.decisions if item.found.name == name}


def collated(arguments: str, before: str = "", after: str = "") -> Migrated:
    given = f"data_collator=DataCollatorForCompletionOnlyLM({arguments}),"
    return script(before, given, after=after)


def responses(arguments: str, target: str = "trainer = ") -> Migrated:
    return script(between=f"{target}train_on_responses_only(trainer, {arguments})")


PARTS = 'instruction_part="Q:", response_part="A:"'
# What the collator of TRL 0.15.2 (`last`, `turns`) and the function of unsloth_zoo 2025.10.12
# (`chats`) train on in the same rows. Q and A stand for the templates, whose two tokens are Q then
# `:` and A then `:`; a dot for another token; E for the end token; P for padding, which this
# collator takes out wherever it is.
MASKS = [
    ("last", "Q..A..E", "000000111"),
    ("last", "A.A.E", "0000011"),
    ("last", "Q...", "00000"),
    ("last", "A.P.", "00101"),
    ("turns", "Q.A.EQ.A.E", "00000110000011"),
    ("turns", ".A.Q.A.", "0001000001"),
    ("turns", "Q.A.Q.", "000001000"),
    ("turns", "A.A.Q.A.", "001111111111"),
    ("turns", "A..", "0000"),
    ("turns", "Q..", "0000"),
    ("turns", "Q.A.P", "0000010"),
    ("chats", "Q.A.EQ.A.E", "00000110000011"),
    ("chats", ".A.Q", "000100"),
    ("chats", "A.QA.", "00100000"),
    ("chats", "A.Q.A..", "0010000011"),
    ("chats", "Q.A", "00000"),
    ("chats", "A.P", "0011"),
    ("chats", "...", "000"),
]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    from mint_runtime.tiny_model import build_tiny_model
    from transformers import AutoTokenizer

    path = tmp_path_factory.mktemp("tiny") / "model"
    build_tiny_model(path, vocab_size=512)
    found = AutoTokenizer.from_pretrained(path)
    assert found.pad_token_id not in (None, found.eos_token_id)
    return found


CALLS: dict[str, tuple[Any, tuple[str, ...]]] = {
    "last": (lambda: collated('"A:", tokenizer=tokenizer'), ("A:",)),
    "turns": (lambda: collated('"A:", "Q:", tokenizer, mlm=False'), ("A:", "Q:")),
    "chats": (lambda: responses(PARTS), ("Q:", "A:")),
}


@pytest.mark.parametrize(("how", "row", "mask"), MASKS)
def test_the_same_tokens_are_trained_on(tokenizer, how, row, mask):
    make, templates = CALLS[how]
    space = pieces(converted(make()), "mask_answers")
    space["warnings"] = warnings
    ids = {"E": [tokenizer.eos_token_id], "P": [tokenizer.pad_token_id], ".": [7]}
    for letter in "QA":
        ids[letter] = tokenizer.encode(f"{letter}:", add_special_tokens=False)
        assert len(ids[letter]) == 2
    tokens = [token for letter in row for token in ids[letter]]
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        found = space["mask_answers"](tokens, tokenizer, *templates)
    assert "".join(map(str, found)) == mask
    assert bool(warned) == (how != "chats" and "1" not in mask)


def test_a_template_that_holds_the_pad_token_is_never_found(tokenizer):
    space = pieces(converted(collated("[5, 6], tokenizer=tokenizer")), "mask_answers")
    space["warnings"] = warnings
    pad = tokenizer.pad_token_id
    assert space["mask_answers"]([5, 6, 9], tokenizer, [5, 6]) == [0, 0, 1]
    with pytest.warns(UserWarning, match="not trained on"):
        assert space["mask_answers"]([5, pad, 9], tokenizer, [5, pad]) == [0, 0, 0]


@pytest.mark.parametrize(
    ("arguments", "before", "form"),
    [
        ("TEXT, tokenizer=tokenizer", 'TEXT = "A:"', "tokenizer.encode(response_template, "),
        ("IDS, tokenizer=tokenizer", "IDS = [5, 6]", "response = response_template\n"),
        (
            "ids, tokenizer=tokenizer",
            'ids = tokenizer.encode("\\nA:", add_special_tokens=False)[1:]',
            "response = response_template if isinstance(response_template, list) else",
        ),
        ("response_template='A:', tokenizer=tokenizer", "", "tokenizer.encode(response_template, "),
    ],
)
def test_templates_are_text_or_tokens(arguments, before, form):
    result = collated(arguments, before)
    assert form in converted(result)
    assert outcomes(result, COLLATOR) == {Fidelity.EXACT}


def test_templates_reach_the_call_of_train_under_their_names():
    text = converted(collated("RESPONSE, tokenizer=tokenizer", 'RESPONSE = "A:"'))
    assert "    response_template=RESPONSE,\n)" in text
    assert "DataCollator" not in text


def test_another_tokenizer_of_the_collator_is_handed_on():
    before = 'other = AutoTokenizer.from_pretrained("acme/other")'
    text = converted(collated('"A:", tokenizer=other', before))
    assert "template_tokenizer=other" in text
    assert "mask_answers(tokens, template_tokenizer, response_template)" in text


def test_a_later_evaluation_masks_its_rows():
    text = converted(collated('"A:", tokenizer=tokenizer', after="trainer.evaluate(dataset)"))
    assert 'mask_answers(tokens, tokenizer, "A:")) for tokens in (tokenize_row(row, ' in text


@pytest.mark.parametrize("target", ["trainer = ", ""])
def test_a_trainer_stays_the_same_when_its_rows_are_masked(target):
    result = responses(PARTS, target)
    text = converted(result)
    assert "train_on_responses_only" not in text
    assert '    instruction_part="Q:",\n    response_part="A:",\n)' in text
    assert outcomes(result, UNSLOTH) == {Fidelity.EXACT}


@pytest.mark.parametrize(
    ("given", "outcome"),
    [
        ("DataCollatorForSeq2Seq(tokenizer=tokenizer)", Fidelity.EXACT),
        ("DataCollatorForSeq2Seq(tokenizer, pad_to_multiple_of=8)", Fidelity.EXACT),
        ("DataCollatorForSeq2Seq(tokenizer, label_pad_token_id=0)", Fidelity.MANUAL),
        ("DataCollatorWithFlattening()", Fidelity.MANUAL),
    ],
)
def test_a_collator_that_only_pads_the_masked_rows_is_understood(given, outcome):
    result = script(
        "from transformers import DataCollatorForSeq2Seq, DataCollatorWithFlattening",
        f"data_collator={given},",
        f"trainer = train_on_responses_only(trainer, {PARTS})",
    )
    assert decision(result, "trl.SFTTrainer.data_collator").fidelity is outcome


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ("", "needs `instruction_part`"),
        ('response_part="A:"', "needs `instruction_part`"),
        (f"{PARTS}, force_match=False", "looks for parts"),
        ("**parts", "needs `instruction_part`"),
    ],
)
def test_a_call_of_unsloth_that_cannot_be_followed_stops_the_conversion(arguments, reason):
    result = responses(arguments)
    assert result.text is None
    assert reason in result.notices[0]


def test_a_call_under_a_condition_stops_the_conversion():
    call = f"if dataset:\n    trainer = train_on_responses_only(trainer, {PARTS})"
    result = script(between=call)
    assert result.text is None
    assert "only known at run time" in result.notices[0]


def test_a_template_that_changes_before_training_stops_the_conversion():
    text = SCRIPT.format(
        before='MARK = "A:"\ncollator = DataCollatorForCompletionOnlyLM(MARK, tokenizer=tokenizer)',
        trainer="data_collator=collator,",
        between='MARK = "B:"',
        after="",
    )
    result = migrated(text, source_version="0.15.2")
    assert result.text is None
    assert "`MARK` changes" in result.notices[0]


@pytest.mark.parametrize(
    "given", ["collate", "DataCollatorForCompletionOnlyLM(*marks)", "make_collator(tokenizer)"]
)
def test_a_collator_that_cannot_be_seen_is_for_a_person(given):
    result = script("def collate(rows): return rows\nmarks = []", f"data_collator={given},")
    found = decision(result, "trl.SFTTrainer.data_collator")
    assert (found.fidelity, found.code) == (Fidelity.MANUAL, "MM225")
    assert "mask_answers" not in converted(result)


def test_without_a_template_every_token_counts_as_before():
    text = converted(script())
    assert "mask_answers" not in text
    assert "warnings" not in text


def test_a_function_of_the_same_name_is_left_alone():
    text = "def train_on_responses_only(trainer, **parts):\n    return trainer"
    result = script(text, between=f"train_on_responses_only(trainer, {PARTS})")
    assert "mask_answers" not in (result.text or "")


def test_a_file_without_a_trainer_keeps_its_collator(tmp_path: Path):
    result = migrated(
        "from trl import DataCollatorForCompletionOnlyLM\n"
        'collator = DataCollatorForCompletionOnlyLM("A:", tokenizer=make())\n'
    )
    assert result.text is None
