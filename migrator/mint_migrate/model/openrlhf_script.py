"""What the templates of OpenRLHF's RL entries look at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mint_migrate.model.launched_script import LaunchedScript


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptsScript:
    """Where prompts come from, and how rows become tokens."""

    chat: bool
    """The tokenizer's chat template makes the text."""
    template: bool
    """A template of the launcher's makes the text."""
    label: bool
    """Rows have a label that the reward looks at."""
    limits: bool
    """At most so many rows count."""
    blends: bool
    """Rows are drawn from several data sets with given probabilities."""
    stops: str
    """Strategy of `interleave_datasets`."""
    cut: str
    """What is left of a prompt that is too long: left (its end stays) | right (its beginning)."""
    longest: str
    """Expression of the largest number of its tokens."""
    keeps_rest: bool
    """A last rollout of an episode may have fewer prompts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardScript:
    """Where scores come from."""

    kind: str
    """function (a file of the user's) | http (one or more servers) | any (of these two, as its name
    says when the result runs) | agent (an environment)"""
    one_by_one: bool
    """It is asked about one response at a time."""
    takes_labels: bool = True
    """It is told the labels of the rows."""
    zero_counts: bool = True
    """A score of 0 is a score; else the reward takes its place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Divergence:
    """An estimate of how far the policy is from the reference."""

    estimator: str
    """k1 | k2 | k3"""
    clamps: bool
    """It is held between -10 and 10."""
    bounds_exponent: bool
    """What is exponentiated is bounded first."""
    unbiased: bool = False
    """Its gradient is that of the divergence, weighted by the ratio of the policies."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AdvantagesScript:
    """How scores become advantages."""

    estimator: str
    """reinforce | rloo | reinforce_baseline | group_norm | dr_grpo | flash_reinforce"""
    whitens: bool
    """They are normalized over the rollout."""
    scales: bool
    """That divides by their standard deviation."""
    gamma: str
    """Expression of the discount; empty for none."""

    @property
    def compares(self) -> bool:
        """Say whether responses are compared with the others to their prompt."""
        return self.estimator in {"rloo", "reinforce_baseline", "group_norm", "dr_grpo"}


@dataclass(frozen=True, slots=True, kw_only=True)
class LossScript:
    """The loss of the policy."""

    kind: str
    """ppo | gspo"""
    bounds: tuple[str, str]
    """Expressions of how far below and above 1 a ratio may go."""
    aggregation: str
    """Means: step (all tokens of a step) | micro_batch | response."""
    dual_clip: bool = False
    bounds_ratio: bool = False
    """The logarithm of a ratio is held between -20 and 20."""
    divergence: Divergence | None = None
    divergence_aggregation: str = ""

    @property
    def builtin(self) -> bool:
        """Say whether the server has the loss: the clipped surrogate alone."""
        return self.kind == "ppo" and not self.dual_clip and self.divergence is None


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdatesScript:
    """How the samples of a rollout are trained on."""

    fills: bool
    """Every rollout gives a whole number of optimizer steps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterScript:
    """How prompts that teach little are replaced."""

    margin: bool
    """The bounds are moved inwards by a hair."""
    whole: bool
    """Prompts are drawn a whole rollout at a time; what is kept beyond a rollout is dropped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenRLHFScript(LaunchedScript):
    """A training of `openrlhf.cli.train_ppo_ray`."""

    template: ClassVar[str] = "openrlhf.py.j2"
    headline: ClassVar[str] = "Reinforcement learning"
    needs_baseline: ClassVar[bool] = False
    prompts: PromptsScript
    sampling: tuple[tuple[str, str], ...]
    """(name, expression) of the sampling parameters besides the temperature."""
    reward: RewardScript
    advantages: AdvantagesScript
    loss: LossScript
    updates: UpdatesScript
    reference: bool
    """The log-probabilities of a frozen reference are needed."""
    reward_divergence: Divergence | None = None
    """The estimate that is taken from the rewards."""
    validation: bool = False
    agent: str = ""
    """class (AgentExecutor) | function (step); empty for single turns."""
    masked: bool = False
    """Not all tokens behind the prompt are the policy's."""
    appends_end: bool = False
    """An end token is appended to responses that were cut off."""
    ends_inside: bool = False
    """Only where the longest sequence allowed has room for it."""
    overlong: str = ""
    """Expression of the longest response, where long ones lose part of their score."""
    stop_penalty: bool = False
    """Responses that were cut off lose part of their score."""
    filter: FilterScript | None = None
    """Prompts whose mean score is out of a range are replaced."""
    adapts: bool = False
    """The weight of the divergence follows a target."""
    longest: str = ""
    """Expression of the largest number of tokens of prompt and response."""
    top_p: str = "1.0"
    run_options: str = ""
    """Further keywords of the tracker's run."""
