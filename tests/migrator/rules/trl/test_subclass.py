"""Subclasses of trainers that the script defines."""

from __future__ import annotations

from textwrap import dedent, indent

import pytest
from mint_migrate.model.outcome import Migrated
from mint_migrate.model.plan import Fidelity
from support.scripts import converted, decision, migrated
from support.walker import found

SCRIPT = """
from datasets import load_dataset
from trl import SFTConfig, SFTTrainer

class Mine({base}):
{body}

trainer = Mine(
    model="Qwen/Qwen3-0.6B",
    args=SFTConfig(output_dir="out"),
    train_dataset=load_dataset("acme/chats", split="train"),
)
trainer.train()
"""


def migrate(body: str, base: str = "SFTTrainer") -> Migrated:
    """Migrate a script with a subclass; its decisions must be what the walker finds."""
    text = SCRIPT.format(base=base, body=indent(dedent(body), "    "))
    result = migrated(text, source_version="1.16.0")
    ours = [
        (item.found.kind.value, item.found.span.line, item.found.span.column)
        for item in result.decisions
    ]
    assert sorted(ours) == sorted((item.kind, item.line, item.column) for item in found(text))
    return result


def test_a_subclass_that_adds_nothing_is_its_base() -> None:
    result = migrate('"""Ours."""')
    assert "class Mine" not in converted(result)
    assert not result.partial


@pytest.mark.parametrize("method", ["log", "save_model", "_save_checkpoint", "push_to_hub"])
def test_a_method_around_training_is_named_and_goes(method: str) -> None:
    result = migrate(f"def {method}(self, *args):\n    print(args)\n")
    assert decision(result, f"trl.SFTTrainer.{method}").fidelity is Fidelity.MANUAL
    text = converted(result)
    assert f"nothing calls `Mine.{method}` any more" in text
    assert "\nclass Mine" not in text
    assert "# class Mine(SFTTrainer):" in text


@pytest.mark.parametrize(
    "method", ["__init__", "compute_loss", "training_step", "get_train_dataloader", "evaluate"]
)
def test_a_method_that_decides_what_is_trained_is_refused(method: str) -> None:
    result = migrate(f"def {method}(self, *args):\n    print(args)\n")
    assert result.text is None
    assert f"`Mine` overrides `{method}`" in result.notices[0]


def test_a_subclass_of_something_else_is_not_a_trainer() -> None:
    result = migrate("pass", base="Other")
    assert result.text is None
    assert {item.found.kind.value for item in result.decisions} == {"import", "call", "argument"}


def test_a_class_named_like_the_trainer_it_derives_from_is_left_alone() -> None:
    text = SCRIPT.replace("Mine", "SFTTrainer").format(base="SFTTrainer", body="    pass")
    assert migrated(text).text is None
