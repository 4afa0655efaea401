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
        "max_grad_norm": _plan_clipping(settings),
    }
    return _plan_schedule(settings), ref


def _plan_clipping(settings: Settings) -> str:
    """Return the norm that gradients are cut to: of the actor to 0.7, then of its optimizer."""
    actor, optimizer = "actor_rollout_ref.actor.grad_clip", f"{OPTIM}.clip_grad"
    read = str(settings.tables.fact("verl_gradient_clip_key", settings.version).value)
    unread = actor if read == optimizer else optimizer
    if settings.is_given(unread):
        settings.exact(unread, "nothing", f"verl {settings.version} reads `{read}`")
        settings.notices.append(f"`{unread}` has no effect: verl {settings.version} reads `{read}`")
    return settings.use(read, "grad_clip", kind="float")


def _plan_schedule(settings: Settings) -> Schedule:
    key = settings.first(f"{OPTIM}.lr_scheduler_type", f"{OPTIM}.warmup_style")
    kind = settings.known(key) or "constant"
    settings.exact(key, "learning_rate_at")
    warmup = plan_warmup(settings, f"{OPTIM}.lr_warmup_steps", f"{OPTIM}.lr_warmup_steps_ratio")
    if kind == "constant":
        if not warmup:
            return Schedule(kind="constant", words="constant")
        return Schedule(
            kind="constant_with_warmup", words="a linear warm-up, then constant", warmup=warmup
        )
    if kind != "cosine":
        raise Blocked("MM212", f"the schedule `{kind}` is none of constant, cosine")
    return plan_cosine(settings, OPTIM, warmup)


def plan_cosine(settings: Settings, group: str, warmup: str) -> Schedule:
    """Return a cosine with the lowest share and the number of waves that *group* says."""
    floor = settings.value(f"{group}.min_lr_ratio")
    floor_text = "0.0"
    if floor.data not in {None, 0.0}:
        floor_text = settings.use(f"{group}.min_lr_ratio", kind="float")
    settings.exact(f"{group}.min_lr_ratio", "learning_rate_at")
    cycles = settings.value(f"{group}.num_cycles")
    angle = "math.pi" if cycles.data in {None, 0.5} else f"2 * math.pi * {cycles.text}"
    settings.exact(f"{group}.num_cycles", "learning_rate_at")
    return Schedule(
        kind="cosine_with_min_lr",
        words="half a cosine" + (" after a linear warm-up" if warmup else ""),
        warmup=warmup,
        floor=floor_text,
        angle=angle,
    )


def plan_warmup(settings: Settings, steps_key: str, ratio_key: str) -> str:
    """Return the number of warm-up steps as an expression, empty for none."""
    steps, ratio = settings.value(steps_key), settings.value(ratio_key)
    if steps.data is UNKNOWN or (isinstance(steps.data, int) and steps.data > 0):
        settings.exact(ratio_key, "nothing", "a number of steps is given")
        return settings.use(steps_key)
    settings.exact(steps_key, "nothing")
    if ratio.data in {None, 0}:
        settings.exact(ratio_key, "nothing")
        return ""
    return f"int({settings.use(ratio_key, kind='float')} * num_steps)"
