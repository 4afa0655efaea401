"""A script that is written whole, for a training that a launcher describes by options."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mint_migrate.model.script import Schedule, TrainingScript


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One field of the emitted `Config`."""

    name: str
    kind: str
    """Annotation."""
    default: str
    """Expression."""
    comment: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchedScript(TrainingScript):
    """What the whole scripts have in common. A framework adds its own fields."""

    makes_namespaces: ClassVar[bool] = False
    headline: ClassVar[str]
    """What the result does, for its docstring."""
    fields: tuple[Field, ...]
    todos: tuple[str, ...] = ()
    """Comments above the configuration for what a person has to settle."""
    schedule: Schedule
    ref: dict[str, str]
    """Expression for each optimizer setting: `config.x` or a literal."""
    lora_options: tuple[str, ...] = ()
    saves: bool = False
    resumes: bool = False
    save_total_limit: bool = False
    keeps_all: bool = False
    loads_best: bool = False
    tracker: str = ""
    """wandb | tensorboard | empty"""
