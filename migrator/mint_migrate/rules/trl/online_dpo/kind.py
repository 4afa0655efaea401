"""`OnlineDPOTrainer(...)` and its `.train()` become a loop that compares two answers of its own.

Formulas: TRL v1.16.0, `experimental/online_dpo/online_dpo_trainer.py`, `training_step`.
"""

from __future__ import annotations

from mint_migrate.model.facts import Argument, Call
from mint_migrate.model.online_dpo_script import OnlineDpoScript
from mint_migrate.model.rollouts_script import PromptScript
from mint_migrate.model.script import LoopScript
from mint_migrate.rules.base import Blocked, Ledger
from mint_migrate.rules.trl.config import ConfigPlan, plan_batch, plan_plain_fields
from mint_migrate.rules.trl.kind import TrainerKind
from mint_migrate.rules.trl.learning_rate import scale_learning_rate
from mint_migrate.rules.trl.loop import plan_epochs, plan_loop
from mint_migrate.rules.trl.online_dpo.options import (
    FIELDS,
    plan_beta,
    plan_loss_type,
    plan_penalty,
    plan_sampling,
)
from mint_migrate.rules.trl.optimizer import plan_optimizer
from mint_migrate.rules.trl.pairs.reference import plan_reference
from mint_migrate.rules.trl.rollouts.held_out import (
    decide_held_out,
    leave_out_evaluation,
    without_evaluation,
)
from mint_migrate.rules.trl.rollouts.rewards import (
    decide_rewards,
    find_rewards,
    imports_of_rewards,
    plan_rewards,
    say_logged,
)
from mint_migrate.rules.trl.schedule import plan_schedule
from mint_migrate.rules.trl.state import TrainerPlan
from mint_migrate.rules.trl.windows import Windows, plan_windows


def check_scored(ledger: Ledger, trainer: Call, arguments: dict[str, Argument]) -> None:
    """Refuse what compares answers by a model that is not there.

    Raises:
        Blocked: a judge, or a reward model of older releases.
    """
    for name, code, words in (
        ("judge", "MM251", "a judge compares the answers"),
        ("reward_model", "MM250", "a reward model scores the answers"),
    ):
        argument = arguments.get(name)
        if argument is not None and argument.value.literal != "None":
            raise Blocked(
                code,
                f"{words} (`{name}={argument.value.text}`); write a function that returns one "
                "reward for each answer and pass it as `reward_funcs`",
                argument.found,
            )
    if "reward_funcs" not in arguments:
        raise Blocked("MM250", "nothing scores the answers: there are no `reward_funcs`")


def plan_online_dpo(plan: TrainerPlan) -> OnlineDpoScript:
    """Decide the options.

    Raises:
        Blocked: the loop depends on something that cannot be seen, or has no counterpart.
    """
    ledger, config = plan.ledger, plan.config
    facts = {name: fact.value for name, fact in ledger.tables.facts(ledger.version).items()}
    leave_out_evaluation(config, plan.read_elsewhere)
    windows = plan_windows(config, facts)
    windows = Windows(averages=_accumulates(config), epoch_end=windows.epoch_end)
    plan_plain_fields(config, plan.read_elsewhere)
    scale_learning_rate(plan)
    plan_batch(config, True)
    if not windows.needs_micro_batches:
        config.fields.pop("gradient_accumulation_steps", None)
    config.need("output_dir", plan.default_output("OnlineDPO"))
    config.need("learning_rate")
    sampling, loss, beta = plan_sampling(config), plan_loss_type(config), plan_beta(config)
    penalizes = plan_penalty(config)
    rewards = plan_rewards(plan, facts)
    say_logged(plan, rewards)
    reference_model, handed = plan_reference(plan)
    plan_optimizer(config)
    loop = without_evaluation(plan_loop(plan, plan_schedule(config)))
    return OnlineDpoScript(
        **loop,
        **plan_epochs(plan, windows, facts),
        handed=(("reward_funcs", find_rewards(plan).text), *handed),
        prompt=PromptScript(plain_options=", add_special_tokens=False"),
        rewards=rewards,
        sampling=sampling,
        loss=loss,
        beta=beta,
        penalizes_cut=penalizes,
        reference_model=reference_model,
    )


def _accumulates(config: ConfigPlan) -> bool:
    name = "gradient_accumulation_steps"
    return config.has(name) and (config.is_dynamic(name) or config.literal(name) != 1)


def _decide(plan: TrainerPlan, name: str, argument: Argument) -> bool:
    if name == "reward_funcs":
        decide_rewards(plan, argument)
        return True
    return decide_held_out(plan, name, argument)


def _imports(plan: TrainerPlan, script: LoopScript) -> frozenset[str]:
    assert isinstance(script, OnlineDpoScript)
    needed = {"import torch"} | imports_of_rewards(script.rewards)
    if script.rewards.may_wait:
        needed |= {"import asyncio", "import inspect"}
    return frozenset(needed)


ONLINE_DPO = TrainerKind(
    trainer="trl.OnlineDPOTrainer",
    config="trl.OnlineDPOConfig",
    short="online_dpo",
    headline="Direct preference optimization on own samples",
    positional=lambda version: (
        *("model", "ref_model", "reward_funcs", "args", "data_collator", "train_dataset"),
        *("eval_dataset", "processing_class"),
    ),
    other_configs=frozenset(),
    decided=FIELDS,
    check=check_scored,
    plan=plan_online_dpo,
    decide=_decide,
    imports=_imports,
    roles={
        "tokenize": ("tokenize_prompt", "prompt_tokens"),
        "sample": ("sample_completions", "sample_pairs"),
        "compute_logprobs": ("compute_logprobs", "logprobs_of_samples"),
        "model_reward": ("model_reward", "reward_of_model"),
        "score": ("score", "score_completions"),
        "total_rewards": ("total_rewards", "sum_rewards"),
        "trim": ("trim_prompts", "cut_prompts"),
        "build_batch": ("build_batch", "build_datums"),
        "preference_loss": ("preference_loss", "online_dpo_loss"),
    },
)
