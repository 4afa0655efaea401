"""What makes one trainer of TRL different from another, for the rules that all of them share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from mint_migrate.model.facts import Argument, Call
from mint_migrate.model.script import LoopScript, Names, TrainingScript
from mint_migrate.rules.base import Ledger
from mint_migrate.rules.trl.state import TrainerPlan


def _no_names(plan: TrainerPlan, script: LoopScript) -> frozenset[str]:
    return frozenset()


def _no_rows(plan: TrainerPlan, script: LoopScript, tokenizer: str) -> str | None:
    return None


def _nothing(plan: TrainerPlan, name: str, argument: Argument) -> bool:
    return False


Planner = Callable[[Ledger, "TrainerKind", Call, Names], tuple[TrainingScript, frozenset[str]]]


def _no_check(ledger: Ledger, trainer: Call, arguments: dict[str, Argument]) -> None:
    return None


def _usual(ledger: Ledger, trainer: Call) -> Planner | None:
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainerKind:
    """One trainer: its names, its options, and the rule that plans its loop."""

    trainer: str
    """Canonical name: `trl.SFTTrainer`."""
    config: str
    """Canonical name of the configuration whose rows decide the options."""
    short: str
    """Short name, which tells functions of several trainings apart: `sft`."""
    headline: str
    """What it does, as the first words of a docstring: `Supervised fine-tuning`."""
    positional: Callable[[str], tuple[str, ...]]
    """Names of the constructor's positional parameters in a release of TRL."""
    plan: Callable[[TrainerPlan], LoopScript]
    """Decides everything that is this trainer's own, and returns the script.

    Raises `Blocked` where the trainer cannot be converted.
    """
    other_configs: frozenset[str] = frozenset({"transformers.TrainingArguments"})
    """Configurations the trainer takes as well."""
    adopted: Callable[[str], tuple[str, ...]] = lambda version: ()
    """Options that belonged to the trainer in a release, and to the configuration later."""
    carried: frozenset[str] = frozenset()
    """Fields, besides those of every loop, that the loop reads under their own name."""
    decided: frozenset[str] = frozenset()
    """Fields, besides those of every loop, that `plan` decides."""
    run_time: frozenset[str] = frozenset()
    """Fields among *decided* that the loop reads under their own name where they are not known."""
    roles: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Names of what only this kind adds, by role, best first."""
    targets: Mapping[str, str] = field(default_factory=dict)
    """Where arguments of the trainer go that `plan` has understood, besides those of every one."""
    decide: Callable[[TrainerPlan, str, Argument], bool] = _nothing
    """Decides an argument of the trainer itself; False leaves it to `targets` and the rows."""
    imports: Callable[[TrainerPlan, LoopScript], frozenset[str]] = _no_names
    """Imports that its functions need, as statements of one name each, besides those of every loop.
    """
    calls_callbacks: bool = False
    """Its loop calls the callbacks of the user."""
    evaluation_rows: Callable[[TrainerPlan, LoopScript, str], str | None] = _no_rows
    """Expression for the rows that `evaluate` takes, with `{dataset}` where the data set goes.

    It is given the expression of the tokenizer, and returns None where a later `trainer.evaluate()`
    is not converted.
    """
    synonyms: Mapping[str, str] = field(default_factory=dict)
    """Older names of arguments of the trainer, and the name the rules know them by."""
    whole: Callable[[Ledger, Call], Planner | None] = _usual
    """Chooses a planner of its own for a trainer that is not built once and trained once."""
    check: Callable[[Ledger, Call, dict[str, Argument]], None] = _no_check
    """Looks at the trainer before anything else is planned; raises `Blocked`."""

    @property
    def configs(self) -> frozenset[str]:
        """Every configuration class that the trainer takes."""
        return self.other_configs | {self.config}
