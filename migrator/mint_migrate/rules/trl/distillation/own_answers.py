"""`DistillationTrainer(...)` and its `.train()` become rounds of answers that a teacher reads.

Formulas: TRL v1.16.0, `trainer/distillation_trainer.py`, `_chunked_divergence_loss` and
`_get_train_sampler`. A step has one answer to each of its prompts; the divergence of all its tokens
is divided by their number.
"""

from __future__ import annotations

from mint_migrate.model.distillation_script import DistillationScript, Divergence
from mint_migrate.model.facts import Argument, Call
from mint_migrate.model.plan import Fidelity
from mint_migrate.model.rollouts_script import RewardsScript, RoundsScript
from mint_migrate.model.script import LoopScript
from mint_migrate.rules.base import Blocked, Ledger
from mint_migrate.rules.trl.config import ConfigPlan, plan_batch, plan_plain_fields
from mint_migrate.rules.trl.distillation.objective import (
    DIVIDED,
    ESTIMATED,
    Setting,
    plan_objective,
)
from mint_migrate.rules.trl.distillation.teacher import plan_teacher
from mint_migrate.rules.trl.grpo.kind import ROLES as ROLLOUT_ROLES
from mint_migrate.rules.trl.kind import TrainerKind
from mint_migrate.rules.trl.learning_rate import scale_learning_rate
from mint_migrate.rules.trl.loop import plan_loop
from mint_migrate.rules.trl.optimizer import plan_optimizer
from mint_migrate.rules.trl.rollouts.held_out import (
    decide_held_out,
    leave_out_evaluation,
    without_evaluation,
)
from mint_migrate.rules.trl.rollouts.rounds import prompt_order
from mint_migrate.rules.trl.rollouts.sampling import SAMPLING_FIELDS, plan_prompt, plan_sampling
from mint_migrate.rules.trl.schedule import plan_schedule
from mint_migrate.rules.trl.state import TrainerPlan
from mint_migrate.rules.trl.temperature import uses_temperature_one

PART = "MM272"
SETTINGS = (
    Setting(
        name="beta",
        wanted=(1,),
        otherwise="asks for another divergence than the reverse one",
    ),
    Setting(
        name="temperature",
        wanted=(1,),
        otherwise="softens both distributions, over the whole vocabulary",
    ),
)
FIELDS = SAMPLING_FIELDS | {"beta", "shuffle_dataset", "remove_unused_columns"}
"""Fields decided here."""
ROLES = {
    **{role: ROLLOUT_ROLES[role] for role in ("tokenize", "prompt_order", "sample")},
    "compute_logprobs": ROLLOUT_ROLES["compute_logprobs"],
    "check_teacher": ("check_teacher", "check_vocabulary"),
    "advantages": ("token_advantages", "advantages_of_tokens"),
}
TRUNCATED = "tokens that it keeps from being drawn have no part in the estimated divergence"


def check_release(ledger: Ledger, trainer: Call, arguments: dict[str, Argument]) -> None:
    """Refuse the experimental trainer of older releases, and tools.

    Raises:
        Blocked: the trainer is one of them, or answers call tools.
    """
    facts = ledger.tables.facts(ledger.version)
    if facts["distillation_rows"].value == "messages":
        raise Blocked(
            PART,
            f"the experimental `DistillationTrainer` of TRL {ledger.version} is another trainer "
            "than that of 1.10 and later, which is converted: it takes conversations and compares "
            "the drawn token with the rest of the vocabulary; bring the script to a later release",
            trainer.found,
        )
    tools = arguments.get("tools")
    if tools is not None and tools.value.literal not in {"None", "[]"}:
        raise Blocked(PART, "answers that call tools are not distilled yet", tools.found)


def plan_own_answers(plan: TrainerPlan) -> DistillationScript:
    """Decide the options of distillation on own answers.

    Raises:
        Blocked: another objective is asked for, or the loop depends on something that cannot be
            seen.
    """
    ledger, config = plan.ledger, plan.config
    facts = {name: fact.value for name, fact in ledger.tables.facts(ledger.version).items()}
    plan_objective(plan, SETTINGS, estimate=DIVIDED)
    leave_out_evaluation(config, plan.read_elsewhere)
    plan_plain_fields(config, plan.read_elsewhere)
    scale_learning_rate(plan)
    config.need("output_dir", plan.default_output("Distillation"))
    config.need("learning_rate")
    plan_batch(config, False, unit="answers")
    config.exact("remove_unused_columns", "the prompts")
    decide_truncation(config)
    sampling = plan_sampling(config, facts)
    handed = plan_teacher(plan)
    plan_optimizer(config)
    loop = without_evaluation(plan_loop(plan, plan_schedule(config)))
    return DistillationScript(
        **loop,
        handed=handed,
        rounds=RoundsScript(order=prompt_order(config, facts)),
        prompt=plan_prompt(config, facts),
        rewards=RewardsScript(),
        sampling=sampling,
        group="1",
        divergence=Divergence(own="sampler" if uses_temperature_one(config) else "computed"),
    )


def decide_truncation(config: ConfigPlan) -> None:
    """Say of options that keep tokens from being drawn what they do to the estimate."""
    for name, neutral in (("top_p", {"1.0", "1", "None"}), ("top_k", {"0", "-1", "None"})):
        if config.has(name) and config.text(name) not in neutral:
            target = f"SamplingParams({name}=...)"
            config.decide(name, Fidelity.APPROXIMATE, ESTIMATED, target, TRUNCATED)
            note = f"`{name}`: {TRUNCATED}"
            config.ledger.differ(config.arguments[name].found, ESTIMATED, note, config.place)


def needed_by_rounds(plan: TrainerPlan, script: LoopScript) -> frozenset[str]:
    """Return the imports that the functions need."""
    assert isinstance(script, DistillationScript)
    draws = script.rounds.order != "sequential" or script.rounds.draws_parts
    needed = {"import torch"} if draws else set()
    if script.rounds.order == "epochs":
        needed.add("import itertools")
    return frozenset(needed)


DISTILLATION = TrainerKind(
    trainer="trl.DistillationTrainer",
    config="trl.DistillationConfig",
    short="distillation",
    headline="Distillation on the student's answers",
    positional=lambda version: (
        *("model", "teacher_model", "args", "train_dataset", "eval_dataset"),
        *("processing_class", "callbacks", "optimizers"),
    ),
    other_configs=frozenset(),
    decided=FIELDS,
    check=check_release,
    plan=plan_own_answers,
    decide=decide_held_out,
    imports=needed_by_rounds,
    roles=ROLES,
)
