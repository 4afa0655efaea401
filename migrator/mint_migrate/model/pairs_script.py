"""Trainings on preferences, as their templates need them: KTO, BCO, ORPO, CPO and TPO."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mint_migrate.model.script import EpochsScript


@dataclass(frozen=True, slots=True, kw_only=True)
class RowsScript:
    """How rows of preferences become tokens."""

    unpairs: bool = False
    """A row of a chosen and a rejected answer becomes two rows with a label."""
    splits_prompt: bool = False
    """The prompt is what both answers begin with, where a row has none of its own."""
    only_if_paired: bool = True
    """Whether a row has both answers is seen when the result runs."""
    recent: bool = True
    """Prompt and completion are tokenized with the tokenizer's special tokens, and conversations by
    its template; before, all was text and both ends were added by hand.
    """
    conversations: bool = True
    """Conversations are rendered with the template of the tokenizer."""
    tools: bool = True
    """The template is given the row's tools."""
    completion_start: str = "common_prefix"
    """common_prefix | prompt_length, of rows that are tokenized the recent way."""
    drops_long_prompts: bool = True
    """A row whose prompt alone is too long is left out."""
    max_length: str = "config.max_length"
    """Expression of the maximal length; "" where nothing is cut."""
    max_prompt_length: str = ""
    """Expression of the length a prompt is cut to where the whole is too long; "" where it is not.
    """
    truncation: str = "keep_start"
    """Which end of such a prompt is kept: keep_start | keep_end."""
    always_ends: bool = False
    """Begin and end tokens are added whether they are there or not."""
    cut: str = "own"
    """How a pair that is too long is cut: own (each answer by itself) | longer (both answers, where
    the longer one is too long) | prompt_first (the prompt too, before that).
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class PreferenceScript(EpochsScript):
    """What the trainings on preferences have in common."""

    rows: RowsScript
    loss_type: str
    divisor: str = "len(parts)"
    """What the losses of the micro-batches of a step are divided by, after they are added."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KtoScript(PreferenceScript):
    """Everything `kto.py.j2` looks at."""

    template: ClassVar[str] = "kto.py.j2"
    reference: str = "base_model"
    """Expression of the reference model's name inside `train`."""
    mismatch: str = "rotated"
    """Which completion a prompt gets for the KL estimate: rotated (the one before it in its batch)
    | reversed (the one that many from the end).
    """
    mismatch_block: str = "config.batch_size"
    """Expression of the rows among which completions are exchanged."""
    mismatch_joins_twice: bool = False
    """The prompt of such a pair is the one that was cut for its own completion."""
    weights: tuple[str, str] = ("1.0", "1.0")
    """Expressions of the weights of desirable and undesirable rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BcoScript(PreferenceScript):
    """Everything `bco.py.j2` looks at."""

    template: ClassVar[str] = "bco.py.j2"
    running: str = "running"
    reference: str = "base_model"
    """Expression of the reference model's name inside `train`."""
    counts_batches: bool = False
    """The running mean is one of the means of micro-batches, whatever their size."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OrpoScript(PreferenceScript):
    """Everything `orpo.py.j2` looks at."""

    template: ClassVar[str] = "orpo.py.j2"


@dataclass(frozen=True, slots=True, kw_only=True)
class CpoScript(PreferenceScript):
    """Everything `cpo.py.j2` looks at."""

    template: ClassVar[str] = "cpo.py.j2"
    nll: bool = True
    """The negative log-likelihood of the chosen completions is added."""
    alpha: bool = False
    """Log-probabilities are transformed as AlphaPO does."""
    smooths: bool = False
    """Labels are smoothed."""
    loss_words: str = "CPO"
    """What the loss is called in a sentence: `SimPO`."""
    formula: str = ""
    """The loss of one pair, as a line of a docstring."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TpoScript(PreferenceScript):
    """Everything `tpo.py.j2` looks at."""

    template: ClassVar[str] = "tpo.py.j2"
    has_gold: bool = True
    """The negative log-likelihood of the gold answers is added."""
    smooths: bool = False
    """Labels are smoothed."""
    formula: str = ""
    """The loss of one row, as a line of a docstring."""
    template_options: bool = False
    """Rows may hold `chat_template_kwargs`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardScript(PreferenceScript):
    """Everything `reward.py.j2` looks at."""

    template: ClassVar[str] = "reward.py.j2"
