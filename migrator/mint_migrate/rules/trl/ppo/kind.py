"""`PPOTrainer`, by release: driven step by step before 0.12, with a reward model from 0.12 on."""

from __future__ import annotations

from dataclasses import replace

from mint_migrate.model.facts import Call
from mint_migrate.model.script import LoopScript
from mint_migrate.rules.base import Ledger
from mint_migrate.rules.trl.episodes.plan import ROLES, SYNONYMS, date_within, decide_evaluation
from mint_migrate.rules.trl.kind import Planner, TrainerKind
from mint_migrate.rules.trl.ppo.critic import check_critic
from mint_migrate.rules.trl.ppo.steps import plan_steps
from mint_migrate.rules.trl.ppo.train import PPO_FIELDS, plan_ppo
from mint_migrate.rules.trl.state import TrainerPlan
from mint_migrate.tables.versions import version_key

FIRST_WITH_TRAIN = "0.12.0"
LAST_WITH_STEP, LAST_WITH_PPO, LAST_WITH_V2 = "0.11.4", "1.12.0", "0.12.2"


def _choose(ledger: Ledger, trainer: Call) -> Planner | None:
    """Before 0.12 the user's own loop calls `step`; where it does, the release is one of those."""
    steps = any(
        use.call == trainer.number and use.chain in {"step", "generate"}
        for use in ledger.facts.uses
    )
    if steps:
        date_within(ledger, LAST_WITH_STEP, "`step` and `generate` of `PPOTrainer`")
    else:
        date_within(ledger, LAST_WITH_PPO, "`PPOTrainer`")
    is_old = version_key(ledger.version) < version_key(FIRST_WITH_TRAIN)
    return plan_steps if steps or is_old else None


def _positional(version: str) -> tuple[str, ...]:
    if version_key(version) < version_key(FIRST_WITH_TRAIN):
        return (
            *("args", "model", "ref_model", "processing_class", "dataset", "optimizer"),
            *("data_collator", "num_shared_layers", "lr_scheduler", "training_data_collator"),
        )
    return (
        *("args", "processing_class", "model", "ref_model", "reward_model", "train_dataset"),
        *("value_model", "data_collator", "eval_dataset", "optimizers", "callbacks", "peft_config"),
    )


def _imports(plan: TrainerPlan, script: LoopScript) -> frozenset[str]:
    return frozenset({"import torch", "from torch.utils.data import DataLoader"})


def _choose_v2(ledger: Ledger, trainer: Call) -> Planner | None:
    date_within(ledger, LAST_WITH_V2, "`PPOv2Trainer`")
    return None


PPO = TrainerKind(
    trainer="trl.PPOTrainer",
    config="trl.PPOConfig",
    short="ppo",
    headline="Policy optimization without a critic",
    positional=_positional,
    plan=plan_ppo,
    other_configs=frozenset(),
    decided=PPO_FIELDS,
    decide=decide_evaluation,
    imports=_imports,
    synonyms=SYNONYMS,
    whole=_choose,
    check=check_critic,
    roles={
        **ROLES,
        "policy_trainer": ("PolicyTrainer", "CriticFreePPO", "MintPolicyTrainer"),
        "clipped_loss": ("clipped_loss", "clipped_policy_loss", "ppo_policy_loss"),
    },
)
PPO_V2 = replace(PPO, trainer="trl.PPOv2Trainer", config="trl.PPOv2Config", whole=_choose_v2)
