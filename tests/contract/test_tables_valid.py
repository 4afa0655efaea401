"""The tables keep the rules that the README of `mappings` states."""

from __future__ import annotations

import ast
import importlib.metadata
import importlib.util
import re
from pathlib import Path

import pytest
from mint_migrate.model.plan import Fidelity
from mint_migrate.tables.compile import outputs
from mint_migrate.tables.lookup import load_tables
from mint_migrate.tables.outputs import stale
from mint_migrate.tables.rows import TRANSFORMS
from mint_migrate.tables.schema import PINNED_LINK, RELEASE_LINK

ROOT = Path(__file__).parents[2]
TABLES = load_tables()
ROWS = list(TABLES)
MATHEMATICS = (
    "learning_rate",
    "num_train_epochs",
    "max_steps",
    "per_device_train_batch_size",
    "gradient_accumulation_steps",
    "lr_scheduler_type",
    "warmup_steps",
    "weight_decay",
    "adam_beta1",
    "adam_beta2",
    "adam_epsilon",
    "max_grad_norm",
    "seed",
    "logging_steps",
    "save_steps",
)


def test_generated_files_are_current():
    assert stale(outputs()) == []


def rows_that_break(rule):
    """Return the rows for which `rule` is false, by id and release."""
    return [f"{row.id}@{row.since}" for row in ROWS if not rule(row)]


def is_literal(text):
    """Tell whether `text` is a Python literal."""
    try:
        ast.literal_eval(text)
    except (SyntaxError, ValueError):
        return False
    return True


def test_a_row_has_a_pinned_source():
    pinned = (PINNED_LINK, RELEASE_LINK)
    assert rows_that_break(lambda row: any(link.match(row.source) for link in pinned)) == []


def test_a_row_has_a_known_transform():
    assert rows_that_break(lambda row: row.transform in TRANSFORMS) == []


def test_a_row_that_is_not_exact_has_a_known_code_and_a_reason():
    def says_why(row):
        return row.fidelity is Fidelity.EXACT or bool(row.code in TABLES.codes and row.note)

    assert rows_that_break(says_why) == []


def test_neutral_values_and_defaults_are_literals():
    def are_literals(row):
        return all(map(is_literal, (*row.neutral, *(literal for _, literal in row.defaults))))

    assert rows_that_break(are_literals) == []


def test_notes_are_sentences():
    notes = [row.note for row in ROWS if row.note]
    begins_small = re.compile(r"[a-z]+[ ,]")  # `pass@n` and `exp(-d)` are no words
    assert [note for note in notes if not note.endswith(".") or begins_small.match(note)] == []


@pytest.mark.parametrize("release", TABLES.versions)
@pytest.mark.parametrize("field", MATHEMATICS)
def test_a_setting_of_the_mathematics_has_a_default_in_every_release(release, field):
    row = TABLES.config_row("trl.SFTConfig", field, release)
    version = release if row.id.startswith("trl.") else TABLES.transformers_of(release)
    assert row.default_in(version) is not None


@pytest.mark.parametrize(
    ("field", "release", "expected"),
    [
        ("learning_rate", "0.11.4", "5e-05"),
        ("learning_rate", "0.12.2", "2e-05"),
        ("max_seq_length", "0.15.2", "1024"),
        ("max_length", "1.16.0", "1024"),
        ("logging_steps", "0.18.2", "500"),
        ("logging_steps", "0.19.1", "10"),
        ("dataset_text_field", "0.11.4", "None"),
        ("dataset_text_field", "0.12.2", "'text'"),
    ],
)
def test_defaults_that_changed_silently(field, release, expected):
    row = TABLES.config_row("trl.SFTConfig", field, release)
    version = release if row.id.startswith("trl.") else TABLES.transformers_of(release)
    assert row.default_in(version) == expected


@pytest.mark.parametrize("release", TABLES.versions)
def test_every_fact_has_one_value_in_every_release(release):
    assert {fact.name for fact in TABLES.facts(release).values()} == set(TABLES.facts("1.16.0"))


@pytest.mark.parametrize(
    ("fact", "release", "expected"),
    [
        ("append_eos", "0.15.2", False),
        ("append_eos", "0.16.1", True),
        ("eos_rule", "0.16.1", "id_to_every_row"),
        ("eos_rule", "1.14.0", "text_to_column_text_or_completion"),
        ("eos_rule", "1.15.0", "text_to_text_field_or_completion"),
        ("formatting_func", "0.14.0", "batch"),
        ("formatting_func", "0.20.0", "both"),
        ("formatting_func", "0.21.0", "example"),
        ("pad_tokens_masked", "0.15.2", True),
        ("pad_tokens_masked", "0.16.1", False),
        ("chat_tokenization", "0.8.6", "render_then_tokenize_with_special_tokens"),
        ("chat_tokenization", "0.14.0", "render_then_tokenize"),
        ("chat_tokenization", "0.18.2", "render_then_tokenize"),
        ("chat_tokenization", "0.19.1", "apply_chat_template"),
        ("prompt_generation_mark", "0.18.2", True),
        ("prompt_generation_mark", "0.23.1", False),
        ("prompt_generation_mark", "0.24.0", True),
        ("default_max_length", "0.8.6", "tokenizer_limit_up_to_1024"),
        ("default_max_length", "0.9.6", "tokenizer_limit"),
        ("completion_only_default", "0.16.1", "never"),
        ("completion_only_default", "0.21.0", "prompt_column"),
        ("drops_fully_masked_rows", "1.8.0", False),
        ("drops_fully_masked_rows", "1.9.0", True),
    ],
)
def test_facts_at_the_releases_where_they_change(fact, release, expected):
    assert TABLES.fact(fact, release).value == expected


def test_a_known_release_of_transformers_decides_the_facts_of_transformers():
    assert TABLES.facts("1.0.0", "5.3.0")["loss_divisor"].value == "labels"
    assert TABLES.facts("1.0.0", "5.11.0")["loss_divisor"].value == "predicted_tokens"


def test_facts_of_the_installed_trl_match_its_source():
    folder = Path(importlib.util.find_spec("trl").submodule_search_locations[0])
    source = (folder / "trainer" / "sft_trainer.py").read_text(encoding="utf-8")
    facts = TABLES.facts(importlib.metadata.version("trl"))
    expected = {
        "eos_rule": ("text_to_text_field_or_completion", "example[dataset_text_field] + eos_token"),
        "prompt_completion": ("joint_common_prefix", "common_prefix_length(prompt_ids"),
        "prompt_generation_mark": (True, "add_generation_prompt=True"),
        "truncation": ("truncation_mode", 'args.truncation_mode == "keep_start"'),
        "drops_fully_masked_rows": (True, 'label != -100 for label in example["labels"]'),
        "formatting_func": ("example", "dataset.map(_func, batched=False"),
    }
    assert {name: facts[name].value for name in expected} == {
        name: value for name, (value, _) in expected.items()
    }
    assert [text for _, text in expected.values() if text not in source] == []


def test_no_table_names_a_place_of_this_machine():
    pattern = re.compile(r"/(work|tmp|home|root)/")
    texts = {path: path.read_text() for path in (ROOT / "mappings").rglob("*.yaml")}
    assert [path.name for path, text in texts.items() if pattern.search(text)] == []
