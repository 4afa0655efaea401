"""The converted PPO as its templates need it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mint_migrate.model.script import LoopScript, TrainingScript


@dataclass(frozen=True, slots=True, kw_only=True)
class PpoStepsScript(TrainingScript):
    """A class whose methods the user's own loop calls: the form of releases before 0.12."""

    template: ClassVar[str] = "ppo_steps.py.j2"
    lora_options: tuple[str, ...]
    dataset: bool
    """The trainer makes the data loader that the user's loop reads."""
    collator: bool
    drops_columns: bool
    """Columns that the original's model does not read are taken out of the data set."""
    reference: bool
    """The reference is another model than the one that is trained."""
    generates: bool
    samples_reference: bool
    logs: bool
    saves: bool
    device: bool
    accelerator: str
    """Arguments of the namespace that stands for the accelerator; "" where nothing reads it."""
    kl: str
    """The penalty of a token, as an expression of `row` and `base`."""
    adapts_kl: bool
    whitens_rewards: bool
    scales_scores: bool
    centers_scores: bool
    clips_scores: bool
    accumulates: bool
    stops_early: bool
    learning_rate: str
    beta1: str
    beta2: str
    eps: str
    weight_decay: str
    max_grad_norm: str
    tracker: str
    tracker_starts: bool
    tracker_project: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EpisodesScript(LoopScript):
    """A loop that samples a batch, scores it with a reward model and trains on it several times.

    PPO without its critic from 0.12 on, and RLOO before 0.22.
    """

    template: ClassVar[str] = "episodes.py.j2"
    algorithm: str
    """ppo | rloo"""
    rollout: str
    """Responses that are sampled together, as an expression."""
    mini: str
    """Responses of one optimizer step."""
    micro: bool
    """Each micro-batch is averaged by itself."""
    counts_episodes: bool
    stop: str
    """The token that ends a response, as an expression; "" for none."""
    penalty: str
    """What happens to the score of a response that does not end: subtract | replace | ""."""
    reward: str
    """What scores: model (a classifier of the script), any (or a function of texts)."""
    reference: bool
    """The reference is another model than the one that is trained."""
    kl_estimator: str = "k1"
    whitens_rewards: bool = False
    normalizes_rewards: bool = False
    normalizes_advantages: bool = False
