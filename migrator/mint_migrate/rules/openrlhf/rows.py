"""Rules that OpenRLHF's entries on given rows share: data, batches, evaluation, checkpoints.

Source: OpenRLHF `utils/utils.py`, `utils/distributed_sampler.py`, `utils/deepspeed/deepspeed.py`,
`trainer/sft_trainer.py` and `trainer/dpo_trainer.py` (0.6.4, 0.9.1, 0.11.2).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mint_migrate.model.openrlhf_rows_script import DataScript
from mint_migrate.rules.base import Blocked
from mint_migrate.rules.launched.names import NAMES
from mint_migrate.rules.launched.serving import suggest_serving
from mint_migrate.rules.launched.settings import Settings
from mint_migrate.rules.openrlhf.optimizer import plan_model, plan_optimizer
from mint_migrate.rules.openrlhf.options import (
    fact,
    field_of,
    is_positive,
    plan_probabilities,
    switch,
)
from mint_migrate.rules.openrlhf.prompts import check_scripts, plan_template
from mint_migrate.rules.openrlhf.saving import plan_tracker


@dataclass(frozen=True, slots=True, kw_only=True)
class Rounds:
    """When held-out rows are looked at and checkpoints are saved."""

    evaluates: bool
    every_row: bool
    by_epoch: bool
    saves: bool
    resumes: bool


def open_training(settings: Settings) -> DataScript:
    """Decide the model, where rows come from, and how their texts are made.

    Raises:
        Blocked: no model or no data set is named, or the data loads itself with a script.
    """
    plan_model(settings)
    suggest_serving(settings, model="pretrain", counts=())
    return _plan_data(settings)


def close_training(settings: Settings, data: DataScript, default_rate: str) -> dict[str, Any]:
    """Return the fields that the records of all these trainings have.

    Args:
        settings: the options of the launch.
        data: where rows come from.
        default_rate: the learning rate where neither launch nor release say one.

    Raises:
        Blocked: an optimizer or a schedule that has no formula here.
    """
    schedule, ref = plan_optimizer(settings, "learning_rate", default_rate)
    rounds = _plan_rounds(settings)
    tracker, run_options = plan_tracker(settings)
    return {
        "names": NAMES,
        "fields": (),
        "schedule": schedule,
        "ref": ref,
        "data": data,
        "evaluates": rounds.evaluates,
        "eval_every_row": rounds.every_row,
        "eval_by_epoch": rounds.by_epoch,
        "saves": rounds.saves,
        "resumes": rounds.resumes,
        "save_total_limit": rounds.saves,
        "tracker": tracker,
        "run_options": run_options,
    }


def _plan_data(settings: Settings) -> DataScript:
    """Decide where rows come from and how their texts are made.

    Raises:
        Blocked: no data set is named, or it loads itself with a script.
    """
    if settings.value("dataset").data is None:
        raise Blocked("MM407", "`--dataset` is not given, so there is nothing to train on")
    settings.use("dataset", kind="str", comment="files, folders or names, separated by commas")
    field_of(
        settings, settings.first("dataset_split", "train_split"), '"train"', "str", "dataset_split"
    )
    limits = settings.is_given("max_samples")
    if limits:
        settings.use("max_samples", kind="int", comment="rows")
    chat = switch(settings, "apply_chat_template", "render")
    own_template = settings.value("tokenizer_chat_template").data is not None
    if own_template:
        settings.use("tokenizer_chat_template", kind="str")
    check_scripts(settings, "dataset", "eval_dataset")
    field_of(settings, "seed", "42", "int")
    is_sft = settings.owner.entry == "train_sft"
    return DataScript(
        blends=plan_probabilities(settings, "dataset", "dataset_probs"),
        stops=str(fact(settings, "blend_stops")) if is_sft else "all_exhausted",
        limits=limits,
        chat=chat,
        own_chat_template=own_template,
        template=plan_template(settings, chat=chat),
    )


def plan_pairs(settings: Settings) -> bool:
    """Decide the columns of the pairs; say whether the prompt has one of its own."""
    prompt = settings.value("prompt_key").data is not None
    if prompt:
        settings.use("prompt_key", kind="str")
    field_of(settings, "chosen_key", '"chosen"', "str")
    field_of(settings, "rejected_key", '"rejected"', "str")
    return prompt


def plan_batches(settings: Settings) -> bool:
    """Decide the batch sizes; return whether the loss is a mean over micro-batches."""
    field_of(settings, "train_batch_size", "128", "int", comment="rows of an optimizer step")
    field_of(settings, "micro_train_batch_size", "8", "int", comment="rows a process takes at once")
    number = settings.num_processes
    settings.add_field("num_processes", str(number or 1), "int", "of the original")
    if number is None:
        settings.notices.append(
            "the launcher does not say how many processes it starts, so one is assumed; "
            "`--num-processes` changes it"
        )
    field_of(settings, "max_epochs", "1", "int")
    field_of(settings, "max_len", "2048", "int", comment="tokens")
    mean = fact(settings, "sft_loss_mean")
    if mean == "micro_batch_of_all" and settings.owner.entry == "train_sft" and number != 1:
        settings.differ(
            "micro_train_batch_size",
            "MM417",
            "each micro-batch of a process is averaged over its own tokens; this release averages "
            "those of all processes together",
        )
    return mean != "update"


def _plan_rounds(settings: Settings) -> Rounds:
    """Decide evaluation and checkpoints."""
    rows = fact(settings, "held_out_rows")
    evaluates = rows != "share" and settings.value("eval_dataset").data is not None
    by_epoch = not is_positive(settings, "eval_steps")
    if evaluates:
        settings.use("eval_dataset", kind="str")
        field_of(settings, "eval_split", '"train"', "str")
        if not by_epoch:
            settings.use("eval_steps", kind="int", comment="steps between two evaluations")
    for key in ("eval_dataset", "eval_split", "eval_steps"):
        settings.exact(key, "evaluate" if evaluates else "nothing")
    if rows == "share":
        _leave_evaluation(settings)
    field_of(settings, "save_path", '"./ckpt"', "str", "output_dir")
    saves = is_positive(settings, "save_steps")
    resumes = switch(settings, "load_checkpoint", "train")
    if resumes and not saves:
        settings.differ(
            "load_checkpoint",
            "MM234",
            "training starts anew: no checkpoint is saved on the way, and those of the original "
            "are not read",
        )
    if saves:
        settings.use("save_steps", kind="int", comment="steps between two checkpoints")
        field_of(settings, "ckpt_path", '"./ckpt/checkpoints"', "str")
        field_of(settings, "max_ckpt_num", "3", "int")
    for key in ("save_steps", "ckpt_path", "max_ckpt_num"):
        settings.exact(key, "save_checkpoint" if saves else "nothing")
    return Rounds(
        evaluates=evaluates,
        every_row=rows == "every",
        by_epoch=by_epoch,
        saves=saves,
        resumes=resumes and saves,
    )


def _leave_evaluation(settings: Settings) -> None:
    """Say that a release evaluates that always does."""
    sentence = (
        "held-out losses are left out: this release evaluates on the split `eval_split` of the "
        "training data, or on its first 3 percent"
    )
    given = [key for key in ("eval_steps", "eval_split") if settings.is_given(key)]
    for key in given or ["eval_split"]:
        settings.differ(key, "MM423", sentence)


def plan_reference(settings: Settings) -> str:
    """Return the model whose log-probabilities the policy is compared with."""
    reference = settings.value("ref_pretrain")
    if reference.data is None or reference.data == settings.value("pretrain").data:
        settings.exact("ref_pretrain", "config.model", "the model that is trained, as it was")
        return "config.model"
    return settings.use("ref_pretrain", "reference_model", kind="str")
