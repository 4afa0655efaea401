"""What the templates of verl's RL entries look at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mint_migrate.model.launched_script import LaunchedScript
from mint_migrate.model.verl_math import (
    Advantages,
    Divergence,
    GroupFilter,
    Overlong,
    PolicyLoss,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RowsScript:
    """How the rows of the data files become prompts."""

    filters: bool
    """Rows whose prompt is too long are left out."""
    cut: str
    """What happens to a prompt that is too long and stays: error | left | right | middle."""
    chat_options: tuple[str, ...] = ()
    """Further keywords of the chat template."""
    samples: bool = False
    """At most so many rows count."""
    draws_sample: bool = False
    """They are drawn, not the first."""
    shuffles: bool = True
    wastes_permutation: bool = False
    """The sampler of the release draws a permutation that it does not use at the end of an epoch.
    """
    sample_seed: str = "None"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scorer:
    """A rule that scores the rows of some data sources."""

    name: str
    """gsm8k | math | math_dapo"""
    sources: tuple[str, ...]
    prefix: str = ""
    """Sources that begin with it are scored as well."""
    ways: frozenset[str] = frozenset()
    """What is special about the rule in the release."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardScript:
    """Where scores come from."""

    kind: str
    """function (a file of the user's) | default (by data source)"""
    manager: str = "naive"
    """naive (one response after the other) | batch (all in one call)"""
    is_async: bool = False
    takes_extra: bool = True
    """The function is given `extra_info`."""
    with_prompt: bool = False
    """What is scored begins with the prompt."""
    passes: tuple[str, ...] = ()
    """Further keyword arguments of the function."""
    scorers: tuple[Scorer, ...] = ()
    """Rules that the result brings itself; verl's own function has the others."""
    fallback: str = "default_compute_score"
    """What verl's own function is called."""

    @property
    def reads_boxes(self) -> bool:
        """Say whether a rule reads what stands in a pair of braces."""
        return any(item.name == "math" or "falls_back" in item.ways for item in self.scorers)


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdatesScript:
    """How the samples of a rollout are trained on."""

    mini_batches: bool
    """Several optimizer steps per rollout."""
    epochs: bool
    """The mini-batches are trained on more than once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidationScript:
    """How held-out prompts are scored."""

    frequency: bool
    before: bool
    only: bool
    sampling: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolsScript:
    """Conversations in which tools answer the policy."""

    registry: str
    """Module of verl that makes the tools."""
    is_recent: bool
    """Unknown names have an answer of their own, and a row may choose among the tools."""
    error: str
    """What stands before the message of a tool that failed; an f-string's text."""
    keeps: str
    """What stays of a long answer: start | end | both."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VerlScript(LaunchedScript):
    """A training of `verl.trainer.main_ppo` or of a recipe over it."""

    template: ClassVar[str] = "verl.py.j2"
    headline: ClassVar[str] = "Reinforcement learning"
    rows: RowsScript
    sampling: tuple[tuple[str, str], ...]
    """(name, expression) of the sampling parameters."""
    reward: RewardScript
    updates: UpdatesScript
    advantages: Advantages
    loss: PolicyLoss
    reward_divergence: Divergence | None = None
    """What the rewards lose."""
    group_filter: GroupFilter | None = None
    overlong: Overlong | None = None
    validation: ValidationScript | None = None
    tools: ToolsScript | None = None
    limit_steps: bool = False
    """`total_training_steps` is given."""

    @property
    def reference(self) -> bool:
        """Say whether the log-probabilities of a frozen reference are needed."""
        return bool(self.reward_divergence or self.loss.divergence)

    @property
    def needs_baseline(self) -> bool:
        """Say whether each prompt has a further response, the likeliest one."""
        return self.advantages.estimator == "remax"
