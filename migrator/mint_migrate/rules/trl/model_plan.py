"""What is known of the model while a trainer is planned."""

from __future__ import annotations

from dataclasses import dataclass, field

from mint_migrate.model.facts import Argument, Call
from mint_migrate.model.source import Span

FULL_FINETUNING_RANK = "32"


@dataclass(slots=True)
class ModelPlan:
    """What the training client is created with."""

    base_model: str = ""
    rank: str = FULL_FINETUNING_RANK
    options: tuple[str, ...] = ("train_unembed=False",)
    is_lora: bool = False
    wrapped: Call | None = None
    """The `get_peft_model` call, if there is one."""
    peft: Argument | None = None
    """The LoRA configuration that was given where the model was loaded."""
    calls: list[Call] = field(default_factory=list)
    """Calls that made the model; their statements go."""
    variables: list[tuple[str, int]] = field(default_factory=list)
    carried: bool = False
    """Its name stands where it was loaded, and takes the way of the model to the trainer."""
    starts_from: str = ""
    """Expression for the checkpoint of an earlier training that goes on here; empty without one."""
    client: str = ""
    """The variable that holds the client after training."""
    max_length: Argument | None = None
    """The longest sequence, where the model's loader was told."""
    imports: set[str] = field(default_factory=set)
    """What the statements need that stand where the model was loaded."""
    loads: list[tuple[str, int, Span]] = field(default_factory=list)
    """(name, scope, statement) of what the model's name is made of, where it was read."""
