"""What the templates of OpenRLHF's entries that train on given rows look at: SFT and DPO."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mint_migrate.model.launched_script import LaunchedScript


@dataclass(frozen=True, slots=True, kw_only=True)
class DataScript:
    """Where rows come from."""

    blends: bool
    """Rows are drawn from several data sets with given probabilities."""
    stops: str
    """Strategy of `interleave_datasets`."""
    limits: bool
    """At most so many rows count."""
    chat: bool
    """The tokenizer's chat template makes the text."""
    own_chat_template: bool
    template: bool
    """A template of the launcher's makes the text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenRlhfRowsScript(LaunchedScript):
    """A training on rows that are given: every optimizer step has `train_batch_size` of them."""

    data: DataScript
    by_data: bool = False
    """The number of steps for the learning rate is that of full windows, not of full epochs."""
    micro_batches: bool = False
    """The loss is a mean over micro-batches of means over tokens, not a mean over tokens."""
    evaluates: bool
    eval_every_row: bool
    """Held-out rows that fill no micro-batch count, too."""
    eval_by_epoch: bool
    """Evaluation comes at the end of each epoch."""
    run_options: str = ""
    """Further keywords of `wandb.init`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenRlhfSftScript(OpenRlhfRowsScript):
    """A training of `openrlhf.cli.train_sft`."""

    template: ClassVar[str] = "openrlhf_sft.py.j2"
    headline: ClassVar[str] = "Supervised fine-tuning"
    rows: str
    """pairs (a prompt and a response, or a conversation whose last turn is trained on) |
    conversations (all turns of the assistant) | texts (all of it).
    """
    output: bool
    """The response has a column of its own."""
    skips_first: bool = False
    """The first token of a response is not trained on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenRlhfPairsScript(OpenRlhfRowsScript):
    """A training on pairs of answers."""

    prompt: bool
    """The prompt has a column of its own."""
    splits: bool = False
    """What both answers begin with is the prompt."""
    margin: bool = False
    """A row says by how much the chosen answer should be better."""
    nll: bool = False
    """The mean log-probability of the chosen answer is part of the loss."""
    reference: str = ""
    """Expression of the model that is the reference; empty without one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenRlhfDpoScript(OpenRlhfPairsScript):
    """A training of `openrlhf.cli.train_dpo`."""

    template: ClassVar[str] = "openrlhf_dpo.py.j2"
    headline: ClassVar[str] = "Direct preference optimization"
    ipo: bool
    smooths: bool
    """A share of the pairs is taken to be labeled the wrong way round."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenRlhfRewardScript(OpenRlhfPairsScript):
    """A training of `openrlhf.cli.train_rm` without a head: rewards are log-probabilities."""

    template: ClassVar[str] = "openrlhf_rm.py.j2"
    headline: ClassVar[str] = "A generative reward model"


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenRlhfKtoScript(OpenRlhfRowsScript):
    """A training of `openrlhf.cli.train_kto`."""

    template: ClassVar[str] = "openrlhf_kto.py.j2"
    headline: ClassVar[str] = "Kahneman-Tversky optimization"
    output: bool
    """The answer has a column of its own."""
    reference: str
    """Expression of the model that is the reference."""
