"""The planner of `openrlhf.cli.train_kto`.

Source: OpenRLHF `cli/train_kto.py`, `datasets/unpaired_preference_dataset.py`,
`trainer/kto_trainer.py`, `models/loss.py` (0.3.8 to 0.9.1).
"""

from __future__ import annotations

from mint_migrate.launches.processes import Read
from mint_migrate.model.openrlhf_rows_script import OpenRlhfKtoScript
from mint_migrate.rules.base import Blocked
from mint_migrate.rules.launched.settings import Settings
from mint_migrate.rules.openrlhf.options import field_of
from mint_migrate.rules.openrlhf.rows import (
    close_training,
    open_training,
    plan_batches,
    plan_reference,
)


def plan_kto(settings: Settings, read: Read) -> OpenRlhfKtoScript:
    """Fill the record of a training on single answers.

    Raises:
        Blocked: the training cannot be expressed on MinT, or a micro-batch has one row, whose
            divergence the original cannot estimate.
    """
    data = open_training(settings)
    field_of(settings, "input_key", '"input"', "str")
    output = settings.value("output_key").data is not None
    if output:
        settings.use("output_key", kind="str")
    field_of(settings, "label_key", '"label"', "str")
    plan_batches(settings)
    if settings.value("micro_train_batch_size").data == 1:
        raise Blocked(
            "MM407",
            "a micro-batch of one row pairs no prompt with another answer, so the divergence is "
            "that of the answer itself; give `--micro_train_batch_size` 2 or more",
        )
    field_of(settings, "beta", "0.01", "float")
    field_of(settings, "desirable_loss_weight", "1.0", "float")
    field_of(settings, "undesirable_loss_weight", "1.0", "float")
    shared = close_training(settings, data, "1e-05")
    return OpenRlhfKtoScript(
        **shared,
        output=output,
        reference=plan_reference(settings),
    )
