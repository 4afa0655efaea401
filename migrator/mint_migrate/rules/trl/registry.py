"""The trainers that are converted. Each is one `TrainerKind` in a folder of its own.

A script has one trainer, seldom two: the rules of the others are not imported.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module

from mint_migrate.rules.trl.kind import TrainerKind

KINDS = {
    "trl.BCOTrainer": "bco.kind.BCO",
    "trl.CPOTrainer": "cpo.kind.CPO",
    "trl.DPOTrainer": "dpo.kind.DPO",
    "trl.DistillationTrainer": "distillation.own_answers.DISTILLATION",
    "trl.GKDTrainer": "distillation.gkd.GKD",
    "trl.GMPOTrainer": "gmpo.kind.GMPO",
    "trl.GRPOTrainer": "grpo.kind.GRPO",
    "trl.KTOTrainer": "kto.kind.KTO",
    "trl.MiniLLMTrainer": "distillation.minillm.MINILLM",
    "trl.OnlineDPOTrainer": "online_dpo.kind.ONLINE_DPO",
    "trl.ORPOTrainer": "orpo.kind.ORPO",
    "trl.PPOTrainer": "ppo.kind.PPO",
    "trl.PPOv2Trainer": "ppo.kind.PPO_V2",
    "trl.RLOOTrainer": "rloo.kind.RLOO",
    "trl.RewardTrainer": "reward.kind.REWARD",
    "trl.SFTTrainer": "sft.kind.SFT",
    "trl.TPOTrainer": "tpo.kind.TPO",
}
"""Where the kind of a trainer is, by the trainer's canonical name."""


@cache
def kind_of(trainer: str) -> TrainerKind | None:
    """Return the kind of a trainer by its canonical name, None where it is not converted."""
    place = KINDS.get(trainer)
    if place is None:
        return None
    module, _, name = place.rpartition(".")
    kind: TrainerKind = getattr(import_module(f"{__package__}.{module}"), name)
    assert kind.trainer == trainer, f"{place} is the kind of {kind.trainer}, not of {trainer}"
    return kind
