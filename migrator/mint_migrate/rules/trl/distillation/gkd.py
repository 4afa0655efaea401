"""`GKDTrainer(...)` and its `.train()` become a loop: a teacher reads the student's answers.

Formulas: TRL v1.16.0, `experimental/gkd/gkd_trainer.py`, `generalized_jsd_loss`, `compute_loss` and
`training_step`. Its temperature is that of the samples; the distributions are compared at 1.
"""

from __future__ import annotations

from mint_migrate.model.distillation_script import Divergence, GkdScript
from mint_migrate.model.plan import Fidelity
from mint_migrate.rules.trl.config import JOINED, ConfigPlan, plan_batch, plan_plain_fields
from mint_migrate.rules.trl.distillation.objective import (
    DIVIDED,
    ESTIMATE,
    ESTIMATED,
    FLAG,
    REPLACED,
    Setting,
    plan_objective,
)
from mint_migrate.rules.trl.distillation.teacher import plan_teacher
from mint_migrate.rules.trl.kind import TrainerKind
from mint_migrate.rules.trl.learning_rate import scale_learning_rate
from mint_migrate.rules.trl.loop import plan_epochs, plan_loop
from mint_migrate.rules.trl.optimizer import plan_optimizer
from mint_migrate.rules.trl.pairs.plan import Facts
from mint_migrate.rules.trl.pairs.rows import maximal_length
from mint_migrate.rules.trl.rollouts.held_out import (
    decide_held_out,
    leave_out_evaluation,
    without_evaluation,
)
from mint_migrate.rules.trl.schedule import plan_schedule
from mint_migrate.rules.trl.state import TrainerPlan
from mint_migrate.rules.trl.temperature import TARGET, uses_temperature_one
from mint_migrate.rules.trl.windows import Windows, accumulates, plan_windows
from mint_migrate.tables.versions import version_key

FIELDS = frozenset(
    {"beta", "lmbda", "seq_kd", "temperature", "max_new_tokens", "max_length", "max_seq_length"}
)
"""Fields decided here."""
LENGTHS = ("max_length", "max_seq_length")
UNSET_LENGTH = "1024"
"""What the collator takes where no length is given."""
ADDED_UP = (
    "the micro-batches of a step are averaged; with models that count the tokens of a step "
    "themselves, this release added their gradients up"
)
END_TOKEN = (
    "MM270: the end token of an answer counts in the divergence; in this release it did not where "
    "it was the padding token, too"
)


def settings(facts: Facts) -> tuple[Setting, ...]:
    """Return the fields that choose the objective, with what means the reverse divergence."""
    return (
        Setting(
            name="beta",
            wanted=(facts["gkd_reverse"],),
            otherwise="asks for another divergence than the reverse one",
        ),
        Setting(
            name="lmbda",
            wanted=(1,),
            otherwise="takes a part of the batches from answers of the data set or the teacher",
        ),
    )


def plan_gkd(plan: TrainerPlan) -> GkdScript:
    """Decide the options of generalized knowledge distillation.

    Raises:
        Blocked: another objective is asked for, or the loop depends on something that cannot be
            seen.
    """
    ledger, config = plan.ledger, plan.config
    facts = {name: fact.value for name, fact in ledger.tables.facts(ledger.version).items()}
    counts_given = facts["gkd_divisor"] == "answers"
    plan_objective(plan, settings(facts), estimate=ESTIMATE if counts_given else DIVIDED)
    _given_answers(config)
    leave_out_evaluation(config, plan.read_elsewhere)
    windows = _windows(plan, facts)
    plan_plain_fields(config, plan.read_elsewhere)
    config.arguments.pop("shuffle_dataset", None)
    scale_learning_rate(plan)
    plan_batch(config, True)
    if not windows.needs_micro_batches:
        config.fields.pop("gradient_accumulation_steps", None)
        config.fields.pop("micro_batch_size", None)
    config.need("output_dir", plan.default_output("GKD"))
    config.need("learning_rate")
    handed = plan_teacher(plan)
    max_length = _max_length(config)
    plan_optimizer(config)
    loop = without_evaluation(plan_loop(plan, plan_schedule(config)))
    return GkdScript(
        **loop,
        **plan_epochs(plan, windows, facts),
        handed=handed,
        divergence=_divergence(config),
        sampling=_sampling(config),
        max_length=max_length,
        cut=str(facts["gkd_cut"]),
        divisor=_divisor(facts, windows),
    )


def _given_answers(config: ConfigPlan) -> None:
    """Decide who answers what the student does not: nobody is asked here."""
    name = "seq_kd"
    if config.has(name) and config.literal(name) and config.literal("lmbda") != 1:
        note = f"another objective, asked for with {FLAG}: the teacher answers nothing"
        config.decide(name, Fidelity.APPROXIMATE, REPLACED, "nothing", note)
    config.exact(name, "nothing to do", "no batch is left to the teacher")


def _windows(plan: TrainerPlan, facts: Facts) -> Windows:
    """Return how micro-batches make steps; say where the release joined them otherwise."""
    config = plan.config
    windows = plan_windows(config, facts)
    by_micro_batch = facts["gkd_divisor"] == "micro_batch"
    is_shared = accumulates(config)
    if by_micro_batch and is_shared:
        config.decide(JOINED[1], Fidelity.APPROXIMATE, "MM235", "config.batch_size", ADDED_UP)
        plan.ledger.differ(config.arguments[JOINED[1]].found, "MM235", ADDED_UP, config.place)
    if facts["gkd_end_tokens"] == "unless_padding":
        plan.ledger.notices.append(END_TOKEN)
    processes = plan.ledger.options.num_processes > 1
    return Windows(
        averages=by_micro_batch and (is_shared or processes), epoch_end=windows.epoch_end
    )


def _divisor(facts: Facts, windows: Windows) -> str:
    if facts["gkd_divisor"] == "answers":
        return "answers"
    return "micro_batch" if windows.averages else "step"


def _divergence(config: ConfigPlan) -> Divergence:
    at_one = uses_temperature_one(config)
    return Divergence(own="sampler" if at_one else "computed", weighs=not at_one)


def _sampling(config: ConfigPlan) -> tuple[tuple[str, str], ...]:
    """Decide the arguments of `SamplingParams`."""
    for name in ("max_new_tokens", "temperature"):
        if config.has(name):
            config.put(name, config.text(name) or "")
        config.need(name)
    config.exact("max_new_tokens", "SamplingParams(max_tokens=...)")
    config.exact("temperature", TARGET)
    if not uses_temperature_one(config):
        config.ledger.notices.append(
            f"{ESTIMATED}: answers are drawn at `temperature` and compared at 1, as in the "
            "original; each token is weighed by how likely it is at 1 compared with when it was "
            "drawn"
        )
    return (("max_tokens", "config.max_new_tokens"), ("temperature", "config.temperature"))


def _max_length(config: ConfigPlan) -> str:
    for name in LENGTHS:
        if config.has(name) or (config.row(name) is not None and name == LENGTHS[0]):
            text = maximal_length(config, name, UNSET_LENGTH)
            if name != LENGTHS[0] and name in config.fields:
                config.put(LENGTHS[0], config.fields.pop(name).text, like=name)
                return f"config.{LENGTHS[0]}"
            return text
    config.need(LENGTHS[0], UNSET_LENGTH)
    return f"config.{LENGTHS[0]}"


def _positional(version: str) -> tuple[str, ...]:
    if version_key(version) < version_key("0.12.0"):
        return ("teacher_model", "args")
    return (
        *("model", "teacher_model", "args", "data_collator", "train_dataset", "eval_dataset"),
        "processing_class",
    )


GKD = TrainerKind(
    trainer="trl.GKDTrainer",
    config="trl.GKDConfig",
    short="gkd",
    headline="Distillation on the student's answers",
    positional=_positional,
    other_configs=frozenset(),
    decided=FIELDS,
    plan=plan_gkd,
    decide=decide_held_out,
    roles={
        "tokenize": ("read_row", "read_conversation"),
        "sample": ("sample_completions", "sample_answers"),
        "compute_logprobs": ("compute_logprobs", "logprobs_of_samples"),
        "check_teacher": ("check_teacher", "check_vocabulary"),
        "advantages": ("token_advantages", "advantages_of_tokens"),
        "build_batch": ("build_batch", "build_datums"),
    },
)
