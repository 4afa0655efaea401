"""Rules: how far the policy may move from the reference, in the reward or in the loss.

Source: verl `apply_kl_penalty` of `trainer/ppo/ray_trainer.py`, `kl_penalty` of `core_algos.py`.
"""

from __future__ import annotations

from typing import Final

from mint_migrate.model.verl_math import Divergence
from mint_migrate.rules.base import Blocked
from mint_migrate.rules.launched.settings import Settings

ESTIMATORS: Final = {
    "kl": "k1",
    "k1": "k1",
    "abs": "abs",
    "mse": "k2",
    "k2": "k2",
    "low_var_kl": "k3",
    "k3": "k3",
}
SWITCH: Final = "algorithm.use_kl_in_reward"
CONTROL: Final = "algorithm.kl_ctrl"
ACTOR: Final = "actor_rollout_ref.actor"


def plan_reward_divergence(settings: Settings) -> Divergence | None:
    """Decide what the rewards lose; None where they lose nothing.

    Raises:
        Blocked: the estimate needs whole distributions.
    """
    keys = ("algorithm.kl_penalty", *(f"{CONTROL}.{name}" for name in _CONTROLS))
    if not _is_on(settings):
        for key in keys:
            settings.exact(key, "nothing", f"`{_reason(settings)}`: nothing reads it")
        if settings.is_given(f"{CONTROL}.kl_coef"):
            settings.notices.append(
                f"`{CONTROL}.kl_coef` has no effect in verl {settings.version}, because "
                f"`{_reason(settings)}`"
            )
        return None
    coefficient = settings.value(f"{CONTROL}.kl_coef")
    adaptive = settings.known(f"{CONTROL}.type") == "adaptive"
    settings.exact(f"{CONTROL}.type", "penalize_divergence")
    if coefficient.data == 0 and not adaptive:
        for key in keys:
            settings.exact(key, "nothing", "the divergence counts nothing")
        return None
    estimator, _ = _estimator(settings, "algorithm.kl_penalty", "penalize_divergence")
    adapts = ("", "")
    if adaptive:
        adapts = (
            settings.use(f"{CONTROL}.target_kl", kind="float"),
            settings.use(f"{CONTROL}.horizon", kind="int"),
        )
    else:
        for name in ("target_kl", "horizon"):
            settings.exact(f"{CONTROL}.{name}", "nothing", "the coefficient is fixed")
    weight = settings.use(f"{CONTROL}.kl_coef", kind="float")
    return Divergence(estimator=estimator, weight=weight, adapts=adapts)


def plan_loss_divergence(settings: Settings) -> Divergence | None:
    """Decide the divergence in the loss; None where there is none.

    Raises:
        Blocked: the estimate needs whole distributions.
    """
    key, kind = f"{ACTOR}.kl_loss_coef", f"{ACTOR}.kl_loss_type"
    is_on = settings.known(f"{ACTOR}.use_kl_loss")
    settings.exact(f"{ACTOR}.use_kl_loss", "policy_loss" if is_on else "nothing")
    if not is_on or settings.value(key).data == 0:
        reason = "the divergence counts nothing" if is_on else "`use_kl_loss` is False"
        settings.exact(key, "nothing", reason)
        settings.exact(kind, "nothing", reason)
        return None
    estimator, is_straight = _estimator(settings, kind, "policy_loss")
    return Divergence(
        estimator=estimator,
        weight=settings.use(key, kind="float"),
        is_straight=is_straight and estimator != "k2",
    )


_CONTROLS: Final = ("type", "kl_coef", "horizon", "target_kl")


def _has_switch(settings: Settings) -> bool:
    """Say whether this release asks for a divergence in the reward by an option of its own."""
    row = settings.tables.row(f"{settings.owner.rows}.{SWITCH}", settings.version)
    return row is not None or settings.is_given(SWITCH)


def _is_on(settings: Settings) -> bool:
    if _has_switch(settings):
        is_on = bool(settings.known(SWITCH))
        settings.exact(SWITCH, "penalize_divergence" if is_on else "nothing")
        return is_on
    return not settings.known(f"{ACTOR}.use_kl_loss")


def _reason(settings: Settings) -> str:
    return f"{SWITCH} is False" if _has_switch(settings) else "use_kl_loss is True"


def _estimator(settings: Settings, key: str, target: str) -> tuple[str, bool]:
    """Return the name of an estimator, and whether its gradient is that of k2."""
    name = str(settings.known(key))
    if name.rstrip("+") == "full":
        raise Blocked(
            "MM304",
            f"`{key}=full` compares whole distributions, of which MinT returns one probability; "
            "`low_var_kl` estimates the same from that",
        )
    if name.rstrip("+") not in ESTIMATORS:
        raise Blocked("MM349", f"`{key}={name}` is none of {', '.join(ESTIMATORS)}")
    settings.exact(key, target)
    return ESTIMATORS[name.rstrip("+")], name.endswith("+")
