"""Rules: the policy's loss, and how a rollout becomes optimizer steps.

Source: OpenRLHF `models/loss.py`, `utils/loss_utils.py` and `trainer/ray/ppo_actor.py` (0.6.4,
0.8.5, 0.9.1, 0.10.4, 0.11.2).
"""

from __future__ import annotations

from mint_migrate.model.openrlhf_script import Divergence, LossScript, UpdatesScript
from mint_migrate.rules.launched.settings import Settings
from mint_migrate.rules.openrlhf.options import fact, field_of, switch

OFF = (0, 0.0, None)


def plan_loss(settings: Settings, divergence: Divergence | None) -> LossScript:
    """Decide the options of the policy's loss."""
    kind = str(settings.known("policy_loss_type") or "ppo")
    settings.exact("policy_loss_type", "policy_loss")
    has_dual = settings.value("dual_clip").data is not None
    if has_dual:
        settings.use("dual_clip", kind="float")
    if settings.value("entropy_loss_coef").data not in OFF:
        settings.manual(
            "entropy_loss_coef",
            "MM402",
            "the entropy of the policy is not available; choose a higher temperature or leave the "
            "bonus out",
        )
    if settings.value("aux_loss_coef").data not in OFF:
        settings.differ(
            "aux_loss_coef", "MM239", "the loss that balances experts is left out", "nothing"
        )
    over_tokens = _aggregation(settings)
    mode = settings.value("actor.loss_agg_mode").data
    by_response = kind == "gspo" or mode == "seq-mean-token-mean"
    settings.exact("actor.loss_agg_mode", "token_shares")
    return LossScript(
        kind=kind,
        bounds=_plan_bounds(settings),
        aggregation="response" if by_response else over_tokens,
        dual_clip=has_dual,
        bounds_ratio=fact(settings, "log_ratio_bound") is not None,
        divergence=divergence,
        divergence_aggregation=_divergence_aggregation(settings, over_tokens),
    )


def _plan_bounds(settings: Settings) -> tuple[str, str]:
    if settings.value("eps_clip_low_high").data is not None:
        settings.use("eps_clip_low_high", kind="list")
        settings.exact("eps_clip", "nothing", "--eps_clip_low_high takes its place")
        return "config.eps_clip_low_high[0]", "config.eps_clip_low_high[1]"
    bound = field_of(settings, "eps_clip", "0.2", "float")
    return bound, bound


def _aggregation(settings: Settings) -> str:
    """Return what the loss is a mean over: step | micro_batch | response."""
    is_packed = switch(settings, "packing_samples", "token_shares")
    over = fact(settings, "policy_loss_mean_packed" if is_packed else "policy_loss_mean")
    by_length = switch(settings, "use_dynamic_batch", "token_shares")
    if by_length:
        within = ", and takes the loss within them" if over == "micro_batch" else ""
        settings.differ(
            "use_dynamic_batch",
            "MM235",
            "responses are shuffled before they are divided into steps, and the loss is the mean "
            "over the tokens of one; the original keeps their order where it fills micro-batches "
            f"by length{within}",
            "token_shares",
        )
    if over in {"update", "sequences"} or by_length:
        settings.exact("micro_train_batch_size", "token_shares")
        return "response" if over == "sequences" and not by_length else "step"
    return _by_micro_batches(settings, of_all=over == "micro_batch_of_all")


def _by_micro_batches(settings: Settings, *, of_all: bool) -> str:
    """Return micro_batch, or response where each micro-batch is one."""
    key = "micro_train_batch_size"
    is_single = settings.value(key).data == 1
    if not is_single:
        field_of(settings, key, "1", "int", comment="samples averaged together")
    settings.exact(key, "token_shares")
    if of_all:
        settings.differ(
            key,
            "MM417",
            "the loss is averaged over the tokens of a process's micro-batch; this release does so "
            "over those of all processes together",
            "token_shares",
        )
    return "response" if is_single else "micro_batch"


def _divergence_aggregation(settings: Settings, over_tokens: str) -> str:
    return "response" if fact(settings, "kl_loss_mean") == "sequences" else over_tokens


def plan_updates(settings: Settings, *, is_ragged: bool) -> UpdatesScript:
    """Decide how many optimizer steps a rollout gives.

    Args:
        settings: the options of the launch.
        is_ragged: a rollout may have fewer prompts than asked for.
    """
    keys = ("rollout_batch_size", "n_samples_per_prompt", "train_batch_size")
    field_of(settings, "train_batch_size", "128", "int", comment="samples of an optimizer step")
    field_of(settings, "max_epochs", "1", "int", comment="times a rollout is trained on")
    field_of(settings, "num_episodes", "1", "int", comment="times all prompts are drawn")
    prompts, repeats, samples = (settings.value(key) for key in keys)
    fills = (
        all(isinstance(item.data, int) for item in (prompts, repeats, samples))
        and (prompts.data * repeats.data) % samples.data == 0
    )
    return UpdatesScript(fills=fills and not is_ragged)
