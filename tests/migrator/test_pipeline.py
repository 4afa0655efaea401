"""One script from text to text: outcomes, markers, accepted outcomes, and a second run."""

from __future__ import annotations

import pytest
from mint_migrate.model.outcome import Failed, Migrated, Skipped
from mint_migrate.model.plan import Fidelity
from mint_migrate.suppress import suppressions
from mint_migrate.todo import find_todos
from support.scripts import converted, decision, outcome, sft

NOISY = 'output_dir="out", save_strategy="no",\n    neftune_noise_alpha=5,  # {comment}\n'


@pytest.mark.parametrize(
    "text", ["from trl import (", "def f(:\n  trl", "import trl\n  x = 1", "print 'trl'"]
)
def test_a_file_that_does_not_parse_fails_with_its_place(text):
    result = outcome(text)
    assert isinstance(result, Failed)
    assert result.code == "MM101"
    assert result.span is not None


@pytest.mark.parametrize(
    "text", ["", "x = 1", "# nothing", "import transformers", '"""About trl."""']
)
def test_a_file_without_the_framework_is_skipped(text):
    assert isinstance(outcome(text), Skipped)


def test_a_converted_script_uses_no_framework_any_more():
    assert isinstance(outcome(converted(sft())), Skipped)


def test_the_result_names_its_source():
    assert "converted from script.py (TRL 1.16.0, SFTTrainer)" in converted(sft())


def test_decisions_stand_in_the_order_of_the_source():
    spans = [item.found.span for item in sft(after="trainer.save_model()").decisions]
    assert spans == sorted(spans)


@pytest.mark.parametrize(
    ("comment", "accepted"),
    [
        ("mint-migrate: ignore[MM218] measured", True),
        ("mint-migrate: ignore[MM213] another code", False),
        ("a plain comment", False),
    ],
)
def test_an_accepted_outcome_is_marked_and_asks_nobody(comment, accepted):
    result = sft(config=NOISY.format(comment=comment))
    found = decision(result, "trl.SFTConfig.neftune_noise_alpha")
    assert (found.fidelity, found.suppressed) == (Fidelity.MANUAL, accepted)
    assert bool(find_todos(converted(result))) is not accepted


def test_accepting_one_outcome_leaves_the_marker_of_another():
    config = NOISY.format(comment="mint-migrate: ignore[MM218]") + "    chat_template_path='x',\n"
    assert [todo.code for todo in find_todos(converted(sft(config=config)))] == ["MM505"]


def test_suppression_comments_are_read_from_the_source():
    assert suppressions("x = 1  # mint-migrate: ignore[MM218] why").found[0].codes == ("MM218",)


@pytest.mark.parametrize(
    ("config", "after"),
    [
        ("neftune_noise_alpha=5", ""),
        ("", "trainer.push_to_hub()"),
        ("neftune_noise_alpha=5, label_smoothing_factor=0.1", "print(trainer)"),
        ("", "x = trainer.get_train_dataloader()\nfor y in x:\n    print(y)"),
    ],
)
def test_a_marker_stands_only_where_a_decision_is_for_a_person(config, after):
    result = sft(config=f'output_dir="o", {config}', after=after)
    assert find_todos(converted(result))
    assert Fidelity.MANUAL in {item.fidelity for item in result.decisions}


def test_an_exact_script_has_no_marker_and_no_remark():
    text = converted(sft())
    assert "TODO" not in text
    assert "approximate (" not in text
    assert "Same loss, data order and schedule as the original.\n" in text


@pytest.mark.parametrize("newlines", ["\n", "\n\n\n"])
def test_a_missing_last_newline_does_not_matter(newlines):
    text = (
        "from trl import SFTTrainer\ntrainer = SFTTrainer('m', train_dataset=[])\ntrainer.train()"
    )
    result = outcome(text + newlines)
    assert isinstance(result, Migrated)
    assert "training_client = train(" in converted(result)


def test_the_end_of_the_last_line_may_be_the_end_of_the_file():
    result = outcome(
        "from trl import SFTTrainer\ntrainer = SFTTrainer('m', train_dataset=[])\ntrainer.train()"
    )
    assert isinstance(result, Migrated)
    assert result.text is not None
