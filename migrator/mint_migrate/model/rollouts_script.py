"""A converted training on its own samples as the templates need it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mint_migrate.model.script import LoopScript


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundsScript:
    """How prompts make rounds of samples, and rounds make optimizer steps."""

    size: str = "config.batch_size"
    """Completions of a round."""
    parts: str = ""
    """Optimizer steps that one pass over a round makes; empty for one."""
    iterations: str = ""
    """Passes over a round; empty for one."""
    order: str = "run"
    """run (one generator, seeded once) | epochs (one for each epoch) | sequential"""
    draws_parts: bool = False
    """The completions are shuffled before they are cut into the parts of a round."""

    @property
    def reused(self) -> bool:
        """Whether a round makes several optimizer steps."""
        return bool(self.parts or self.iterations)

    @property
    def updates(self) -> str:
        """Optimizer steps of a round, as a factor."""
        return " * ".join(item for item in (self.iterations, self.parts) if item) or "1"


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptScript:
    """How a prompt becomes tokens and a completion becomes what a reward function sees."""

    plain_options: str = ""
    """Options of the tokenizer for a prompt that is a string."""
    chat_options: tuple[str, ...] = ()
    """Further arguments of `apply_chat_template`."""
    continues: bool = False
    """A conversation that ends with a turn of the assistant is continued."""
    cut: str = ""
    """Slice that truncates, such as `[-config.max_prompt_length :]`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardsScript:
    """How completions are scored."""

    given: str = "list"
    """What the call hands on: list | any (one function or a list)."""
    columns: bool = True
    """Reward functions get the other columns of a row."""
    completion_ids: bool = True
    trainer_state: bool = False
    log_functions: bool = False
    may_wait: bool = False
    """A function may be a coroutine function."""
    may_skip: bool = False
    """A function may return None for a completion."""
    unscored: str = "left_out"
    """What a completion counts that no function scores: left_out | zero | error."""
    weights: str = ""
    """Weights of the functions; empty where all count 1."""
    metric: str = "rewards/{name}/mean"
    spread: str = "batch"
    """What `reward_std` is: batch | groups."""
    partials: bool = False
    """Some may be made by `functools.partial`, and go by the name of what it wraps."""
    models: bool = False
    """Some rewards come from a local model."""
    own: tuple[tuple[str, str], ...] = ()
    """(function of TRL, name) of reward functions that the result defines itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutsScript(LoopScript):
    """A loop that samples, scores and trains."""

    figure: ClassVar[str] = "reward"
    """What the progress line shows beside the loss."""
    rounds: RoundsScript
    prompt: PromptScript
    rewards: RewardsScript
    sampling: tuple[tuple[str, str], ...]
    """Arguments of `SamplingParams`."""
    group: str = "config.num_generations"
    """Completions of each prompt."""
    eval_group: str = "config.num_generations"
    old_logprobs: str = "sampler"
    """Where the log-probabilities of the samples come from: sampler | computed (by a pass of the
    current weights at temperature 1) | none.
    """
    reference: bool = False
    """Log-probabilities of the base model are needed."""
    reference_is_start: bool = False
    """The reference is the adapter that training starts from, not the base model."""
    masked: bool = False
    """Some tokens or completions do not count."""
    masks_truncated: bool = False
    tools: str = ""
    """What the model may call while it answers: functions | environment; empty for nothing."""
    tool_rounds: str = ""
    """How often a completion may call tools; empty for as often as it likes."""
    environment_rewards: bool = False
    """The environments reward their completions themselves."""
