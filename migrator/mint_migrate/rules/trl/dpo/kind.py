"""`DPOTrainer(...)` and its `.train()` become a loop with a loss of one's own over pairs."""

from __future__ import annotations

from mint_migrate.model.dpo_script import DpoScript
from mint_migrate.model.plan import Fidelity
from mint_migrate.model.script import LoopScript
from mint_migrate.rules.trl.config import JOINED, plan_batch, plan_plain_fields
from mint_migrate.rules.trl.dpo.loss import Facts, plan_loss
from mint_migrate.rules.trl.dpo.options import adopted, check_given_once, is_given, positional
from mint_migrate.rules.trl.dpo.reference import BASE, NONE, START, plan_reference
from mint_migrate.rules.trl.dpo.rows import plan_rows
from mint_migrate.rules.trl.kind import TrainerKind
from mint_migrate.rules.trl.learning_rate import scale_learning_rate
from mint_migrate.rules.trl.loop import plan_epochs, plan_loop
from mint_migrate.rules.trl.moving import FIELDS, plan_moving
from mint_migrate.rules.trl.optimizer import plan_optimizer
from mint_migrate.rules.trl.schedule import plan_schedule
from mint_migrate.rules.trl.state import TrainerPlan
from mint_migrate.rules.trl.windows import Windows, plan_windows

DECIDED = frozenset(
    {
        "beta",
        "loss_type",
        "loss_weights",
        "label_smoothing",
        "ld_alpha",
        "f_divergence_type",
        "f_alpha_divergence_coef",
        "discopop_tau",
        "rpo_alpha",
        "reference_free",
        "use_weighting",
        "max_length",
        "max_prompt_length",
        "max_completion_length",
        "truncation_mode",
        "tools",
        "precompute_ref_log_probs",
        *FIELDS,
    }
)


def plan_dpo(plan: TrainerPlan) -> DpoScript:
    """Decide the options of preference training.

    Raises:
        Blocked: the loss is not a function of token log-probabilities, or the loop depends on
            something that cannot be seen.
    """
    ledger, config = plan.ledger, plan.config
    facts = {name: fact.value for name, fact in ledger.tables.facts(ledger.version).items()}
    # Whatever the release does with tokens, the loss of pairs is a mean over each micro-batch.
    windows = plan_windows(config, {**facts, "accumulation": "mean_of_micro_batches"})
    check_given_once(plan)
    asks_first = is_given(plan, "precompute_ref_log_probs") and bool(
        config.literal("precompute_ref_log_probs")
    )
    plan_plain_fields(config, plan.read_elsewhere)
    scale_learning_rate(plan)
    _plan_steps(plan, windows, facts)
    config.need("output_dir", plan.default_output("DPO"))
    config.need("learning_rate")
    loss = plan_loss(plan, facts)
    rows = plan_rows(plan, facts)
    reference, other = plan_reference(plan, loss.is_free)
    moves_every = plan_moving(plan, has_reference=reference != NONE)
    plan_optimizer(config)
    schedule = plan_schedule(config)
    loop = plan_loop(plan, schedule)
    return DpoScript(
        **loop,
        **plan_epochs(plan, windows, facts),
        rows=rows,
        loss=loss,
        handed=(("reference_model", other),) if other else (),
        reference=reference,
        asks_first=asks_first and reference != NONE and not moves_every,
        moves_every=moves_every,
        divisor="own"
        if facts["short_step_divisor"] == "own"
        else "config.gradient_accumulation_steps",
    )


def _plan_steps(plan: TrainerPlan, windows: Windows, facts: Facts) -> None:
    """Join the batch; say where a release did not divide what it accumulated."""
    config = plan.config
    if windows.averages and not facts["dpo_divides_accumulated"] and config.has(JOINED[1]):
        note = (
            "this release summed the losses of the micro-batches of a step, where the model's "
            "`forward` takes further keywords; the result averages them"
        )
        argument = config.arguments[JOINED[1]]
        config.decide(JOINED[1], Fidelity.APPROXIMATE, "MM235", "config.batch_size", note)
        config.ledger.differ(argument.found, "MM235", note, config.place)
    plan_batch(config, windows.needs_micro_batches)
    reads = windows.epoch_end != "own_step" or facts["short_step_divisor"] != "own"
    if not reads and JOINED[1] not in plan.read_elsewhere:
        config.fields.pop(JOINED[1], None)


def _imports(plan: TrainerPlan, script: LoopScript) -> frozenset[str]:
    assert isinstance(script, DpoScript)
    needed = {"import torch"}
    if script.rows.tokenization in {"common_prefix", "separate"}:
        needed.add("import os")
    return frozenset(needed)


def _evaluation_rows(plan: TrainerPlan, script: LoopScript, tokenizer: str) -> str | None:
    assert isinstance(script, DpoScript)
    names = plan.names
    rows = f"[{names['tokenize']}(row, {tokenizer}, {plan.config_name}) for row in {{dataset}}]"
    if script.reference == NONE:
        return rows
    if script.reference == START or script.moves_every:
        return None
    is_base = script.reference == BASE
    model = plan.model.base_model if is_base else dict(script.handed)["reference_model"]
    client = f"mint.ServiceClient().create_sampling_client(base_model={model})"
    return f"{names['add_reference']}({client}, {rows})"


DPO = TrainerKind(
    trainer="trl.DPOTrainer",
    config="trl.DPOConfig",
    short="dpo",
    headline="Direct preference optimization",
    calls_callbacks=True,
    positional=positional,
    adopted=adopted,
    decided=DECIDED,
    roles={
        "tokenize": ("tokenize_pair", "tokenize_preference", "tokens_of_pair"),
        "add_reference": ("add_reference", "add_reference_logprobs", "ask_reference"),
        "loss": ("preference_loss", "dpo_loss", "loss_of_pairs"),
        "step_loss": ("step_loss", "loss_of_step", "mint_step_loss"),
    },
    targets={"ref_model": "create_sampling_client(base_model=...)"},
    plan=plan_dpo,
    imports=_imports,
    evaluation_rows=_evaluation_rows,
)
