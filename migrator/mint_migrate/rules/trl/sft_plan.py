"""One `SFTTrainer` while it is planned."""

from __future__ import annotations

from dataclasses import dataclass

from mint_migrate.model.facts import Argument, Call, Use
from mint_migrate.model.script import Names
from mint_migrate.model.source import Span
from mint_migrate.rules.base import Ledger
from mint_migrate.rules.trl.sft_config import ConfigPlan
from mint_migrate.rules.trl.sft_model import ModelPlan


@dataclass(slots=True)
class SftPlan:
    """One trainer, while it is planned."""

    ledger: Ledger
    trainer: Call
    arguments: dict[str, Argument]
    names: Names
    train_use: Use
    config: ConfigPlan
    model: ModelPlan
    config_name: str = ""
    broken_config: Span | None = None
    """A statement that needs more of the configuration than the namespace has."""
    config_text: str = ""
    """Statement that makes the configuration just before training, where it had none of its own."""
