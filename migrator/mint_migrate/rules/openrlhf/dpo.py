"""The planner of `openrlhf.cli.train_dpo`.

Source: OpenRLHF `cli/train_dpo.py`, `datasets/reward_dataset.py`, `trainer/dpo_trainer.py`,
`models/loss.py` (0.6.4, 0.9.1, 0.11.2).
"""

from __future__ import annotations

from mint_migrate.launches.processes import Read
from mint_migrate.model.openrlhf_rows_script import OpenRlhfDpoScript
from mint_migrate.rules.launched.settings import Settings
from mint_migrate.rules.openrlhf.options import field_of, is_positive, switch
from mint_migrate.rules.openrlhf.rows import (
    close_training,
    open_training,
    plan_batches,
    plan_pairs,
    plan_reference,
)


def plan_dpo(settings: Settings, read: Read) -> OpenRlhfDpoScript:
    """Fill the record of a preference training.

    Raises:
        Blocked: the training cannot be expressed on MinT.
    """
    data = open_training(settings)
    prompt = plan_pairs(settings)
    # The mean over micro-batches of equal size is the mean over the pairs of a step.
    plan_batches(settings)
    field_of(settings, "beta", "0.1", "float")
    ipo = switch(settings, "ipo", "preference_loss")
    smooths = is_positive(settings, "label_smoothing") and not ipo
    if smooths:
        settings.use("label_smoothing", kind="float")
    settings.exact("label_smoothing", "preference_loss")
    nll = is_positive(settings, "nll_loss_coef")
    if nll:
        settings.use("nll_loss_coef", kind="float")
    settings.exact("nll_loss_coef", "preference_loss")
    shared = close_training(settings, data, "1e-05")
    return OpenRlhfDpoScript(
        **shared,
        prompt=prompt,
        ipo=ipo,
        smooths=smooths,
        nll=nll,
        reference=plan_reference(settings),
    )
