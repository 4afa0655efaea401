"""Rules: which policy loss a launch asks for, and what computes it.

A loss of the server is chosen where it is equal. With one update for each rollout the ratio is 1:
then "importance_sampling" has value and gradient of the losses that clip the ratio.
Source: verl `trainer/ppo/core_algos.py`, functions `compute_policy_loss_*`.
"""

from __future__ import annotations

from typing import Final

from mint_migrate.model.verl_math import Divergence, PolicyLoss
from mint_migrate.rules.base import Blocked
from mint_migrate.rules.launched.settings import Settings
from mint_migrate.rules.verl.aggregation import KEY as AGGREGATION
from mint_migrate.rules.verl.aggregation import plan_aggregation, sees_whole_steps
from mint_migrate.rules.verl.correction import plan_correction
from mint_migrate.rules.verl.divergence import plan_loss_divergence
from mint_migrate.tables.versions import version_key

ACTOR: Final = "actor_rollout_ref.actor"
MODE: Final = f"{ACTOR}.policy_loss.loss_mode"
CLIPS: Final = frozenset({"vanilla", "gspo"})
"""Losses of which a ratio of 1 leaves nothing but the advantage."""
BOUNDED: Final = frozenset(
    {*CLIPS, "clip_cov", "cispo", "geo_mean", "dppo_tv", "dppo_kl"},
)
DUAL: Final = frozenset({"vanilla", "dppo_tv", "dppo_kl"})
OWN: Final = {
    "sapo": (f"{ACTOR}.tau_pos", f"{ACTOR}.tau_neg"),
    "dro": (f"{ACTOR}.policy_loss.dro_beta",),
    "clip_cov": tuple(f"{ACTOR}.policy_loss.clip_cov_{name}" for name in ("ratio", "lb", "ub")),
    "kl_cov": tuple(f"{ACTOR}.policy_loss.{name}" for name in ("kl_cov_ratio", "ppo_kl_coef")),
}
"""Options that only one loss reads."""
MODES: Final = frozenset({*BOUNDED, *OWN, "gpg"})


def plan_policy_loss(settings: Settings, *, reused: bool) -> PolicyLoss:
    """Decide the loss and every option that has a part in it.

    Args:
        settings: of the launch.
        reused: samples are trained on after the policy has changed.

    Raises:
        Blocked: it is not a loss of verl, or lacks an option that it needs.
    """
    divergence = plan_loss_divergence(settings)
    _plan_entropy(settings)
    mode = str(settings.known(MODE) or "vanilla")
    corrected = plan_correction(settings, mode, reused=reused)
    mode = corrected.kind or mode
    if mode not in {*MODES, "corrected"}:
        raise Blocked("MM349", f"`{MODE}={mode}` is not a policy loss of verl; write its own")
    settings.exact(MODE, "policy_loss")
    aggregation, horizon = plan_aggregation(settings)
    kind = "linear" if mode in CLIPS and not reused else mode
    bounds, dual_clip = corrected.bounds, ""
    if corrected.kind != "corrected":
        bounds = _plan_bounds(settings, kind)
        dual_clip = _plan_dual_clip(settings, kind)
    averages = _averages_responses(settings, mode)
    if averages and aggregation != "seq-mean-token-mean" and divergence is None:
        aggregation = "seq-mean-token-mean"
    _say_differences(settings, mode)
    return PolicyLoss(
        kind=kind,
        builtin="" if corrected.is_own else _builtin(kind, divergence, dual_clip),
        bounds=bounds,
        dual_clip=dual_clip,
        options=_plan_own(settings, mode),
        weights=corrected.weights,
        normalizes=corrected.normalizes,
        rejections=corrected.rejections,
        aggregation=aggregation,
        averages_responses=averages and aggregation != "seq-mean-token-mean",
        horizon=horizon,
        divergence=divergence,
    )


def _builtin(kind: str, divergence: Divergence | None, dual_clip: str) -> str:
    """Return the loss of the server that is equal, or "" where there is none."""
    if divergence is not None:
        return ""
    names = {
        "linear": "importance_sampling",
        "cispo": "cispo",
        "corrected": "cispo",
        "gpg": "cross_entropy",
    }
    if kind == "vanilla" and not dual_clip:
        return "ppo"
    return names.get(kind, "")


def _plan_entropy(settings: Settings) -> None:
    key = f"{ACTOR}.entropy_coeff"
    if settings.value(key).data in {0, None}:
        settings.exact(key, "nothing", "entropy counts nothing")
        return
    settings.differ(
        key,
        "MM302",
        f"the loss has no entropy bonus (the original adds {settings.value(key).text} times the "
        "entropy of each token's distribution, of which MinT returns one probability)",
    )


def _plan_bounds(settings: Settings, kind: str) -> tuple[str, str]:
    """Return the options that bound a ratio, a logarithm or a probability."""
    one, low, high = (f"{ACTOR}.clip_ratio{part}" for part in ("", "_low", "_high"))
    if kind not in BOUNDED:
        for key in (one, low, high):
            settings.exact(key, "nothing", _unread(kind))
        return "", ""
    given = [settings.value(key).data is not None for key in (low, high)]
    if not all(given):
        shared = settings.use(one, kind="float")
    else:
        settings.exact(one, "nothing", _shadowed(settings))
        if settings.is_given(one) and not all(settings.is_given(key) for key in (low, high)):
            settings.notices.append(f"`{one}` has no effect: {_shadowed(settings)}")
        shared = ""
    bounds = []
    for key, has_own in zip((low, high), given, strict=True):
        if not has_own:
            settings.exact(key, "config.clip_ratio")
        bounds.append(settings.use(key, kind="float") if has_own else shared)
    return bounds[0], bounds[1]


def _shadowed(settings: Settings) -> str:
    return (
        f"verl {settings.version} reads `clip_ratio_low` and `clip_ratio_high`, which have values "
        "of their own"
    )


def _unread(kind: str) -> str:
    if kind == "linear":
        return "samples are used once, so the ratio is 1"
    return f"`{kind}` does not read it"


def _plan_dual_clip(settings: Settings, kind: str) -> str:
    key = f"{ACTOR}.clip_ratio_c"
    if kind not in DUAL:
        settings.exact(key, "nothing", _unread(kind))
        return ""
    if settings.value(key).data is None:
        settings.exact(key, "nothing")
        return "" if kind == "vanilla" else "20.0"
    return settings.use(key, kind="float")


def _plan_own(settings: Settings, mode: str) -> dict[str, str]:
    """Return the expressions of the options that only this loss reads; decide those of others."""
    found = {}
    for owner, keys in OWN.items():
        for key in keys:
            if owner != mode:
                settings.exact(key, "nothing", f"only `{owner}` reads it")
                continue
            if settings.value(key).data is None:
                raise Blocked("MM349", f"the loss `{mode}` needs `{key}`")
            found[key.rpartition(".")[2]] = settings.use(key, kind="float")
    return found


def _averages_responses(settings: Settings, mode: str) -> bool:
    """Say whether the loss is a mean over responses whatever the aggregation is."""
    is_old = version_key(settings.version) < version_key("0.9.1")
    averages = mode == "sapo" or (mode == "gspo" and is_old)
    if averages:
        settings.exact(AGGREGATION, "token_shares", f"`{mode}` averages over responses anyway")
    return averages


def _say_differences(settings: Settings, mode: str) -> None:
    if mode in {"clip_cov", "kl_cov"}:
        settings.differ(
            MODE,
            "MM341",
            f"`{mode}` picks tokens by their covariance within the step; the original does so in "
            "each micro-batch of each GPU" + (", with other random numbers" * (mode == "clip_cov")),
            "policy_loss",
        )
    if mode == "geo_mean":
        sums = "adds up" if sees_whole_steps(settings) else "averages"
        settings.differ(
            MODE,
            "MM310",
            f"`geo_mean` is the mean over the responses of a step; the original {sums} the means "
            "of its micro-batches",
            "policy_loss",
        )
