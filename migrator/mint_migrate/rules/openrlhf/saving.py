"""Rules: checkpoints, trackers, and the held-out prompts."""

from __future__ import annotations

from dataclasses import dataclass

from mint_migrate.model.plan import Fidelity
from mint_migrate.rules.launched.settings import Settings
from mint_migrate.rules.openrlhf.options import at_least, field_of, is_positive, switch

FIRST_WITH_EVALUATION = "0.8"


@dataclass(frozen=True, slots=True, kw_only=True)
class Saving:
    """When checkpoints are saved."""

    saves: bool
    resumes: bool
    limits: bool


def plan_saving(settings: Settings) -> Saving:
    """Decide the options of checkpoints."""
    field_of(settings, "save_path", '"./ckpt"', "str", "output_dir")
    saves = is_positive(settings, "save_steps")
    resumes = switch(settings, "load_checkpoint", "train")
    if saves or resumes:
        field_of(settings, "ckpt_path", '"./ckpt/checkpoints_ppo_ray"', "str")
    else:
        settings.exact("ckpt_path", "nothing", "no checkpoint is saved on the way")
    if not saves:
        for key in ("save_steps", "max_ckpt_num"):
            settings.exact(key, "nothing", "no checkpoint is saved on the way")
        return Saving(saves=resumes, resumes=resumes, limits=False)
    settings.use("save_steps", kind="int", comment="rollouts between two checkpoints")
    field_of(settings, "max_ckpt_num", "3", "int")
    return Saving(saves=True, resumes=resumes, limits=True)


def plan_validation(settings: Settings) -> bool:
    """Decide the options of evaluation; say whether there is one."""
    keys = ("eval_split", "eval_temperature", "eval_n_samples_per_prompt")
    wanted = settings.value("eval_dataset").data is not None and is_positive(settings, "eval_steps")
    if not wanted or not at_least(settings, FIRST_WITH_EVALUATION):
        for key in ("eval_steps", "eval_dataset", *keys):
            settings.exact(key, "nothing", "nothing is evaluated")
        return False
    settings.use("eval_steps", kind="int", comment="rollouts between two evaluations")
    settings.use("eval_dataset", kind="str")
    field_of(settings, "eval_split", '"train"', "str")
    field_of(settings, "eval_temperature", "0.6", "float")
    field_of(settings, "eval_n_samples_per_prompt", "4", "int")
    return True


def plan_tracker(settings: Settings) -> tuple[str, str]:
    """Return the tracker that the result writes to besides its own file, and its run's options."""
    field_of(settings, "logging_steps", "1", "int", comment="rollouts between two printed lines")
    names = ("wandb_org", "wandb_group", "wandb_run_name")
    if settings.value("use_wandb").data is not None:
        settings.drop(
            "use_wandb", "MM226", "the key of wandb is not copied; set WANDB_API_KEY or log in"
        )
        if settings.value("use_tensorboard").data is not None:
            settings.decide(
                "use_tensorboard",
                Fidelity.APPROXIMATE,
                "MM226",
                "metrics.jsonl",
                "figures go to wandb and metrics.jsonl, not to TensorBoard as well",
            )
        field_of(settings, "wandb_project", '"openrlhf_train_ppo"', "str")
        words = {"wandb_org": "entity", "wandb_group": "group", "wandb_run_name": "name"}
        options = [
            f", {words[key]}={settings.use(key, kind='str')}"
            for key in names
            if settings.is_given(key)
        ]
        return "wandb", "".join(options)
    for key in ("wandb_project", *names):
        settings.exact(key, "nothing", "wandb is not used")
    folder = settings.value("use_tensorboard")
    if folder.data is not None:
        settings.use("use_tensorboard", "tensorboard_dir", kind="str")
        return "tensorboard", ""
    return "", ""
