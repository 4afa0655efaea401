"""The planner of `openrlhf.cli.train_dpo`.

Source: OpenRLHF `cli/train_dpo.py`, `datasets/reward_dataset.py`, `trainer/dpo_trainer.py`,
`models/loss.py` (0.6.4, 0.9.1, 0.11.2).
"""

from __future__ import annotations

from mint_migrate.launches.processes import Read
from mint_migrate.model.openrlhf_rows_script import OpenRlhfDpoScript
from mint_migrate.rules.launched.names import NAMES
from mint_migrate.rules.launched.serving import suggest_serving
from mint_migrate.rules.launched.settings import Settings
from mint_migrate.rules.openrlhf.optimizer import plan_model, plan_optimizer
from mint_migrate.rules.openrlhf.options import field_of, is_positive, switch
from mint_migrate.rules.openrlhf.rows import plan_batches, plan_data, plan_reference, plan_rounds
from mint_migrate.rules.openrlhf.saving import plan_tracker


def plan_dpo(settings: Settings, read: Read) -> OpenRlhfDpoScript:
    """Fill the record of a preference training.

    Raises:
        Blocked: the training cannot be expressed on MinT.
    """
    plan_model(settings)
    suggest_serving(settings, model="pretrain", counts=())
    data = plan_data(settings)
    prompt = settings.value("prompt_key").data is not None
    if prompt:
        settings.use("prompt_key", kind="str")
    field_of(settings, "chosen_key", '"chosen"', "str")
    field_of(settings, "rejected_key", '"rejected"', "str")
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
    schedule, ref = plan_optimizer(settings, "learning_rate", "1e-05")
    rounds = plan_rounds(settings)
    tracker, run_options = plan_tracker(settings)
    return OpenRlhfDpoScript(
        names=NAMES,
        fields=(),
        schedule=schedule,
        ref=ref,
        data=data,
        by_data=False,
        micro_batches=False,
        evaluates=rounds.evaluates,
        eval_by_epoch=rounds.by_epoch,
        saves=rounds.saves,
        resumes=rounds.resumes,
        save_total_limit=rounds.saves,
        tracker=tracker,
        run_options=run_options,
        prompt=prompt,
        ipo=ipo,
        smooths=smooths,
        nll=nll,
        reference=plan_reference(settings),
    )
