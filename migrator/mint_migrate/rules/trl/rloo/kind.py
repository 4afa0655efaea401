"""`RLOOTrainer`, by release."""

from __future__ import annotations

from mint_migrate.model.facts import Argument, Call
from mint_migrate.model.ppo_script import EpisodesScript
from mint_migrate.model.script import LoopScript
from mint_migrate.rules.base import Ledger
from mint_migrate.rules.trl.episodes.plan import ROLES, SYNONYMS, date_within, decide_evaluation
from mint_migrate.rules.trl.grpo.kind import ROLES as ROLLOUT_ROLES
from mint_migrate.rules.trl.kind import Planner, TrainerKind
from mint_migrate.rules.trl.rloo.episodes import OLD_FIELDS, plan_old_rloo
from mint_migrate.rules.trl.rloo.groups import (
    GROUP_FIELDS,
    decide_reward_funcs,
    needed_by_groups,
    plan_rloo,
)
from mint_migrate.rules.trl.state import TrainerPlan
from mint_migrate.tables.versions import version_key

FIRST_WITH_FUNCTIONS = "0.22.0"
LAST_WITH_MODELS = "0.24.0"


def _is_old(plan: TrainerPlan) -> bool:
    """Say whether the trainer is the older one; 0.24 took the arguments of both."""
    if "reward_funcs" in plan.arguments:
        return False
    is_older = version_key(plan.ledger.version) < version_key(FIRST_WITH_FUNCTIONS)
    return is_older or "reward_model" in plan.arguments


def _plan(plan: TrainerPlan) -> LoopScript:
    if _is_old(plan):
        plan.config.decided |= OLD_FIELDS
        return plan_old_rloo(plan)
    plan.config.decided |= GROUP_FIELDS
    return plan_rloo(plan)


def _positional(version: str) -> tuple[str, ...]:
    if version_key(version) < version_key(FIRST_WITH_FUNCTIONS):
        return (
            *("args", "processing_class", "model", "ref_model", "reward_model", "train_dataset"),
            *("data_collator", "eval_dataset", "optimizers", "callbacks"),
        )
    return (
        *("model", "reward_funcs", "args", "train_dataset", "eval_dataset", "processing_class"),
        *("reward_processing_classes", "callbacks", "optimizers", "peft_config"),
    )


def _decide(plan: TrainerPlan, name: str, argument: Argument) -> bool:
    if _is_old(plan):
        return decide_evaluation(plan, name, argument)
    return decide_reward_funcs(plan, name, argument)


def _imports(plan: TrainerPlan, script: LoopScript) -> frozenset[str]:
    if isinstance(script, EpisodesScript):
        return frozenset({"import torch", "from torch.utils.data import DataLoader"})
    return needed_by_groups(script)


def _date(ledger: Ledger, trainer: Call) -> Planner | None:
    if any(item.keyword in {"reward_model", "ref_policy"} for item in trainer.arguments):
        date_within(ledger, LAST_WITH_MODELS, "`RLOOTrainer` with a reward model")
    return None


RLOO = TrainerKind(
    trainer="trl.RLOOTrainer",
    config="trl.RLOOConfig",
    short="rloo",
    headline="Policy optimization with leave-one-out baselines",
    positional=_positional,
    plan=_plan,
    other_configs=frozenset(),
    synonyms=SYNONYMS,
    whole=_date,
    decide=_decide,
    imports=_imports,
    roles={
        **{role: names for role, names in ROLES.items() if role not in ROLLOUT_ROLES},
        **ROLLOUT_ROLES,
        "advantages": ("leave_one_out", "advantages_of_groups"),
        "policy_loss": ("ratio_loss", "policy_loss"),
    },
)
