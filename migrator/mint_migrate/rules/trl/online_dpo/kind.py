"""`OnlineDPOTrainer(...)` and its `.train()` become a loop that compares two answers of its own.

Formulas: TRL v1.16.0, `experimental/online_dpo/online_dpo_trainer.py`, `training_step`.
"""

from __future__ import annotations

from mint_migrate.model.facts import Argument, Call
from mint_migrate.model.online_dpo_script import OnlineDpoScript
from mint_migrate.model.plan import Fidelity
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

EVALUATION = ("eval_strategy", "evaluation_strategy", "eval_steps", "do_eval", "eval_on_start")
NOT_EVALUATED = "the held-out prompts are not answered while training"


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
    _evaluation(config)
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
    loop = plan_loop(plan, plan_schedule(config))
    loop["evaluation"], loop["eval_dataset"], loop["eval_on_start"] = "no", False, False
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


def _evaluation(config: ConfigPlan) -> None:
    for name in EVALUATION:
        config.decide(name, Fidelity.APPROXIMATE, "MM233", "nothing", NOT_EVALUATED)
        config.arguments.pop(name, None)


def _decide(plan: TrainerPlan, name: str, argument: Argument) -> bool:
    if name == "reward_funcs":
        decide_rewards(plan, argument)
        return True
    if name == "eval_dataset":
        row = plan.ledger.tables.row(f"{plan.kind.trainer}.{name}", plan.ledger.version)
        plan.ledger.decide(
            argument.found, Fidelity.APPROXIMATE, row=row, code="MM233", note=NOT_EVALUATED
        )
        return True
    return False


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
