"""The converted supervised fine-tuning as its templates need it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mint_migrate.model.script import EpochsScript


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
    assistant_only: bool = False
    """Only what the template marks as the assistant's is trained on."""
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
class TextTemplate:
    """A piece of text, or its tokens, that marks where an answer or a question begins."""

    name: str
    """Parameter that holds it: `response_template`."""
    form: str
    """text | ids (a list of tokens) | any (seen when it runs)"""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswersScript:
    """Only what follows a template is trained on."""

    how: str
    """last (behind the last response template) | turns (from a response template to the next
    instruction template) | chats (the same, as unsloth finds them).
    """
    templates: tuple[TextTemplate, ...]
    """In the order of the parameters."""
    tokenizer: str = "tokenizer"
    """The tokenizer that knows the templates, as a variable of the loop."""

    @property
    def arguments(self) -> str:
        """What the function takes behind the tokens."""
        return ", ".join([self.tokenizer, *(item.name for item in self.templates)])


@dataclass(frozen=True, slots=True, kw_only=True)
class PackScript:
    """Rows are packed before they are batched."""

    how: str
    """whole (rows share a step, cut to the length) | split (the same, what is cut off as a row of
    its own) | wrapped (joined to one sequence and cut).
    """
    evaluation: bool
    """The rows of the evaluation are packed, too."""
    shuffled: bool
    """Packs are shuffled once more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SftScript(EpochsScript):
    """Everything `sft.py.j2` looks at."""

    template: ClassVar[str] = "sft.py.j2"
    makes_namespaces: ClassVar[bool] = False
    data: DataScript
    answers: AnswersScript | None = None
    packing: PackScript | None = None
    dft: bool = False
    """Each token is weighed by its own probability."""
    counts_first_token: bool = False
    """The original divided by all labels, though nothing predicts the first of each row."""
