"""Rules: corrections for a sampler whose probabilities differ from the trainer's.

On MinT both use the same weights, and the log-probabilities that samples come with are the old
ones. Between the two there is nothing to correct. What remains is `bypass_mode`, in which verl does
the same: there the correction is for how far the policy has moved since.
Source: verl `trainer/ppo/rollout_corr_helper.py` and `compute_policy_loss_bypass_mode`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from mint_migrate.model.plan import Fidelity
from mint_migrate.rules.base import Blocked
from mint_migrate.rules.launched.settings import Settings

PREFIX: Final = "algorithm.rollout_correction"
OLD: Final = (
    *("algorithm.rollout_is", "algorithm.rollout_rs", "algorithm.rollout_token_veto"),
    *("algorithm.bypass_old_logprob", "actor_rollout_ref.actor.tis_imp_ratio_cap"),
)
"""Beginnings of the names that earlier releases had."""
SWITCHES: Final = (
    *(f"{PREFIX}.rollout_is", f"{PREFIX}.rollout_rs", "algorithm.rollout_is_threshold"),
    *("algorithm.rollout_is", "actor_rollout_ref.actor.tis_imp_ratio_cap"),
)
"""Options without which nothing is corrected."""
SENTENCE: Final = (
    "sampler and trainer of MinT have the same weights, and the log-probabilities that samples "
    "come with are the old ones: there is no gap to correct but rounding"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Correction:
    """What a correction makes of the policy loss."""

    kind: str = ""
    """vanilla | gpg | corrected; empty: the loss stays what it is."""
    bounds: tuple[str, str] = ("", "")
    """Lowest and highest weight."""
    by_token: bool = False


def plan_correction(settings: Settings, mode: str, *, reused: bool) -> Correction:
    """Decide the options of the correction.

    Args:
        settings: of the launch.
        mode: the loss that is asked for; that of `bypass_mode` can be named itself.
        reused: samples are trained on after the policy has changed.

    Raises:
        Blocked: samples would be rejected by how far the policy has moved.
    """
    found = Correction()
    if settings.known(f"{PREFIX}.bypass_mode"):
        found = _plan_bypass(settings, reused=reused)
    elif mode == "bypass_mode":
        found = _plan_named(settings)
    left = [
        key
        for key in settings.given
        if (key == PREFIX or key.startswith((f"{PREFIX}.", *OLD)))
        and id(settings.given[key]) not in settings.decided
    ]
    corrects = any(settings.value(key).data not in {None, False} for key in SWITCHES)
    for key in left:
        if corrects or key == PREFIX:
            settings.decide(key, Fidelity.APPROXIMATE, "MM319", "nothing", SENTENCE)
        else:
            settings.exact(key, "nothing", "nothing is weighted or left out")
    if corrects and left:
        settings.differ(left[0], "MM319", SENTENCE, "nothing")
    return found


def _plan_named(settings: Settings) -> Correction:
    """Return the loss of `loss_mode=bypass_mode` without the trainer's `bypass_mode`."""
    key = "actor_rollout_ref.actor.policy_loss.rollout_correction.loss_type"
    kind = str(settings.known(key) or "ppo_clip")
    if kind != "ppo_clip":
        raise Blocked(
            "MM344", f"`{key}={kind}` takes effect with `{PREFIX}.bypass_mode=True`; give that too"
        )
    settings.exact(key, "policy_loss")
    return Correction(kind="vanilla")


def _plan_bypass(settings: Settings, *, reused: bool) -> Correction:
    """Return the loss of `bypass_mode`, where old log-probabilities are those of the sampler."""
    settings.exact(f"{PREFIX}.bypass_mode", "build_batch")
    kind = str(settings.known(f"{PREFIX}.loss_type") or "ppo_clip")
    if settings.value(f"{PREFIX}.use_policy_gradient").data:
        kind = "reinforce"
    for name in ("loss_type", "use_policy_gradient"):
        settings.exact(f"{PREFIX}.{name}", "policy_loss")
    if reused and settings.value(f"{PREFIX}.rollout_rs").data is not None:
        raise Blocked(
            "MM344",
            f"`{PREFIX}.rollout_rs` leaves out responses by how far the policy has moved from them;"
            " take one optimizer step for each rollout, or leave the option out",
        )
    if kind == "ppo_clip":
        return Correction(kind="vanilla")
    if kind != "reinforce":
        raise Blocked("MM349", f"`{PREFIX}.loss_type={kind}` is neither ppo_clip nor reinforce")
    level = settings.known(f"{PREFIX}.rollout_is")
    if level is None or not reused:
        return Correction(kind="gpg")
    return _plan_weights(settings, str(level))


def _plan_weights(settings: Settings, level: str) -> Correction:
    """Return REINFORCE whose weights are limited from above."""
    threshold = settings.value(f"{PREFIX}.rollout_is_threshold")
    normalizes = settings.value(f"{PREFIX}.rollout_is_batch_normalize").data
    if normalizes or isinstance(threshold.data, str) or level not in {"token", "sequence"}:
        raise Blocked(
            "MM344",
            f"`{PREFIX}` asks for weights that are normalized, or left out beyond two bounds; "
            "a single `rollout_is_threshold` limits them from above",
        )
    settings.exact(f"{PREFIX}.rollout_is", "policy_loss")
    settings.exact(f"{PREFIX}.rollout_is_batch_normalize", "nothing")
    highest = settings.use(f"{PREFIX}.rollout_is_threshold", kind="float")
    return Correction(kind="corrected", bounds=("0.0", highest), by_token=level == "token")
