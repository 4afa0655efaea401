"""Rules: the model, its adapter, optimizer and learning rate.

Source: OpenRLHF `trainer/ray/ppo_actor.py` (0.6.4, 0.9.1, 0.11.2): Adam with decoupled weight
decay; the schedule of transformers moves with each optimizer step.
"""

from __future__ import annotations

from mint_migrate.model.script import Schedule
from mint_migrate.rules.base import Blocked
from mint_migrate.rules.launched.adapter import plan_alpha, plan_rank
from mint_migrate.rules.launched.settings import UNKNOWN, Settings
from mint_migrate.rules.openrlhf.options import fact, field_of


def plan_model(settings: Settings) -> None:
    """Decide the model, the rank of its adapter, and what the adapter trains.

    Raises:
        Blocked: no model is named.
    """
    if settings.value("pretrain").data is None:
        raise Blocked("MM407", "`--pretrain` is not given, so there is no model to train")
    settings.use("pretrain", "model", kind="str", comment="a name that the server knows")
    if plan_rank(settings, "lora_rank", ("lora_alpha", "lora_dropout", "target_modules"), "MM414"):
        _plan_adapter(settings)


def _plan_adapter(settings: Settings) -> None:
    plan_alpha(settings, "lora_alpha")
    dropout = settings.value("lora_dropout")
    if dropout.data not in {0, None}:
        settings.differ("lora_dropout", "MM207", f"LoRA dropout of {dropout.text} is left out")
    modules = settings.value("target_modules").data
    if modules in ("all-linear", ["all-linear"], None):
        settings.exact("target_modules", "create_lora_training_client(...)")
    else:
        settings.differ(
            "target_modules",
            "MM206",
            "the adapter trains all linear layers, the original's only those it names",
        )


def plan_optimizer(
    settings: Settings, rate: str = "actor_learning_rate", default_rate: str = "1e-06"
) -> tuple[Schedule, dict[str, str]]:
    """Return the schedule and the expression of each optimizer setting.

    Args:
        settings: the options of the launch.
        rate: option of the learning rate.
        default_rate: its value where neither launch nor release say one.

    Raises:
        Blocked: another optimizer than Adam, or a schedule that has no formula here.
    """
    optimizer = settings.first("actor.optim", "optim")
    if settings.value(optimizer).data not in {"adam", None}:
        raise Blocked("MM416", "the optimizer is Muon; MinT has AdamW")
    settings.exact(optimizer, "AdamParams")
    field_of(settings, rate, default_rate, "float", "learning_rate")
    beta1, beta2 = _plan_betas(settings)
    epsilon_key = settings.first("actor.adam.eps", "adam.eps")
    epsilon = settings.value(epsilon_key)
    settings.exact(epsilon_key, "AdamParams.eps")
    ref = {
        "adam_beta1": repr(beta1),
        "adam_beta2": repr(beta2),
        "adam_epsilon": "1e-8" if epsilon.data is None else epsilon.text,
        "weight_decay": field_of(settings, "l2", "0.0", "float", "weight_decay"),
        "max_grad_norm": field_of(settings, "max_norm", "1.0", "float", "max_grad_norm"),
    }
    return _plan_schedule(settings), ref


def _plan_betas(settings: Settings) -> tuple[float, float]:
    """Return the betas of Adam.

    Raises:
        Blocked: only the shell knows them.
    """
    betas = settings.value("adam_betas")
    is_ray = settings.owner.entry == "train_ppo_ray"
    if is_ray and not fact(settings, "adam_betas_are_read"):
        settings.exact("adam_betas", "nothing", "this release always takes (0.9, 0.95)")
        return 0.9, 0.95
    if betas.data is UNKNOWN:
        raise Blocked("MM292", "`--adam_betas` must be known; write its values out")
    settings.exact("adam_betas", "AdamParams")
    beta1, beta2 = betas.data or (0.9, 0.95)
    return beta1, beta2


def _plan_schedule(settings: Settings) -> Schedule:
    kind = settings.known("lr_scheduler") or "cosine_with_min_lr"
    settings.exact("lr_scheduler", "learning_rate_at")
    if kind == "constant":
        settings.exact("lr_warmup_ratio", "nothing", "this schedule has no warm-up")
        return Schedule(kind="constant", words="constant")
    ratio = field_of(settings, "lr_warmup_ratio", "0.03", "float")
    warmup = f"math.ceil({ratio} * num_steps)"
    if kind == "cosine_with_min_lr":
        return Schedule(
            kind="cosine_with_min_lr",
            words="half a cosine down to a tenth, after a linear warm-up",
            warmup=warmup,
            floor=_plan_floor(settings),
            angle="math.pi",
        )
    words = {
        "linear": "linear down to 0, after a linear warm-up",
        "cosine": "half a cosine down to 0, after a linear warm-up",
        "constant_with_warmup": "a linear warm-up, then constant",
    }
    if kind not in words:
        known = ", ".join(("cosine_with_min_lr", "constant", *words))
        raise Blocked("MM212", f"the schedule `{kind}` is none of {known}")
    return Schedule(kind=str(kind), words=words[kind], warmup=warmup)


def _plan_floor(settings: Settings) -> str:
    key = settings.first("actor.min_lr_ratio", "min_lr_ratio")
    if settings.value(key).data in {0.1, None}:
        settings.exact(key, "learning_rate_at")
        return "0.1"
    return settings.use(key, "min_lr_ratio", kind="float")
