"""Annotations that name a source package: the result does not import it for them alone."""

from __future__ import annotations

from support.scripts import converted, migrated

SCRIPT = """
    from __future__ import annotations

    from typing import Optional

    from datasets import load_dataset
    from peft import LoraConfig
    from trl import SFTConfig, SFTTrainer


    def options(name: str) -> Optional[SFTConfig]:
        return SFTConfig(output_dir=name, save_strategy="no", max_length=64)


    def build(model, count: int = 1) -> SFTTrainer:
        return SFTTrainer(
            model,
            args=options("out"),
            train_dataset=load_dataset("acme/stories", split="train"),
            peft_config=LoraConfig(r=8, lora_alpha=32, target_modules="all-linear"),
        )


    trainer = build("Qwen/Qwen3-0.6B")
    trainer.train()
    {after}
"""


def test_they_name_what_the_result_makes():
    text = converted(migrated(SCRIPT.format(after="")))
    assert "def options(name: str) -> Optional[SimpleNamespace]:" in text
    assert "def build(model, count: int = 1) -> object:" in text
    assert "from trl" not in text


def test_comments_above_the_first_statement_of_a_function_stay():
    script = SCRIPT.replace(
        "count: int = 1) -> SFTTrainer:", "count: int = 1) -> SFTTrainer:\n        # Made here."
    )
    text = converted(migrated(script.format(after="")))
    assert "def build(model, count: int = 1) -> object:\n    # Made here.\n" in text


def test_where_the_name_is_used_for_more_it_stays():
    result = migrated(SCRIPT.format(after="print(isinstance(options('b'), SFTConfig))"))
    text = converted(result)
    assert "from trl import SFTConfig\n" in text
    assert "-> Optional[SFTConfig]:" in text
