"""The planner of `openrlhf.cli.train_sft`.

Source: OpenRLHF `cli/train_sft.py`, `datasets/sft_dataset.py` (0.6.4, 0.9.1, 0.11.2).
"""

from __future__ import annotations

from mint_migrate.launches.processes import Read
from mint_migrate.model.openrlhf_rows_script import OpenRlhfSftScript
from mint_migrate.rules.launched.names import NAMES
from mint_migrate.rules.launched.serving import suggest_serving
from mint_migrate.rules.launched.settings import Settings
from mint_migrate.rules.openrlhf.optimizer import plan_model, plan_optimizer
from mint_migrate.rules.openrlhf.options import fact, field_of, is_positive, switch
from mint_migrate.rules.openrlhf.rows import plan_batches, plan_data, plan_rounds
from mint_migrate.rules.openrlhf.saving import plan_tracker


def plan_sft(settings: Settings, read: Read) -> OpenRlhfSftScript:
    """Fill the record of a supervised training.

    Raises:
        Blocked: the training cannot be expressed on MinT.
    """
    plan_model(settings)
    suggest_serving(settings, model="pretrain", counts=())
    data = plan_data(settings)
    rows, output = _plan_rows(settings)
    micro_batches = plan_batches(settings)
    schedule, ref = plan_optimizer(settings, "learning_rate", "5e-06")
    rounds = plan_rounds(settings)
    tracker, run_options = plan_tracker(settings)
    if is_positive(settings, "aux_loss_coef"):
        settings.differ("aux_loss_coef", "MM415", "the router's loss of a mixture is left out")
    else:
        settings.exact("aux_loss_coef", "nothing")
    return OpenRlhfSftScript(
        names=NAMES,
        fields=(),
        schedule=schedule,
        ref=ref,
        data=data,
        by_data=fact(settings, "sft_updates") == "windows",
        micro_batches=micro_batches,
        evaluates=rounds.evaluates,
        eval_by_epoch=rounds.by_epoch,
        saves=rounds.saves,
        resumes=rounds.resumes,
        save_total_limit=rounds.saves,
        tracker=tracker,
        run_options=run_options,
        rows=rows,
        output=output,
        skips_first=rows == "pairs" and not fact(settings, "sft_first_token_is_trained"),
    )


def _plan_rows(settings: Settings) -> tuple[str, bool]:
    """Return how a row becomes tokens, and whether its response has a column of its own."""
    field_of(settings, "input_key", '"input"', "str")
    output = settings.value("output_key").data is not None
    if output:
        settings.use("output_key", kind="str")
    if switch(settings, "pretrain_mode", "tokenize"):
        return "texts", output
    if switch(settings, "multiturn", "tokenize"):
        is_packed = settings.value("packing_samples").data is True
        if fact(settings, "multiturn_needs_packing") and not is_packed:
            settings.differ(
                "multiturn",
                "MM423",
                "every turn of the assistant is trained on; this release tells turns apart only "
                "where samples are packed",
                "tokenize",
            )
        return "conversations", output
    return "pairs", output
