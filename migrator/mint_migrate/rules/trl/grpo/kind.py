"""`GRPOTrainer(...)` and its `.train()` become a loop of samples, rewards and a policy loss."""

from __future__ import annotations

from mint_migrate.model.facts import Argument
from mint_migrate.model.grpo_script import GrpoScript
from mint_migrate.model.plan import Fidelity
from mint_migrate.model.script import LoopScript
from mint_migrate.rules.trl.config import ConfigPlan, plan_plain_fields
from mint_migrate.rules.trl.continued import reference_is_copied
from mint_migrate.rules.trl.grpo.loss import (
    LOSS_FIELDS,
    averages_micro_batches,
    check_possible,
    loss_kind,
    plan_loss,
    plan_scale,
)
from mint_migrate.rules.trl.kind import TrainerKind
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
from mint_migrate.rules.trl.rollouts.tools import decide_tools, plan_tools
from mint_migrate.rules.trl.schedule import plan_schedule
from mint_migrate.rules.trl.state import TrainerPlan
from mint_migrate.rules.trl.temperature import uses_temperature_one

DECIDED = (
    ROUND_FIELDS
    | SAMPLING_FIELDS
    | LOSS_FIELDS
    | {"shuffle_dataset", "reward_weights", "remove_unused_columns", "num_generations_eval"}
    | FIELDS
    | {"max_tool_calling_iterations"}
)
ROLES = {
    "tokenize": ("tokenize_prompt", "prompt_tokens"),
    "prompt_order": ("prompt_order", "order_of_prompts"),
    "sample": ("sample_completions", "sample_groups"),
    "compute_logprobs": ("compute_logprobs", "logprobs_of_samples"),
    "sampling_params": ("sampling_params_of", "turn_sampling_params"),
    "parse_answer": ("parse_answer", "parse_turn"),
    "model_reward": ("model_reward", "reward_of_model"),
    "call_tools": ("call_tools", "run_tools"),
    "tool_tokens": ("tool_tokens", "tokens_of_tool_answers"),
    "use_tools": ("use_tools", "let_samples_use_tools"),
    "tools_of": ("tools_of", "methods_of_environment"),
    "environment_reward": ("environment_reward", "reward_of_environment"),
    "score": ("score", "score_completions"),
    "total_rewards": ("total_rewards", "sum_rewards"),
    "advantages": ("group_advantages", "advantages_of_groups"),
    "reward_metrics": ("reward_metrics", "figures_of_rewards"),
    "shares": ("token_shares", "shares_of_tokens"),
    "policy_loss": ("policy_loss", "grpo_loss"),
}
"""Names of the functions that only a loop with samples has."""


def plan_grpo(plan: TrainerPlan) -> GrpoScript:
    """Decide the options of group relative policy optimization.

    Raises:
        Blocked: the loop depends on something that cannot be seen, or has no counterpart.
    """
    ledger, config = plan.ledger, plan.config
    facts = {name: fact.value for name, fact in ledger.tables.facts(ledger.version).items()}
    check_possible(config)
    plan_plain_fields(config, plan.read_elsewhere)
    scale_learning_rate(plan)
    config.need("output_dir", plan.default_output("GRPO"))
    config.need("learning_rate")
    kind = loss_kind(config, facts)
    rounds = plan_rounds(
        config,
        facts,
        "num_generations",
        averages_micro_batches=averages_micro_batches(config, kind),
    )
    sampling = plan_sampling(config, facts)
    loss = plan_loss(config, facts, kind, rounds)
    rewards = plan_rewards(plan, facts)
    say_logged(plan, rewards)
    tools = plan_tools(plan)
    masks_truncated = _masks_truncated(config)
    scale, aggregation = plan_scale(config), _aggregation(config)
    eval_group = _eval_group(config)
    plan_optimizer(config)
    loop = plan_loop(plan, plan_schedule(config))
    return GrpoScript(
        **loop,
        handed=(("reward_funcs", find_rewards(plan).text),),
        rounds=rounds,
        prompt=plan_prompt(config, facts),
        rewards=rewards,
        sampling=sampling,
        eval_group=eval_group,
        old_logprobs="sampler" if uses_temperature_one(config) else "computed",
        reference=bool(loss.beta),
        moves_every=plan_moving(plan, has_reference=bool(loss.beta)),
        reference_is_start=reference_is_copied(plan.ledger, plan.model, "grpo"),
        passes=tools.passes,
        tools=tools.kind,
        tool_rounds=tools.rounds,
        environment_rewards=tools.rewards,
        masked=masks_truncated or bool(tools.kind),
        masks_truncated=masks_truncated,
        loss=loss,
        scale=scale,
        aggregation=aggregation,
    )


def _masks_truncated(config: ConfigPlan) -> bool:
    name = "mask_truncated_completions"
    if not config.has(name):
        return False
    value = bool(config.literal(name))
    config.exact(name, "the mask of a sample" if value else "nothing to do")
    return value


def _aggregation(config: ConfigPlan) -> str:
    name = "multi_objective_aggregation"
    if not config.has(name):
        return "sum_then_normalize"
    value = str(config.literal(name))
    config.exact(name, "group_advantages()")
    return value


def _eval_group(config: ConfigPlan) -> str:
    name = "num_generations_eval"
    if not config.has(name) or config.text(name) == "None":
        config.exact(name, "evaluate()")
        return "config.num_generations"
    config.keep(name)
    return f"config.{name}"


def _decide(plan: TrainerPlan, name: str, argument: Argument) -> bool:
    if name == "reward_funcs":
        decide_rewards(plan, argument)
        return True
    if name == "eval_dataset" and plan.script is not None and plan.script.eval_dataset:
        _decide_evaluation(plan, argument)
        return True
    return decide_tools(plan, name, argument)


def _decide_evaluation(plan: TrainerPlan, argument: Argument) -> None:
    note = (
        "evaluation rewards new samples of these prompts; `eval_loss`, which is about 0 on the "
        "policy's own samples, is not computed"
    )
    row = plan.ledger.tables.row(f"{plan.kind.trainer}.eval_dataset", plan.ledger.version)
    target = f"{plan.names['evaluate']}()"
    plan.ledger.decide(
        argument.found, Fidelity.APPROXIMATE, row=row, code="MM233", target=target, note=note
    )
    plan.ledger.differ(argument.found, "MM233", note, plan.train_use.statement)


def _imports(plan: TrainerPlan, script: LoopScript) -> frozenset[str]:
    assert isinstance(script, GrpoScript)
    needed = {"import torch"}
    if script.loss.kind == "vespo":
        needed.add("import math")
    if script.rounds.order == "epochs":
        needed.add("import itertools")
    if script.rewards.may_wait:
        needed |= {"import asyncio", "import inspect"}
    needed |= imports_of_rewards(script.rewards)
    if script.tools:
        needed |= {"import os", "import re"}
    if script.tools == "environment":
        needed.add("import inspect")
    return frozenset(needed)


GRPO = TrainerKind(
    trainer="trl.GRPOTrainer",
    config="trl.GRPOConfig",
    short="grpo",
    headline="Group relative policy optimization",
    positional=lambda version: (
        "model",
        "reward_funcs",
        "args",
        "train_dataset",
        "eval_dataset",
        "processing_class",
        "reward_processing_classes",
        "callbacks",
        "optimizers",
    ),
    other_configs=frozenset(),
    decided=DECIDED,
    roles=ROLES,
    plan=plan_grpo,
    decide=_decide,
    imports=_imports,
)
