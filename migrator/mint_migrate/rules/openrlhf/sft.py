"""The planner of `openrlhf.cli.train_sft`.

Source: OpenRLHF `cli/train_sft.py`, `datasets/sft_dataset.py` (0.6.4, 0.9.1, 0.11.2).
"""

from __future__ import annotations

from mint_migrate.launches.processes import Read
from mint_migrate.model.openrlhf_rows_script import OpenRlhfSftScript
from mint_migrate.rules.launched.settings import Settings
from mint_migrate.rules.openrlhf.options import fact, field_of, is_positive, switch
from mint_migrate.rules.openrlhf.rows import close_training, open_training, plan_batches


def plan_sft(settings: Settings, read: Read) -> OpenRlhfSftScript:
    """Fill the record of a supervised training.

    Raises:
        Blocked: the training cannot be expressed on MinT.
    """
    data = open_training(settings)
    rows, output = _plan_rows(settings)
    micro_batches = plan_batches(settings)
    shared = close_training(settings, data, "5e-06")
    if is_positive(settings, "aux_loss_coef"):
        settings.differ("aux_loss_coef", "MM415", "the router's loss of a mixture is left out")
    else:
        settings.exact("aux_loss_coef", "nothing")
    return OpenRlhfSftScript(
        **shared,
        by_data=fact(settings, "sft_updates") == "windows",
        micro_batches=micro_batches,
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
