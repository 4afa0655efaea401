"""Trainers that are built in one place and trained in another, or only under a condition."""

from __future__ import annotations

from textwrap import dedent

import pytest
from mint_migrate.model.outcome import Migrated
from mint_migrate.model.plan import Fidelity
from support.scripts import converted, decision, migrated
from support.walker import found

HEAD = """
from datasets import load_dataset
from peft import LoraConfig
from trl import SFTConfig, SFTTrainer

ROWS = load_dataset("acme/chats", split="train")
lora = LoraConfig(r=8, lora_alpha=32, target_modules="all-linear")
config = SFTConfig(output_dir="out")

"""
GIVEN = 'model="Qwen/Qwen3-0.6B", args=config, train_dataset=ROWS'


def migrate(body: str) -> Migrated:
    """Migrate a script; its decisions must be what the walker finds."""
    text = HEAD + dedent(body)
    result = migrated(text, source_version="1.16.0")
    ours = [
        (item.found.kind.value, item.found.span.line, item.found.span.column)
        for item in result.decisions
    ]
    assert sorted(ours) == sorted((item.kind, item.line, item.column) for item in found(text))
    return result


def test_a_factory_returns_what_is_left_to_do() -> None:
    text = converted(
        migrate(
            f"""
            def build():
                return SFTTrainer({GIVEN}, peft_config=LoraConfig(r=8, lora_alpha=32))

            trainer = build()
            trainer.train()
            trainer.save_model("final")
            """
        )
    )
    assert "    return partial(\n        train,\n        config,\n" in text
    assert "\ntraining_client = trainer()\n" in text
    assert 'checkpoint = training_client.save_state(name="final")' in text


def test_an_attribute_holds_it_for_another_method() -> None:
    text = converted(
        migrate(
            f"""
            class Job:
                def prepare(self):
                    self.trainer = SFTTrainer({GIVEN})

                def run(self):
                    self.trainer.train()
                    self.trainer.save_model()
            """
        )
    )
    assert "self.trainer = partial(\n" in text
    assert "self.training_client = self.trainer()" in text
    assert "self.training_client.save_state(name=Path(config.output_dir).name)" in text


def test_a_configuration_that_training_does_not_see_is_taken_from_the_trainer() -> None:
    text = converted(
        migrate(
            """
            def build():
                mine = SFTConfig(output_dir="mine")
                return SFTTrainer(model="Qwen/Qwen3-0.6B", args=mine, train_dataset=ROWS)

            trainer = build()
            trainer.train()
            trainer.save_model()
            """
        )
    )
    assert "save_state(name=Path(trainer.args[0].output_dir).name)" in text


def test_a_function_may_train_what_the_module_built() -> None:
    text = converted(
        migrate(
            f"""
            trainer = SFTTrainer({GIVEN})

            def run():
                trainer.train()

            run()
            """
        )
    )
    assert "\n    trainer()\n" in text


BRANCHES = """
if BIG:
    trainer = SFTTrainer({first})
else:
    trainer = SFTTrainer({second})
trainer.train()
"""


def test_each_branch_of_an_if_keeps_its_rank() -> None:
    body = BRANCHES.format(
        first=f'{GIVEN}, peft_config=LoraConfig(r=4, lora_alpha=32, target_modules="all-linear")',
        second=GIVEN,
    )
    result = migrate("BIG = True\n" + body)
    text = converted(result)
    assert text.count("trainer = partial(") == 2
    assert text.index("rank=4,") < text.index("rank=32,")
    calls = [item for item in result.decisions if item.found.name == "trl.SFTTrainer"]
    assert {item.fidelity for item in calls if item.found.kind.value == "call"} == {
        Fidelity.EXACT,
        Fidelity.APPROXIMATE,
    }


@pytest.mark.parametrize(
    ("second", "reason"),
    [
        (f"{GIVEN}, eval_dataset=ROWS", "only one of the branches gives `eval_dataset`"),
        (GIVEN.replace("config", 'SFTConfig(output_dir="b")'), "`args` differs"),
        (
            f'{GIVEN}, peft_config=LoraConfig(r=8, target_modules=["q_proj"])',
            "different parts of the model",
        ),
    ],
)
def test_branches_that_need_different_loops_are_left_alone(second: str, reason: str) -> None:
    result = migrate("BIG = True\n" + BRANCHES.format(first=GIVEN, second=second))
    assert result.text is None
    assert reason in result.notices[0]


def test_a_trainer_built_twice_in_a_row_is_left_alone() -> None:
    result = migrate(
        f"""
        trainer = SFTTrainer({GIVEN})
        trainer = SFTTrainer({GIVEN})
        trainer.train()
        """
    )
    assert result.text is None
    assert "is built in 2 places" in result.notices[0]


def test_a_trainer_in_a_larger_result_is_left_alone() -> None:
    result = migrate(
        f"""
        def build():
            return [SFTTrainer({GIVEN})]

        build()[0].train()
        """
    )
    assert result.text is None


CONDITIONAL = f"""
import sys

trainer = SFTTrainer({GIVEN})
if {{test}}:
    trainer.train()
{{after}}
"""


@pytest.mark.parametrize("test", ["DO", "not DO", "args.do_train"])
def test_a_save_after_conditional_training_is_under_the_condition(test: str) -> None:
    text = converted(migrate(CONDITIONAL.format(test=test, after='trainer.save_model("final")')))
    assert f"if {test}:\n    checkpoint = training_client.save_state" in text


@pytest.mark.parametrize("test", ["len(sys.argv) > 1", "DO and len(ROWS)"])
def test_a_save_after_training_under_a_call_is_for_a_person(test: str) -> None:
    result = migrate(CONDITIONAL.format(test=test, after='trainer.save_model("final")'))
    assert decision(result, "trl.SFTTrainer.save_model").fidelity is Fidelity.MANUAL
    assert '# trainer.save_model("final")' in converted(result)


def test_a_save_beside_conditional_training_stays_as_it_is() -> None:
    body = CONDITIONAL.format(test="DO", after="").rstrip() + '\n    trainer.save_model("final")\n'
    text = converted(migrate(body))
    assert text.count("if DO:") == 1


def test_code_that_looks_into_the_trainer_becomes_a_comment() -> None:
    result = migrate(
        f"""
        from elsewhere import describe

        def build():
            return SFTTrainer({GIVEN})

        trainer = build()
        describe(trainer)
        trainer.train()
        """
    )
    assert "# describe(trainer)" in converted(result)
