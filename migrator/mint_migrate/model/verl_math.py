"""Advantages, divergence and policy loss of a converted verl training."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Advantages:
    """How a response is compared with others."""

    estimator: str
    """`algorithm.adv_estimator`; grpo also stands for its vectorized form."""
    scales: bool = True
    """Differences in a group are divided by its standard deviation."""
    may_be_single: bool = True
    """A group can have one response only."""
    gamma: str = "1.0"
    """Discount of later rewards, an expression."""
    components: tuple[str, str] = ("", "")
    """Expressions of the names of the rewards that are normalized apart, and of their weights."""

    @property
    def compares(self) -> bool:
        """Say whether responses to one prompt are compared with each other."""
        return self.estimator not in {"reinforce_plus_plus", "remax"}

    @property
    def whitens(self) -> bool:
        """Say whether advantages get mean 0 and variance 1 over the tokens of the rollout."""
        return self.estimator in {"reinforce_plus_plus", "reinforce_plus_plus_baseline", "gdpo"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Divergence:
    """How far the policy is from the reference, token by token."""

    estimator: str
    """k1 | abs | k2 | k3"""
    weight: str
    """Expression."""
    is_straight: bool = False
    """The value is that of the estimator, the gradient that of k2."""
    adapts: tuple[str, str] = ("", "")
    """Expressions of the divergence that the weight is steered to, and in how many samples."""

    @property
    def is_adaptive(self) -> bool:
        """Say whether the weight changes while training."""
        return bool(self.adapts[0])


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejection:
    """What does not count because the policy has moved too far from it."""

    name: str
    """`rollout_rs`"""
    level: str
    """token | sum | mean | max: of the tokens of a response."""
    estimate: str
    """k1 | k2 | k3"""
    low: float
    """Least ratio; only of k1."""
    high: float
    """Largest ratio of k1, else the largest estimate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyLoss:
    """The loss of one optimizer step, every choice made."""

    kind: str
    """`policy_loss.loss_mode`: vanilla, gspo, sapo, gpg, clip_cov, kl_cov, geo_mean, cispo, dro,
    dppo_tv, dppo_kl; linear: what is left of vanilla and gspo where the ratio is 1; corrected:
    REINFORCE with limited importance weights.
    """
    builtin: str = ""
    """Loss of the server that equals it; empty where the script computes it."""
    bounds: tuple[str, str] = ("", "")
    """What may be lost and gained: of the ratio, of its logarithm or of a probability.

    Expressions of distances, except for `corrected`: there they are ratios, and without a lowest
    one the weights are limited from above, else left out beyond both.
    """
    dual_clip: str = ""
    """Most that a ratio counts where the advantage is negative (or, for dppo, anywhere)."""
    options: dict[str, str]
    """Expressions of what only this loss reads, by the name of the option."""
    weights: str = ""
    """Of `corrected`: token | sequence, what has a weight of its own."""
    normalizes: bool = False
    """The weights have mean 1."""
    rejections: tuple[Rejection, ...] = ()
    aggregation: str = "token-mean"
    """`loss_agg_mode`"""
    averages_responses: bool = False
    """The loss is a mean over responses; the aggregation is that of the divergence."""
    horizon: str = ""
    """Expression that `seq-mean-token-sum-norm` divides by."""
    divergence: Divergence | None = None

    @property
    def needs_shares(self) -> bool:
        """Say whether the aggregation counts at all."""
        if self.divergence is not None:
            return True
        return self.kind != "geo_mean" and not self.averages_responses

    @property
    def thresholds(self) -> dict[str, str]:
        """Return what `loss_fn_config` holds: absolute bounds of the ratio."""
        if self.builtin not in {"ppo", "cispo"}:
            return {}
        low, high = self.bounds
        if self.kind == "corrected":
            return {"clip_low_threshold": "0.0", "clip_high_threshold": high}
        low, high = f"1.0 - {low}", f"1.0 + {high}"
        if self.kind == "cispo":
            # A lower bound below 0 bounds nothing, and is how it is left out.
            low = f"max(0.0, {low})"
        return {"clip_low_threshold": low, "clip_high_threshold": high}


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupFilter:
    """Prompts whose responses are all equal are replaced by others."""

    metric: str
    """Expression of what is compared, of `sample`."""
    name: str
    """Name of the metric in the original."""
    max_batches: str = ""
    """Expression: after so many batches of prompts it is an error; not positive: never."""
    batch_size: str = "config.train_batch_size"
    """Expression of the prompts that are sampled at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlong:
    """Responses close to the longest allowed lose reward."""

    longest: str
    buffer: str
    factor: str
    """Expressions."""
