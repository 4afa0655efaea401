"""Rule: RLOO from 0.22 on, with reward functions: groups of samples, baselines of the others.

Formulas: TRL v1.16.0, `rloo_trainer.py`: the penalty counts in the reward, one ratio for a whole
completion is clipped.
"""

from __future__ import annotations

from mint_migrate.model.facts import Argument
from mint_migrate.model.rloo_script import RlooScript
from mint_migrate.model.script import LoopScript
from mint_migrate.rules.trl.config import ConfigPlan, plan_plain_fields
from mint_migrate.rules.trl.learning_rate import scale_learning_rate
from mint_migrate.rules.trl.loop import plan_loop
from mint_migrate.rules.trl.moving import FIELDS, plan_moving
from mint_migrate.rules.trl.optimizer import plan_optimizer
from mint_migrate.rules.trl.rollouts.rewards import (
    decide_rewards,
    find_rewards,
    imports_of_rewards,
    plan_rewards,
    say_logged,
)
from mint_migrate.rules.trl.rollouts.rounds import ROUND_FIELDS, plan_rounds
from mint_migrate.rules.trl.rollouts.sampling import (
    SAMPLING_FIELDS,
    plan_prompt,
    plan_sampling,
)
from mint_migrate.rules.trl.schedule import plan_schedule
from mint_migrate.rules.trl.state import TrainerPlan
from mint_migrate.rules.trl.temperature import uses_temperature_one

GROUP_FIELDS = (
    ROUND_FIELDS
    | SAMPLING_FIELDS
    | FIELDS
    | {
        "beta",
        "epsilon",
        "epsilon_high",
        "reward_clip_range",
        "normalize_advantages",
        "mask_truncated_completions",
        "shuffle_dataset",
        "reward_weights",
        "remove_unused_columns",
        "num_generations_eval",
    }
)
"""Fields that this rule decides."""


def plan_rloo(plan: TrainerPlan) -> RlooScript:
    """Decide the options of RLOO with reward functions.

    Raises:
        Blocked: the loop depends on something that cannot be seen, or has no counterpart.
    """
    ledger, config = plan.ledger, plan.config
    facts = {name: fact.value for name, fact in ledger.tables.facts(ledger.version).items()}
    plan_plain_fields(config, plan.read_elsewhere)
    scale_learning_rate(plan)
    config.need("output_dir", plan.default_output("RLOO"))
    config.need("learning_rate")
    rounds = plan_rounds(config, facts, "num_generations", averages_micro_batches=False)
    sampling = plan_sampling(config, facts)
    reference = _beta(config)
    bounds = _bounds(config, rounds.reused)
    rewards = plan_rewards(plan, facts)
    say_logged(plan, rewards)
    clips = _given(config, "reward_clip_range")
    masks_truncated = _flag(config, "mask_truncated_completions", "the mask of a sample")
    normalizes = _flag(config, "normalize_advantages", "leave_one_out()")
    eval_group = _eval_group(config)
    plan_optimizer(config)
    loop = plan_loop(plan, plan_schedule(config))
    return RlooScript(
        **loop,
        handed=(("reward_funcs", find_rewards(plan).text),),
        rounds=rounds,
        prompt=plan_prompt(config, facts),
        rewards=rewards,
        sampling=sampling,
        eval_group=eval_group,
        old_logprobs="sampler" if uses_temperature_one(config) else "computed",
        reference=reference,
        moves_every=plan_moving(plan, has_reference=reference),
        masked=masks_truncated,
        masks_truncated=masks_truncated,
        on_policy=not rounds.reused,
        bounds=bounds,
        clips_rewards=clips,
        normalizes_advantages=normalizes,
    )


def _beta(config: ConfigPlan) -> bool:
    """Return whether the reference is needed."""
    if not config.is_dynamic("beta") and not config.literal("beta"):
        config.exact("beta", "nothing to do", "no penalty")
        return False
    if config.has("beta"):
        config.keep("beta")
    config.need("beta")
    return True


def _bounds(config: ConfigPlan, reused: bool) -> tuple[str, str]:
    if not reused:
        for name in ("epsilon", "epsilon_high"):
            config.exact(name, "nothing to do", "with one update a round every ratio is 1")
        return "", ""
    if config.has("epsilon"):
        config.keep("epsilon")
    config.need("epsilon")
    high = "config.epsilon"
    if _given(config, "epsilon_high"):
        high = "config.epsilon_high"
    return "1.0 - config.epsilon", f"1.0 + {high}"


def _given(config: ConfigPlan, name: str) -> bool:
    """Carry an option that may be None; return whether it is more than that."""
    if not config.has(name) or config.text(name) == "None":
        config.exact(name, "nothing to do")
        return False
    config.keep(name)
    return True


def _flag(config: ConfigPlan, name: str, target: str) -> bool:
    if not config.has(name):
        return False
    value = bool(config.literal(name))
    config.exact(name, target if value else "nothing to do")
    return value


def _eval_group(config: ConfigPlan) -> str:
    name = "num_generations_eval"
    return f"config.{name}" if _given(config, name) else "config.num_generations"


def decide_reward_funcs(plan: TrainerPlan, name: str, argument: Argument) -> bool:
    """Decide `reward_funcs`; False leaves any other argument alone."""
    if name != "reward_funcs":
        return False
    decide_rewards(plan, argument)
    return True


def needed_by_groups(script: LoopScript) -> frozenset[str]:
    """Return the imports that the functions need."""
    assert isinstance(script, RlooScript)
    needed = {"import torch"} | imports_of_rewards(script.rewards)
    if script.rounds.order == "epochs":
        needed.add("import itertools")
    if script.rewards.may_wait:
        needed |= {"import asyncio", "import inspect"}
    return frozenset(needed)
