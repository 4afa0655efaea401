"""The converted preference training as its templates need it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mint_migrate.model.script import EpochsScript


@dataclass(frozen=True, slots=True, kw_only=True)
class PairRows:
    """How one row becomes two sequences."""

    tokenization: str
    """How prompt and answer become tokens: together, the answer beginning where the two sequences
    and the prompt alone begin to differ (common_prefix) or after as many tokens as the prompt has
    (prompt_length); each for itself (separate); together, as text only (text).
    """
    prompt: str = "any"
    """Where the prompt is: explicit (a column), implicit (what both answers begin with), any."""
    older_prompt: bool = False
    """A prompt in words beside answers in turns is not a prompt, but repeats how they begin."""
    eos: str = "text"
    """What ends an answer in words: text (the token's, where it is missing), missing_id, id."""
    chat_eos: bool = False
    """Rendered conversations get the end token as well."""
    bos: str = "none"
    """What begins a prompt: none | missing_id | id."""
    keeps_merged: bool = True
    """A token that is made of prompt and answer belongs to the answer; otherwise to neither."""
    tools: str = ""
    """Expression of the tools that a conversation is rendered with."""
    template_options: bool = False
    """Rows may hold `chat_template_kwargs`."""
    continues: bool = True
    """A prompt that ends in an answer is rendered to be continued."""
    cut: str = ""
    """Slice that truncates the whole, such as `[: config.max_length]`."""
    cut_prompt: str = ""
    cut_answer: str = ""
    length: str = ""
    """Expression of the length at which the older releases cut prompts."""
    drops_cut: bool = False
    """Pairs are left out whose prompt leaves no room for an answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PairLoss:
    """One of the losses that are added up."""

    name: str
    weight: str = ""
    """Expression of its weight; empty where it counts once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LossScript:
    """What the loss of a micro-batch looks like."""

    terms: tuple[PairLoss, ...]
    smoothing: str = ""
    """Share of pairs whose preference counts as swapped, as an expression."""
    divergence: str = "reverse_kl"
    """reverse_kl | forward_kl | js_divergence | alpha_divergence"""
    alpha: str = ""
    """Exponent of the ratio in the alpha divergence, as an expression."""
    shifts_scores: bool = True
    """Scores of a divergence are 0 where policy and reference agree."""
    averages: bool = False
    """Log-probabilities of answers are means over their tokens, in all losses and metrics."""
    running_mean: bool = False
    """`bco_pair` compares rewards with their mean over all micro-batches so far."""
    nll_weight: str = ""
    """Weight of the negative log-likelihood of chosen answers beside the losses, an expression."""
    nll_scales: bool = False
    """That weight is the weight of the preference loss, and the likelihood counts once."""
    nll_skips_zero: bool = False
    """The likelihood leaves out tokens with the id 0."""
    is_free: bool = False
    """No reference takes part."""
    discounts: bool = False
    """Tokens beyond the length of the shorter answer count less."""

    @property
    def kinds(self) -> frozenset[str]:
        """Names of the losses."""
        return frozenset(term.name for term in self.terms)

    @property
    def needs_margins(self) -> bool:
        """A loss is a function of the scaled difference of two scores."""
        return bool(self.kinds & {"sigmoid", "hinge", "exo_pair", "robust", "discopop"})

    @property
    def needs_scores(self) -> bool:
        """A loss looks at unscaled scores."""
        return self.divergence != "reverse_kl" or bool(self.kinds & {"ipo", "sigmoid_norm"})

    @property
    def needs_ratios(self) -> bool:
        """A loss looks at the unscaled ratios of policy and reference."""
        return self.needs_scores or bool(self.kinds & {"sppo_hard", "aot_unpaired", "kto_pair"})

    @property
    def needs_lengths(self) -> bool:
        """A loss divides by the number of tokens of an answer."""
        return "sigmoid_norm" in self.kinds or ("ipo" in self.kinds and not self.averages)

    @property
    def needs_likelihood(self) -> bool:
        """The likelihood of chosen answers is part of the loss."""
        return bool(self.nll_weight) or "sft" in self.kinds

    @property
    def needs_logsigmoid(self) -> bool:
        """The text of a loss or a score has a `logsigmoid`."""
        without = {"hinge", "ipo", "sppo_hard", "apo_zero", "apo_down", "sft", "kto_pair"}
        return self.divergence == "js_divergence" or bool(self.kinds - without)


@dataclass(frozen=True, slots=True, kw_only=True)
class DpoScript(EpochsScript):
    """Everything `dpo.py.j2` looks at."""

    template: ClassVar[str] = "dpo.py.j2"
    makes_namespaces: ClassVar[bool] = False
    rows: PairRows
    loss: LossScript
    reference: str = "base"
    """base (the model without the adapter) | start (the adapter that training starts from) | other
    (`reference_model`) | none"""
    asks_first: bool = False
    """The reference is asked about all pairs before training."""
    divisor: str = "own"
    """What the sum over the micro-batches of a step is divided by: their own number, or an
    expression.
    """
