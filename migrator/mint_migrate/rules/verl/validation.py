"""Rules: when and how held-out prompts are scored."""

from __future__ import annotations

from mint_migrate.model.verl_script import ValidationScript
from mint_migrate.rules.launched.settings import UNKNOWN, Settings

VAL = "actor_rollout_ref.rollout.val_kwargs"


def plan_validation(settings: Settings) -> ValidationScript | None:
    """Decide the options of validation; None where there is none."""
    frequency = settings.value("trainer.test_freq").data
    before = bool(settings.known("trainer.val_before_train"))
    only = bool(settings.known("trainer.val_only"))
    settings.exact("trainer.val_before_train", "train")
    settings.exact("trainer.val_only", "train")
    repeats = frequency is UNKNOWN or (isinstance(frequency, int) and frequency > 0)
    if not repeats and not before and not only:
        keys = ("n", "do_sample", "temperature", "top_p", "top_k")
        for key in ("trainer.test_freq", *(f"{VAL}.{each}" for each in keys)):
            settings.exact(key, "nothing", "nothing is validated")
        return None
    if repeats:
        settings.use("trainer.test_freq", comment="rollouts between two validations")
    settings.exact("trainer.test_freq", "train")
    settings.use(f"{VAL}.n", "responses_per_val_prompt")
    samples = bool(settings.known(f"{VAL}.do_sample"))
    settings.exact(f"{VAL}.do_sample", "evaluate")
    temperature = settings.use(f"{VAL}.temperature", "val_temperature", kind="float")
    sampling = [
        ("max_tokens", "config.max_response_length"),
        ("temperature", temperature if samples else "0.0"),
    ]
    top_p = settings.value(f"{VAL}.top_p")
    if samples and top_p.data != 1.0:
        sampling.append(("top_p", settings.use(f"{VAL}.top_p", "val_top_p", kind="float")))
    settings.exact(f"{VAL}.top_p", "evaluate")
    top_k = settings.value(f"{VAL}.top_k")
    if samples and top_k.data not in {-1, None}:
        sampling.append(("top_k", settings.use(f"{VAL}.top_k", "val_top_k", kind="int")))
    settings.exact(f"{VAL}.top_k", "evaluate")
    return ValidationScript(
        frequency=repeats, before=before or only, only=only, sampling=tuple(sampling)
    )
