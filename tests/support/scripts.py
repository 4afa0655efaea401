"""Migrate a piece of code in a test, and say what was decided."""

from __future__ import annotations

import functools
from textwrap import dedent

from mint_migrate.model.outcome import Migrated, Outcome
from mint_migrate.model.plan import Decision
from mint_migrate.model.source import Options, Source
from mint_migrate.pipeline import migrate_source
from mint_migrate.tables.lookup import Tables, load_tables

SFT = """
from datasets import load_dataset
from peft import LoraConfig
from trl import SFTConfig, SFTTrainer

dataset = load_dataset("acme/chats", split="train")
config = SFTConfig({config})
trainer = SFTTrainer(
    model="Qwen/Qwen3-0.6B",
    args=config,
    train_dataset=dataset,
    peft_config=LoraConfig({lora}),
    {trainer}
)
trainer.train()
{after}
"""
GRPO = """
from datasets import load_dataset
from peft import LoraConfig
from trl import GRPOConfig, GRPOTrainer

dataset = load_dataset("acme/sums", split="train")


def brevity(completions, **kwargs):
    return [-float(len(text)) for text in completions]


config = GRPOConfig({config})
trainer = GRPOTrainer(
    model="Qwen/Qwen3-0.6B",
    reward_funcs={rewards},
    args=config,
    train_dataset=dataset,
    peft_config=LoraConfig({lora}),
    {trainer}
)
trainer.train()
{after}
"""
LORA = 'r=16, lora_alpha=32, target_modules="all-linear"'


@functools.cache
def tables() -> Tables:
    """Return the tables, read once."""
    return load_tables()


def outcome(text: str, *, path: str = "script.py", **options: object) -> Outcome:
    """Migrate *text*, dedented."""
    content = dedent(text)
    source = Source(path=path, content=content.encode(), text=content, newline="\n")
    return migrate_source(source, Options(**options), tables())  # type: ignore[arg-type]


def migrated(text: str, **options: object) -> Migrated:
    """Migrate *text*, which must use a framework."""
    result = outcome(text, **options)
    assert isinstance(result, Migrated), result
    return result


def sft(
    config: str = 'output_dir="out", save_strategy="no"',
    *,
    lora: str = LORA,
    trainer: str = "",
    after: str = "",
    **options: object,
) -> Migrated:
    """Migrate a small SFT script with the given arguments in their places."""
    return migrated(SFT.format(config=config, lora=lora, trainer=trainer, after=after), **options)


def grpo(
    config: str = "",
    *,
    rewards: str = "[brevity]",
    trainer: str = "",
    after: str = "",
    source_version: str = "1.16.0",
    **options: object,
) -> Migrated:
    """Migrate a small GRPO script; *config* adds to a round of 8 completions, 4 for each prompt."""
    fields = 'output_dir="out", save_strategy="no", num_generations=4'
    if "per_device_train_batch_size" not in config:
        fields += ", per_device_train_batch_size=8"
    fields += f", {config}" if config else ""
    text = GRPO.format(config=fields, lora=LORA, rewards=rewards, trainer=trainer, after=after)
    return migrated(text, source_version=source_version, **options)


def converted(result: Migrated) -> str:
    """Return the text of a conversion, which must have happened."""
    assert result.text is not None, [item.note for item in result.decisions[:1]]
    return result.text


def decision(result: Migrated, name: str) -> Decision:
    """Return the one decision about the thing called *name*."""
    found = [item for item in result.decisions if item.found.name == name]
    assert len(found) == 1, (name, [item.found.name for item in result.decisions])
    return found[0]
