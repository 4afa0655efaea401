"""One trainer while it is planned."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mint_migrate.model.facts import Argument, Call, Use
from mint_migrate.model.script import LoopScript, Names
from mint_migrate.model.source import Span
from mint_migrate.rules.base import Ledger
from mint_migrate.rules.trl.config import ConfigPlan
from mint_migrate.rules.trl.model_plan import ModelPlan
from mint_migrate.rules.trl.options.source import OptionSource

if TYPE_CHECKING:
    from mint_migrate.rules.trl.kind import TrainerKind


@dataclass(slots=True, kw_only=True)
class BuiltTrainer:
    """One trainer and its configuration, while they are planned."""

    ledger: Ledger
    kind: TrainerKind
    trainer: Call
    arguments: dict[str, Argument]
    names: Names
    config: ConfigPlan
    model: ModelPlan
    config_name: str = ""
    broken_config: Span | None = None
    """A statement that needs more of the configuration than the namespace has."""
    source: OptionSource | None = None
    """Where options come from that are only known when the script runs."""
    config_text: str = ""
    """Statement that makes the configuration just before training, where it had none of its own."""

    @property
    def config_variable(self) -> str | None:
        """Name under which the user's code knows the configuration."""
        argument = self.arguments.get("args")
        return argument.value.name if argument is not None else None

    @property
    def config_names(self) -> frozenset[str]:
        """Every name under which the user's code knows the configuration."""
        names = {self.config_variable} if self.config_variable is not None else set()
        if self.source is not None:
            names |= {
                item.name
                for item in self.ledger.facts.parsed
                if item.parser == self.source.call.number
                and item.made.qualified is not None
                and self.ledger.tables.canonical(item.made.qualified) == self.source.owner
            }
        return frozenset(names)

    @property
    def read_elsewhere(self) -> frozenset[str]:
        """Attributes of the configuration that the user's own code reads."""
        names = self.config_names
        return frozenset(
            attr for owner, attr in self.ledger.facts.attributes_read if owner in names
        )

    def given(self, name: str) -> Argument | None:
        """Return an argument of the trainer, or None where it is left out or given as None."""
        argument = self.arguments.get(name)
        return None if argument is None or argument.value.literal == "None" else argument

    def default_output(self, suffix: str) -> str:
        """Return the literal of the folder that is written to where the script names none."""
        if self.config.call is not None:
            return '"trainer_output"'
        name = self.model.base_model.strip("\"'").rsplit("/", 1)[-1]
        is_plain = name.replace("-", "").replace(".", "").isalnum()
        return f'"{name}-{suffix}"' if is_plain else '"trainer_output"'


@dataclass(slots=True, kw_only=True)
class TrainerPlan(BuiltTrainer):
    """One trainer that is built once and trained once, while it is planned."""

    train_use: Use
    is_apart: bool = False
    """The trainer is built in one place and trained in another: `rules/trl/apart.py`."""
    samples: bool = False
    """The result samples from the model as the script did."""
    callbacks: str = ""
    """Text of the list of callbacks that the loop calls; "" for none."""
    sampled_after: list[str] = field(default_factory=list)
    """Variables that hold the trained model after training."""
    script: LoopScript | None = None
    """What the kind's rule made, once it has."""

    @property
    def given_at(self) -> Span:
        """The statement that evaluates what training is given."""
        return self.trainer.statement if self.is_apart else self.train_use.statement

    @property
    def client(self) -> str:
        """The variable that holds the client after training."""
        holder = self.train_use.root if self.is_apart else self.trainer.target or ""
        return f"{'self.' if holder.startswith('self.') else ''}{self.names['client']}"

    @property
    def config_after(self) -> str:
        """The configuration, for code after training."""
        ledger, name = self.ledger, self.config_name
        owner = ledger.owner_of(name, self.train_use.scope)
        is_seen = owner is not None and owner == ledger.owner_of(name, self.trainer.scope)
        return name if is_seen or not self.is_apart else f"{self.train_use.root}.args[0]"
