"""Rules: optimizer and learning rate.

Source: verl `workers/fsdp_workers.py` (to 0.8) and `workers/engine/fsdp/transformer_impl.py`
(0.9.1): AdamW of torch; the schedule moves once for each rollout.
"""

from __future__ import annotations

from mint_migrate.model.script import Schedule
from mint_migrate.rules.base import Blocked
from mint_migrate.rules.launched.settings import UNKNOWN, Settings

OPTIM = "actor_rollout_ref.actor.optim"


def plan_optimizer(settings: Settings) -> tuple[Schedule, dict[str, str]]:
    """Return the schedule and the expression of each optimizer setting.

    Raises:
        Blocked: the schedule has no formula here.
    """
    settings.use(f"{OPTIM}.lr", "learning_rate", kind="float")
    betas = settings.value(f"{OPTIM}.betas")
    beta1, beta2 = betas.data if isinstance(betas.data, list | tuple) else (0.9, 0.999)
    settings.exact(f"{OPTIM}.betas", "AdamParams")
    ref = {
        "adam_beta1": repr(beta1),
        "adam_beta2": repr(beta2),
        "adam_epsilon": "1e-8",
        "weight_decay": settings.use(f"{OPTIM}.weight_decay", kind="float"),
        "max_grad_norm": settings.use("actor_rollout_ref.actor.grad_clip", kind="float"),
    }
    return _plan_schedule(settings), ref


def _plan_schedule(settings: Settings) -> Schedule:
    key = settings.first(f"{OPTIM}.lr_scheduler_type", f"{OPTIM}.warmup_style")
    kind = settings.known(key) or "constant"
    settings.exact(key, "learning_rate_at")
    warmup = _plan_warmup(settings)
    if kind == "constant":
        if not warmup:
            return Schedule(kind="constant", words="constant")
        return Schedule(
            kind="constant_with_warmup", words="a linear warm-up, then constant", warmup=warmup
        )
    if kind != "cosine":
        raise Blocked("MM212", f"the schedule `{kind}` is none of constant, cosine")
    floor = settings.value(f"{OPTIM}.min_lr_ratio")
    floor_text = "0.0"
    if floor.data not in {None, 0.0}:
        floor_text = settings.use(f"{OPTIM}.min_lr_ratio", kind="float")
    settings.exact(f"{OPTIM}.min_lr_ratio", "learning_rate_at")
    cycles = settings.value(f"{OPTIM}.num_cycles")
    angle = "math.pi" if cycles.data in {None, 0.5} else f"2 * math.pi * {cycles.text}"
    settings.exact(f"{OPTIM}.num_cycles", "learning_rate_at")
    return Schedule(
        kind="cosine_with_min_lr",
        words="half a cosine" + (" after a linear warm-up" if warmup else ""),
        warmup=warmup,
        floor=floor_text,
        angle=angle,
    )


def _plan_warmup(settings: Settings) -> str:
    """Return the number of steps as an expression, empty for none."""
    steps = settings.value(f"{OPTIM}.lr_warmup_steps")
    ratio = settings.value(f"{OPTIM}.lr_warmup_steps_ratio")
    if steps.data is UNKNOWN or (isinstance(steps.data, int) and steps.data > 0):
        settings.exact(f"{OPTIM}.lr_warmup_steps_ratio", "nothing", "a number of steps is given")
        return settings.use(f"{OPTIM}.lr_warmup_steps")
    settings.exact(f"{OPTIM}.lr_warmup_steps", "nothing")
    if ratio.data in {None, 0}:
        settings.exact(f"{OPTIM}.lr_warmup_steps_ratio", "nothing")
        return ""
    return f"int({settings.use(f'{OPTIM}.lr_warmup_steps_ratio', kind='float')} * num_steps)"
