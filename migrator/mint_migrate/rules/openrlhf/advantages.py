"""Rules: from scores to advantages.

Source: OpenRLHF `trainer/ppo_utils/experience_maker.py` and `models/utils.py` (0.6.4, 0.9.1,
0.11.2), `trainer/ray/ppo_actor.py` (0.6.4).
"""

from __future__ import annotations

from mint_migrate.model.openrlhf_script import AdvantagesScript, Divergence
from mint_migrate.model.plan import Fidelity
from mint_migrate.rules.base import Blocked
from mint_migrate.rules.launched.settings import Settings
from mint_migrate.rules.openrlhf.options import fact, field_of, is_positive, switch

ESTIMATORS = frozenset(
    {"reinforce", "rloo", "reinforce_baseline", "group_norm", "dr_grpo", "flash_reinforce"}
)


def plan_advantages(settings: Settings) -> AdvantagesScript:
    """Decide the options of the advantages.

    Raises:
        Blocked: they need a critic.
    """
    estimator = _plan_estimator(settings)
    whitened = str(fact(settings, "whitened_estimators"))
    whitens = whitened == "every" or estimator in whitened.split()
    scales = not switch(settings, "no_advantage_std_norm", "whiten" if whitens else "nothing")
    if is_positive(settings, "freezing_actor_steps"):
        settings.differ(
            "freezing_actor_steps",
            "MM401",
            "the policy trains from the first rollout on; there is no critic to wait for",
            "train",
        )
    field_of(settings, "reward_clip_range", "[-10.0, 10.0]", "list")
    return AdvantagesScript(
        estimator=estimator, whitens=whitens, scales=scales, gamma=_plan_gamma(settings, estimator)
    )


def _plan_estimator(settings: Settings) -> str:
    estimator = settings.known("advantage_estimator") or "gae"
    if estimator in ESTIMATORS:
        settings.exact("advantage_estimator", "compute_advantages")
        settings.exact("critic_pretrain", "nothing", "this estimator has no critic")
        return str(estimator)
    if estimator != "gae":
        raise Blocked("MM406", f"`{estimator}` is no advantage estimator of OpenRLHF")
    if not settings.critic_free:
        raise Blocked(
            "MM401",
            "advantages come from a critic (`gae`, the default), which MinT does not train; name "
            "another --advantage_estimator, or convert with `--ppo critic-free`",
        )
    has_group = settings.value("n_samples_per_prompt").data not in {1, None}
    instead = "reinforce_baseline" if has_group else "reinforce"
    settings.differ(
        "advantage_estimator",
        "MM401",
        f"another algorithm, asked for with --ppo critic-free: `{instead}` in place of the critic",
        "compute_advantages",
    )
    return instead


def _plan_gamma(settings: Settings, estimator: str) -> str:
    """Return the expression of the discount, empty where it is 1."""
    if estimator == "reinforce" and settings.value("gamma").data not in {1, None}:
        return settings.use("gamma", kind="float")
    settings.exact("gamma", "nothing", "this estimator has no discount")
    settings.exact("lambd", "nothing", "there is no critic")
    return ""


def plan_divergence(settings: Settings) -> tuple[Divergence | None, Divergence | None]:
    """Return the divergence that is taken from the rewards, and the one in the loss."""
    if not is_positive(settings, "init_kl_coef") and settings.value("init_kl_coef").data == 0:
        for key in ("init_kl_coef", "kl_estimator", "use_kl_estimator_k3", "use_kl_loss"):
            settings.exact(key, "nothing", "nothing holds the policy near a reference")
        return None, None
    field_of(settings, "init_kl_coef", "0.01", "float")
    estimator = settings.known("kl_estimator") or "k1"
    settings.exact("kl_estimator", "penalize_divergence")
    if switch(settings, "use_kl_estimator_k3", "penalize_divergence"):
        estimator = "k3"
    unbiased = switch(settings, "algo.kl.unbiased_gradient", "policy_loss")
    in_loss = switch(settings, "use_kl_loss", "policy_loss")
    if in_loss and _has_no_gradient(settings):
        return None, None
    divergence = Divergence(
        estimator=str(estimator),
        clamps=fact(settings, "kl_bound") is not None,
        bounds_exponent=estimator == "k3" and fact(settings, "k3_exponent_bound") is not None,
        unbiased=in_loss and unbiased,
    )
    return (None, divergence) if in_loss else (divergence, None)


def _has_no_gradient(settings: Settings) -> bool:
    """Say whether the release adds a divergence to the loss that moves nothing."""
    is_packed = settings.value("packing_samples").data is True
    if not is_packed or fact(settings, "kl_loss_has_gradient_when_packed"):
        return False
    settings.differ(
        "use_kl_loss",
        "MM423",
        "the divergence is left out: in this release it has no gradient where samples are packed",
        "nothing",
    )
    return True


def plan_target(settings: Settings, in_reward: Divergence | None) -> bool:
    """Say whether the weight of the divergence follows a target."""
    if settings.value("kl_target").data is None:
        settings.exact("kl_horizon", "nothing", "the weight is fixed")
        return False
    if in_reward is None:
        settings.differ(
            "kl_target",
            "MM411",
            "the weight of the divergence stays at init_kl_coef; the original moves it towards "
            f"kl_target={settings.value('kl_target').text}",
            "config.init_kl_coef",
        )
        settings.decide(
            "kl_horizon", Fidelity.APPROXIMATE, "MM411", "nothing", "the weight does not move"
        )
        return False
    settings.use("kl_target", kind="float")
    field_of(settings, "kl_horizon", "10000", "int", comment="samples")
    return True
