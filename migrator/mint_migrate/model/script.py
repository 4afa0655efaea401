"""The converted script as the templates need it: every choice made, only text left to fill in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from mint_migrate.model.options_script import OptionsScript
from mint_migrate.model.plan import Decision
from mint_migrate.model.source import Span

Names = Mapping[str, str]
"""What the functions and variables that we add are called, by role; never a name of the user's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """The learning rate over the steps, as expressions of `config`, `step` and `num_steps`."""

    kind: str
    words: str
    warmup: str = ""
    warms_from_one: bool = False
    angle: str = "math.pi"
    cycles: str = "1"
    lowest: str = "1e-7"
    power: str = ""
    timescale: str = ""
    floor: str = "0.0"
    decay_steps: str = ""
    decay: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingScript:
    """What every converted trainer has, whether it brings a loop or the user's code is the loop."""

    template: ClassVar[str]
    """File under `templates/` that renders the functions."""
    names: Names
    starts_from: bool = False
    """Training goes on from a checkpoint of an earlier training of the script."""
    samples: bool = False
    """The user's code calls `generate` of the model, before or after training."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopScript(TrainingScript):
    """What the functions of every kind of training look at. A kind adds its own fields."""

    makes_namespaces: ClassVar[bool] = True
    """Its functions make `SimpleNamespace`s, whatever the configuration is."""
    schedule: Schedule
    ref: dict[str, str]
    """Expression for each optimizer setting: `config.x` or a literal."""
    every: dict[str, str]
    length: str
    """epochs | max_steps | either"""
    lora_options: tuple[str, ...]
    tokenizer: bool
    """The call hands a tokenizer on; otherwise it is the model's."""
    passes: tuple[str, ...] = ()
    """Further arguments of the trainer that the call of `train` hands on, by name."""
    handed: tuple[tuple[str, str], ...] = ()
    """(parameter, expression) of what else the call hands on."""
    eval_dataset: bool = False
    eval_optional: bool = False
    evaluation: str = "no"
    evaluates_later: bool = False
    eval_on_start: bool = False
    eval_batch_size: str = "8"
    saving: str = "no"
    save_total_limit: bool = False
    resume: bool = False
    tracker: str = ""
    tracker_starts: bool = False
    tracker_project: str = "'huggingface'"
    run_name: bool = False
    logging_first_step: bool = False
    keeps_all: bool = False
    """`save_total_limit` may be None."""
    options: OptionsScript | None = None
    """Options that are only known when the script runs."""
    summarizes: bool = False
    """The user's code reads the result of `train()`."""
    callbacks: bool = False
    """Callbacks of the user are called."""
    stops_early: bool = False
    """One of them is transformers' own, which looks at the best metric so far."""
    loads_best: bool = False
    """The checkpoint with the lowest evaluation loss is loaded at the end."""
    times: bool = False
    """It reads from there how long training took."""
    moves_every: str = ""
    """Expression of the steps between snapshots of the policy that become the reference; "" for a
    reference that stays.
    """
    running: str = ""
    """What the loss keeps from batch to batch, as a variable of `train`; "" for nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochsScript(LoopScript):
    """A loop over the rows of a data set, epoch after epoch."""

    order: str
    """random | sequential"""
    order_seed: str
    epoch_end: str = "own_step"
    """What the micro-batches make that do not fill the last window of an epoch: own_step |
    own_step_not_counted (when the length of training is computed) | carried_over (they belong to
    the window that the next epoch fills).
    """
    micro_batches: bool = False
    """Each micro-batch is averaged by itself, then they are averaged."""
    drop_last: bool = False
    shuffle_dataset: bool = False
    shuffle_seed: str = ""
    """Expression of the seed that the rows of both data sets are shuffled with, before training;
    "" where they are not.
    """
    eos_token: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """A change of the user's text. Overlapping edits are a bug; the rewriter refuses them."""

    span: Span
    text: str | None
    """Replacement; None removes the statement."""
    is_statement: bool
    comments: tuple[str, ...] = ()
    """Comment lines to stand above the statement."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is decided, and what has to be written."""

    version: str
    evidence: tuple[str, ...]
    decisions: tuple[Decision, ...]
    edits: tuple[Edit, ...] = ()
    scripts: tuple[TrainingScript, ...] = ()
    """What is trained, in the order of the script."""
    headline: str = ""
    """What the result does, for its docstring: `Supervised fine-tuning`."""
    trainers: tuple[str, ...] = ()
    """Names of the trainers that are converted: `SFTTrainer`."""
    imports: tuple[str, ...] = ()
    """Import statements the result needs."""
    dropped_imports: tuple[tuple[Span, str], ...] = ()
    """(import statement, bound name) for each name that the result does not import any more."""
    summary: tuple[str, ...] = ()
    """Paragraphs of the module docstring."""
    promise: str = "Same loss, data order and schedule as the original"
    """What the docstring says of the result, but for the differences it lists."""
    partial: bool = False
    notices: tuple[str, ...] = field(default=())
