"""What a script asks about its processes."""

from __future__ import annotations

import pytest
from mint_migrate.model.outcome import Migrated
from mint_migrate.model.plan import Fidelity
from support.scripts import converted, decision, migrated

SCRIPT = """
from accelerate import Accelerator
from datasets import load_dataset
from trl import SFTConfig, SFTTrainer

accelerator = Accelerator({given})
rows = load_dataset("acme/chats", split="train")
{before}
trainer = SFTTrainer(
    model="Qwen/Qwen3-0.6B", args=SFTConfig(output_dir="out"), train_dataset=rows
)
trainer.train()
{after}
"""


def migrate(before: str = "", after: str = "", given: str = "") -> Migrated:
    """Migrate a script with an accelerator."""
    text = SCRIPT.format(before=before, after=after, given=given)
    return migrated(text, source_version="1.16.0")


@pytest.mark.parametrize(
    ("code", "field"),
    [
        ("if accelerator.is_main_process:\n    print(1)", "is_main_process=True"),
        ("print(accelerator.num_processes)", "num_processes=1"),
        ("accelerator.wait_for_everyone()", "wait_for_everyone=lambda: None"),
        ("accelerator.print('done')", "print=print"),
    ],
)
def test_a_question_about_processes_has_the_answer_of_one(code: str, field: str) -> None:
    result = migrate(after=code)
    text = converted(result)
    assert (
        f"accelerator = SimpleNamespace(  # a MinT script runs in one process\n    {field}," in text
    )
    assert code in text
    calls = [item for item in result.decisions if item.found.name == "accelerate.Accelerator"]
    assert {item.fidelity for item in calls} == {Fidelity.EXACT}


def test_the_data_set_of_the_first_process_is_everybodys() -> None:
    body = "with accelerator.main_process_first():\n    rows = rows.select(range(8))"
    text = converted(migrate(body))
    assert body in text
    assert "from contextlib import nullcontext\n" in text


def test_an_argument_of_the_accelerator_is_decided() -> None:
    result = migrate(after="print(accelerator.device)", given='mixed_precision="bf16"')
    assert decision(result, "accelerate.Accelerator.mixed_precision").fidelity is not Fidelity.EXACT


@pytest.mark.parametrize(
    "code",
    [
        "accelerator.backward(1)",
        "print(accelerator)",
        "accelerator.verbose = True",
        "print(accelerator.is_main_process, accelerator.state)",
    ],
)
def test_any_other_use_leaves_the_accelerator_as_it_was_treated(code: str) -> None:
    text = converted(migrate(after=code))
    assert "accelerator = SimpleNamespace" not in text
    assert f"# {code}" in text


def test_an_accelerator_that_nothing_reads_goes() -> None:
    assert "accelerator" not in converted(migrate()).split("rows = ")[-1]
