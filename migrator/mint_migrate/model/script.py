"""The converted script as the templates need it: every choice made, only text left to fill in."""

from __future__ import annotations

from dataclasses import dataclass, field

from mint_migrate.model.plan import Decision
from mint_migrate.model.source import Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """Names of the functions and variables we add, none of which the user's module has."""

    tokenize: str = "tokenize_row"
    build_batch: str = "build_batch"
    learning_rate: str = "learning_rate_at"
    evaluate: str = "evaluate"
    save_checkpoint: str = "save_checkpoint"
    find_checkpoint: str = "find_checkpoint"
    train: str = "train"
    client: str = "training_client"
    checkpoint: str = "checkpoint"
    rows: str = "eval_rows"
    summary: str = "training_summary"


@dataclass(frozen=True, slots=True, kw_only=True)
class DataScript:
    """How one row becomes tokens."""

    format: str
    """What a row holds: text | messages | prompt_completion | prompt_completion_chat | tokens,
    formatting_func (a function makes the text), or any (seen when it runs).
    """
    text_field: str = "'text'"
    eos: str = "text"
    """What ends a row: none | text (the token's, where it is missing) | id (to every row)."""
    pairs: str = "common_prefix"
    """Where a completion starts: common_prefix | prompt_length. All of the row is trained on:
    concatenated | rendered_as_chat.
    """
    chat: str = "ids"
    """How a conversation is tokenized: ids (by the template), or rendered first: text |
    text_special (with special tokens).
    """
    masked: bool = False
    completion_only: bool = True
    marks_generation: bool = True
    """Whether a conversational prompt ends in the template's generation prompt."""
    masks_padding: bool = False
    """Whether every pad token was left out of the loss, whatever labels a row has."""
    reads_labels: bool = True
    """Whether the labels of rows that are tokens already counted."""
    cuts_tokens: bool = True
    """Whether such rows were truncated."""
    batched_formatting: bool = False
    drops_masked: bool = False
    cut: str = ""
    """Slice that truncates, such as `[: config.max_length]`."""


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
class SftScript:
    """Everything `sft.py.j2` looks at."""

    names: Names
    data: DataScript
    schedule: Schedule
    ref: dict[str, str]
    """Expression for each optimizer setting: `config.x` or a literal."""
    every: dict[str, str]
    length: str
    """epochs | max_steps | either"""
    order: str
    order_seed: str
    lora_options: tuple[str, ...]
    tokenizer: bool
    eval_dataset: bool
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
    micro_batches: bool = False
    """Each micro-batch is averaged over its own tokens, then they are averaged."""
    epoch_end: str = "own_step"
    """What the micro-batches make that do not fill the last window of an epoch: own_step |
    own_step_not_counted (when the length of training is computed) | carried_over (they belong to
    the window that the next epoch fills).
    """
    counts_first_token: bool = False
    """The original divided by all labels, though nothing predicts the first of each row."""
    drop_last: bool = False
    shuffle_dataset: bool = False
    eos_token: str = ""
    logging_first_step: bool = False
    summarizes: bool = False
    """The user's code reads the result of `train()`."""


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
    script: SftScript | None = None
    imports: tuple[str, ...] = ()
    """Import statements the result needs."""
    dropped_imports: tuple[tuple[Span, str], ...] = ()
    """(import statement, bound name) for each name that the result does not import any more."""
    summary: tuple[str, ...] = ()
    """Paragraphs of the module docstring."""
    partial: bool = False
    notices: tuple[str, ...] = field(default=())
