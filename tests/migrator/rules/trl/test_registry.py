"""Each trainer of the registry has its kind, imported when a script has that trainer."""

from __future__ import annotations

import subprocess
import sys

import pytest
from mint_migrate.rules.trl.registry import KINDS, kind_of


@pytest.mark.parametrize("trainer", KINDS)
def test_a_kind_is_that_of_its_trainer(trainer):
    kind = kind_of(trainer)
    assert kind is not None
    assert kind.trainer == trainer


@pytest.mark.parametrize("name", ["trl.NashMDTrainer", "transformers.Trainer", ""])
def test_other_names_have_no_kind(name):
    assert kind_of(name) is None


def test_the_rules_of_other_trainers_are_not_imported():
    code = (
        "import sys; from mint_migrate.rules.trl.registry import kind_of; "
        "kind_of('trl.SFTTrainer'); "
        "print([name for name in sys.modules if name.startswith('mint_migrate.rules.trl.grpo')])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"
