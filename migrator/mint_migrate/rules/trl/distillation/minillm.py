"""`MiniLLMTrainer(...)` and its `.train()` become a policy loss on what a teacher says of samples.

It is GRPO whose advantages are log-ratios of teacher and student, token by token. They keep their
gradient in the original, which the policy loss passes on: with one update for each round, a token's
own part of the gradient is that of an advantage that is lower by its slope. The divergence of each
place is a loss besides (`single_step_decomposition`), summed over the vocabulary there and
estimated here. Formulas: TRL v1.14.0, `experimental/minillm/minillm_trainer.py`, `compute_loss`,
`_compute_advantage` and `_single_step_decomposition_loss`.
"""

from __future__ import annotations

from mint_migrate.model.distillation_script import Divergence, MiniLlmScript
from mint_migrate.model.facts import Argument, Call
from mint_migrate.model.grpo_script import PolicyLoss
from mint_migrate.model.plan import Fidelity
from mint_migrate.model.rollouts_script import RewardsScript, RoundsScript
from mint_migrate.model.script import LoopScript
from mint_migrate.rules.base import Blocked, Ledger
from mint_migrate.rules.trl.config import ConfigPlan, plan_plain_fields
from mint_migrate.rules.trl.distillation.objective import ESTIMATED, Setting, plan_objective
from mint_migrate.rules.trl.distillation.own_answers import (
    PART,
    ROLES,
    decide_truncation,
    needed_by_rounds,
)
from mint_migrate.rules.trl.distillation.teacher import plan_teacher
from mint_migrate.rules.trl.grpo.kind import ROLES as ROLLOUT_ROLES
from mint_migrate.rules.trl.grpo.loss import (
    LOSS_FIELDS,
    averages_micro_batches,
    check_possible,
    loss_kind,
    plan_loss,
)
from mint_migrate.rules.trl.kind import TrainerKind
from mint_migrate.rules.trl.learning_rate import scale_learning_rate
from mint_migrate.rules.trl.loop import plan_loop
from mint_migrate.rules.trl.optimizer import plan_optimizer
from mint_migrate.rules.trl.rollouts.held_out import (
    decide_held_out,
    leave_out_evaluation,
    without_evaluation,
)
from mint_migrate.rules.trl.rollouts.rounds import ROUND_FIELDS, plan_rounds
from mint_migrate.rules.trl.rollouts.sampling import (
    SAMPLING_FIELDS,
    Facts,
    plan_prompt,
    plan_sampling,
)
from mint_migrate.rules.trl.schedule import plan_schedule
from mint_migrate.rules.trl.state import TrainerPlan
from mint_migrate.rules.trl.temperature import uses_temperature_one
from mint_migrate.rules.trl.windows import accumulates

OWN_FIELDS = frozenset(
    {"rkl_advantage", "single_step_decomposition", "gamma", "length_normalization"}
    | {"kd_temperature"}
)
WITHOUT_REWARDS = frozenset(
    {"scale_rewards", "multi_objective_aggregation", "reward_weights", "num_generations_eval"}
)
"""Fields that only rewards look at."""
FIELDS = (
    ROUND_FIELDS
    | SAMPLING_FIELDS
    | LOSS_FIELDS
    | OWN_FIELDS
    | WITHOUT_REWARDS
    | {"shuffle_dataset", "remove_unused_columns"}
)
"""Fields decided here."""
SETTINGS = (
    Setting(
        name="kd_temperature",
        wanted=(1,),
        otherwise="softens both distributions, over the whole vocabulary",
    ),
)
SINGLE_STEP = (
    "the single-step divergence is estimated on the tokens that the student drew, where the "
    "original summed over the vocabulary, and over the padding behind shorter answers, too: the "
    "same gradient of the answers' own places on average, with more noise"
)
PADDING = (
    "the discounted sums end with the answer, where those of the original went on over the padding "
    "behind shorter ones"
)


def check_rewards(ledger: Ledger, trainer: Call, arguments: dict[str, Argument]) -> None:
    """Refuse rewards beside the teacher, and releases without the trainer.

    Raises:
        Blocked: the trainer has reward functions, or the release does not have it.
    """
    if ledger.tables.row("trl.MiniLLMTrainer", ledger.version) is None:
        raise Blocked(
            PART,
            f"TRL {ledger.version} has no `MiniLLMTrainer`; name the release that the script is "
            "written for, such as `--source-version trl==1.14.0`",
            trainer.found,
        )
    rewards = arguments.get("reward_funcs")
    if rewards is not None and rewards.value.literal != "None":
        raise Blocked(
            PART,
            "`reward_funcs` beside the teacher are not converted; distill without them, or train "
            "on them with `GRPOTrainer`",
            rewards.found,
        )


def plan_minillm(plan: TrainerPlan) -> MiniLlmScript:
    """Decide the options of MiniLLM.

    Raises:
        Blocked: a part of the loss is not converted, or the loop depends on something that cannot
            be seen.
    """
    ledger, config = plan.ledger, plan.config
    facts = {name: fact.value for name, fact in ledger.tables.facts(ledger.version).items()}
    advantage, single_step = _parts(plan)
    plan_objective(plan, SETTINGS, estimate=SINGLE_STEP if single_step else "")
    leave_out_evaluation(config, plan.read_elsewhere)
    check_possible(config)
    plan_plain_fields(config, plan.read_elsewhere)
    scale_learning_rate(plan)
    config.need("output_dir", plan.default_output("MiniLLM"))
    config.need("learning_rate")
    rounds, loss, shared = _policy(config, facts, single_step)
    discounted = _gamma(config, advantage)
    for name in (*WITHOUT_REWARDS, "remove_unused_columns"):
        config.exact(name, "nothing to do", "there are no rewards")
    if single_step:
        decide_truncation(config)
    sampling = plan_sampling(config, facts)
    handed = plan_teacher(plan)
    plan_optimizer(config)
    loop = without_evaluation(plan_loop(plan, plan_schedule(config)))
    return MiniLlmScript(
        **loop,
        handed=handed,
        rounds=rounds,
        prompt=plan_prompt(config, facts),
        rewards=RewardsScript(),
        sampling=sampling,
        divergence=Divergence(own="sampler" if uses_temperature_one(config) else "computed"),
        loss=loss,
        advantage=advantage,
        discounted=discounted,
        length_normalized=_normalized(config, discounted),
        single_step=("micro_batches" if shared else "step") if single_step else "",
    )


def _parts(plan: TrainerPlan) -> tuple[bool, bool]:
    """Return whether the loss has advantages of the teacher, and the divergence of each place.

    Raises:
        Blocked: neither: there is nothing to train on.
    """
    config, parts = plan.config, []
    for name in ("rkl_advantage", "single_step_decomposition"):
        parts.append(bool(config.literal(name)))
        if parts[-1] and name == "single_step_decomposition" and config.has(name):
            config.decide(name, Fidelity.APPROXIMATE, ESTIMATED, "the loss", SINGLE_STEP)
        config.exact(name, "the loss" if parts[-1] else "nothing to do")
    if not any(parts):
        raise Blocked(
            PART,
            "without `rkl_advantage` and `single_step_decomposition` the teacher has no part in "
            "the loss",
            plan.trainer.found,
        )
    return parts[0], parts[1]


def _policy(
    config: ConfigPlan, facts: Facts, single_step: bool
) -> tuple[RoundsScript, PolicyLoss, bool]:
    """Decide rounds and policy loss; return them, and whether a step has several micro-batches.

    Raises:
        Blocked: the ratio of the policy is not 1, or the loss is no clipped one.
    """
    kind = loss_kind(config, facts)
    shared = config.ledger.options.num_processes > 1 or accumulates(config)
    by_micro_batch = averages_micro_batches(config, kind) or (single_step and shared)
    rounds = plan_rounds(config, facts, "num_generations", averages_micro_batches=by_micro_batch)
    if rounds.reused:
        name = "num_iterations" if rounds.iterations else "steps_per_generation"
        place = config.arguments.get(name) or config.arguments.get("generation_batch_size")
        raise Blocked(
            PART,
            f"with `{name}` the policy moves between samples and updates, which is not converted "
            "for MiniLLM; use each round for one update",
            place.found if place is not None else None,
        )
    loss = plan_loss(config, facts, kind, rounds)
    masks = config.has("mask_truncated_completions") and config.literal(
        "mask_truncated_completions"
    )
    if loss.builtin != "importance_sampling" or loss.level != "token" or masks:
        raise Blocked(
            PART,
            f"MiniLLM with `loss_type={kind!r}`, {loss.level} ratios"
            f"{', a reference (beta)' if loss.beta else ''}"
            f"{' and mask_truncated_completions' if masks else ''} is not converted; the clipped "
            "losses with a ratio for each token and without a reference are",
            config.call.found if config.call is not None else None,
        )
    config.exact("mask_truncated_completions", "nothing to do")
    return rounds, loss, shared


def _gamma(config: ConfigPlan, advantage: bool) -> bool:
    """Return whether later tokens count in the advantage of one."""
    name = "gamma"
    value = config.literal(name)
    if not advantage or not isinstance(value, int | float) or value <= 0:
        config.exact(name, "the loss", "later tokens do not count")
        return False
    config.put(name, config.text(name) or repr(value))
    config.decide(name, Fidelity.APPROXIMATE, ESTIMATED, "the loss", PADDING)
    config.ledger.differ(config.arguments[name].found, ESTIMATED, PADDING, config.place)
    return True


def _normalized(config: ConfigPlan, discounted: bool) -> bool:
    name = "length_normalization"
    value = bool(config.literal(name))
    config.exact(name, "the loss" if discounted else "nothing to do: gamma is 0")
    return value and discounted


def _imports(plan: TrainerPlan, script: LoopScript) -> frozenset[str]:
    assert isinstance(script, MiniLlmScript)
    discounts = {"import itertools"} if script.discounted else set()
    return needed_by_rounds(plan, script) | discounts


MINILLM = TrainerKind(
    trainer="trl.MiniLLMTrainer",
    config="trl.MiniLLMConfig",
    short="minillm",
    headline="Distillation by policy gradients",
    positional=lambda version: (
        *("model", "teacher_model", "reward_funcs", "args", "train_dataset", "eval_dataset"),
        *("processing_class", "reward_processing_classes", "callbacks", "optimizers"),
    ),
    other_configs=frozenset(),
    decided=FIELDS,
    check=check_rewards,
    plan=plan_minillm,
    decide=decide_held_out,
    imports=_imports,
    roles={
        **ROLES,
        "shares": ROLLOUT_ROLES["shares"],
        "slopes": ("own_slopes", "slopes_of_advantages"),
        "tails": ("tails", "sums_of_tails"),
        "single_step": ("single_step_shares", "shares_of_places"),
    },
)
