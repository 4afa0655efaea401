"""Rules: corrections for a sampler whose probabilities differ from the trainer's.

On MinT both use the same weights, and the log-probabilities that samples come with are the old
ones. Between the two there is nothing to correct. What remains is `bypass_mode`, in which verl does
the same: there the correction is for how far the policy has moved since.
Source: verl `trainer/ppo/rollout_corr_helper.py` and `compute_policy_loss_bypass_mode`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from mint_migrate.model.plan import Fidelity
from mint_migrate.model.verl_math import Rejection
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
RULE: Final = re.compile(r"(token|seq_sum|seq_mean|seq_max)_(k[123])")
BOUND: Final = re.compile(r"(?:\d+(?:\.\d*)?_)?\d+(?:\.\d*)?")
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
    """Lowest and highest weight; without a lowest one weights are limited from above."""
    weights: str = ""
    """token | sequence"""
    normalizes: bool = False
    rejections: tuple[Rejection, ...] = ()

    @property
    def is_own(self) -> bool:
        """Say whether no loss of the server computes it."""
        is_special = self.weights == "sequence" or self.normalizes or bool(self.bounds[0])
        return bool(self.rejections) or is_special


def plan_correction(settings: Settings, mode: str, *, reused: bool) -> Correction:
    """Decide the options of the correction.

    Args:
        settings: of the launch.
        mode: the loss that is asked for; that of `bypass_mode` can be named itself.
        reused: samples are trained on after the policy has changed.

    Raises:
        Blocked: weights or rejections follow a rule that is not one of 0.9's.
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
    if kind not in {"ppo_clip", "reinforce"}:
        raise Blocked("MM349", f"`{PREFIX}.loss_type={kind}` is neither ppo_clip nor reinforce")
    if not reused:
        # The policy has not moved: every weight is 1, and nothing is left out.
        for key in list(settings.given):
            if key.startswith(f"{PREFIX}.") and id(settings.given[key]) not in settings.decided:
                settings.exact(key, "nothing", "samples are used once, so the ratio is 1")
        return Correction(kind="vanilla" if kind == "ppo_clip" else "gpg")
    rejections = _plan_rejections(settings)
    level = settings.known(f"{PREFIX}.rollout_is")
    if kind == "ppo_clip" or level is None:
        for name in ("rollout_is", "rollout_is_threshold", "rollout_is_batch_normalize"):
            settings.exact(f"{PREFIX}.{name}", "nothing", "this loss has no weights")
        return Correction(kind="vanilla" if kind == "ppo_clip" else "gpg", rejections=rejections)
    return _plan_weights(settings, str(level), rejections)


def _plan_rejections(settings: Settings) -> tuple[Rejection, ...]:
    """Return by what tokens or responses are left out.

    Raises:
        Blocked: it is not one of the estimates of this release.
    """
    key, bounds = f"{PREFIX}.rollout_rs", f"{PREFIX}.rollout_rs_threshold"
    names = [name.strip() for name in str(settings.known(key) or "").split(",") if name.strip()]
    if not names:
        for name in (key, bounds):
            settings.exact(name, "nothing", "nothing is left out")
        return ()
    texts = [text.strip() for text in str(settings.known(bounds)).split(",")]
    texts = texts * len(names) if len(texts) == 1 else texts
    found = [RULE.fullmatch(name) for name in names]
    if not all(found) or len(texts) != len(names) or not all(BOUND.fullmatch(t) for t in texts):
        raise Blocked(
            "MM344",
            f"`{key}={','.join(names)}` with `{bounds}={','.join(texts)}` is not a rule that the "
            "result can follow: it knows token, seq_sum, seq_mean and seq_max with k1, k2 or k3",
        )
    for name in (key, bounds):
        settings.exact(name, "policy_loss")
    return tuple(
        _rejection(name, match.group(1), match.group(2), text)
        for name, match, text in zip(names, found, texts, strict=True)
        if match is not None
    )


def _rejection(name: str, level: str, estimate: str, text: str) -> Rejection:
    low, _, high = text.rpartition("_")
    return Rejection(
        name=name,
        level=level.removeprefix("seq_"),
        estimate=estimate,
        low=float(low) if low else 1.0 / float(high),
        high=float(high),
    )


def _plan_weights(settings: Settings, level: str, rejections: tuple[Rejection, ...]) -> Correction:
    """Return REINFORCE with weights for how far the policy has moved."""
    key = f"{PREFIX}.rollout_is_threshold"
    text = str(settings.known(key) or 2.0)
    if level not in {"token", "sequence"} or not BOUND.fullmatch(text):
        raise Blocked("MM344", f"`{PREFIX}.rollout_is={level}` with `{key}={text}` is no weight")
    low, _, high = text.rpartition("_")
    settings.exact(f"{PREFIX}.rollout_is", "policy_loss")
    normalizes = bool(settings.known(f"{PREFIX}.rollout_is_batch_normalize"))
    settings.exact(f"{PREFIX}.rollout_is_batch_normalize", "policy_loss")
    if normalizes:
        settings.differ(
            f"{PREFIX}.rollout_is_batch_normalize",
            "MM310",
            "weights have mean 1 over a step; the original normalizes those of a micro-batch",
            "policy_loss",
        )
    bounds = ("", settings.add_field("rollout_is_threshold", high, "float"))
    if low:
        bounds = (settings.add_field("rollout_is_lowest", low, "float"), bounds[1])
    settings.exact(key, "config.rollout_is_threshold")
    return Correction(
        kind="corrected",
        bounds=bounds,
        weights=level,
        normalizes=normalizes,
        rejections=rejections,
    )
