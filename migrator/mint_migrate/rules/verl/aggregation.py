"""Rules: what one token counts in the loss of a step.

Source: verl `agg_loss` of `trainer/ppo/core_algos.py`, and who calls it: to 0.7
`workers/actor/dp_actor.py`, one micro-batch after the other; since then
`workers/engine/fsdp/transformer_impl.py`, with the sizes of the whole step.
"""

from __future__ import annotations

from typing import Final

from mint_migrate.rules.base import Blocked
from mint_migrate.rules.launched.settings import Settings

ACTOR: Final = "actor_rollout_ref.actor"
KEY: Final = f"{ACTOR}.loss_agg_mode"
FACTOR: Final = f"{ACTOR}.loss_scale_factor"
WORKERS: Final = "trainer.use_legacy_worker_impl"
MODES: Final = (
    *("token-mean", "token-sum", "seq-mean-token-sum", "seq-mean-token-mean"),
    "seq-mean-token-sum-norm",
)


def sees_whole_steps(settings: Settings) -> bool:
    """Say whether the release divides by sizes of the step, not of each micro-batch."""
    over = settings.tables.fact("verl_token_mean", settings.version).value
    is_chosen = settings.value(WORKERS).data == "disable"
    return is_chosen or over == "mini-batch"


def plan_aggregation(settings: Settings) -> tuple[str, str]:
    """Return the mode and the expression that `seq-mean-token-sum-norm` divides by.

    Raises:
        Blocked: it is not a mode of verl.
    """
    mode = str(settings.known(KEY) or "token-mean")
    if mode not in MODES:
        raise Blocked("MM349", f"`{KEY}={mode}` is none of {', '.join(MODES)}")
    settings.exact(KEY, "token_shares")
    settings.exact(WORKERS, "token_shares", "it decides over what the loss is a mean")
    if mode == "token-mean" and not sees_whole_steps(settings) and not _is_one_batch(settings):
        settings.differ(
            KEY,
            "MM310",
            f"the loss is the mean over the tokens of a step; verl {settings.version} takes the "
            "mean of each micro-batch of each GPU and averages those, so tokens of a micro-batch "
            "of short responses count more",
            "token_shares",
        )
    if mode != "seq-mean-token-sum-norm":
        settings.exact(FACTOR, "nothing", f"`{mode}` does not read it")
        return mode, ""
    return mode, _plan_horizon(settings)


def _plan_horizon(settings: Settings) -> str:
    if settings.value(FACTOR).data is not None:
        horizon = settings.use(FACTOR)
    else:
        horizon = "config.max_response_length"
        settings.exact(FACTOR, horizon, "the longest response allowed")
        if settings.value("trainer.use_v1").data:
            settings.differ(
                FACTOR,
                "MM347",
                "the loss is divided by the longest response allowed; the original divides by the "
                "longest of each micro-batch",
                horizon,
            )
    if settings.tables.fact("verl_sequence_sum_norm", settings.version).value == "mean":
        return horizon
    # These releases sum over the responses of a micro-batch and average over micro-batches.
    size = settings.value(f"{ACTOR}.ppo_micro_batch_size_per_gpu")
    if size.data is None or settings.value(f"{ACTOR}.use_dynamic_bsz").data:
        settings.differ(
            KEY,
            "MM310",
            f"the loss is averaged over responses; verl {settings.version} sums over those of a "
            "micro-batch, whose number the options do not show",
            "token_shares",
        )
        return horizon
    name = settings.use(f"{ACTOR}.ppo_micro_batch_size_per_gpu", "micro_batch_size")
    return f"{horizon} / {name}"


def _is_one_batch(settings: Settings) -> bool:
    """Say whether a step is one micro-batch of one GPU."""
    gpus = [settings.value(f"trainer.{name}").data for name in ("nnodes", "n_gpus_per_node")]
    sizes = [
        settings.value(key).data
        for key in (
            f"{ACTOR}.ppo_mini_batch_size",
            "actor_rollout_ref.rollout.n",
            f"{ACTOR}.ppo_micro_batch_size_per_gpu",
        )
    ]
    if gpus != [1, 1] or not all(isinstance(size, int) for size in sizes):
        return False
    prompts, responses, micro_batch = sizes
    is_dynamic = settings.value(f"{ACTOR}.use_dynamic_bsz").data
    return not is_dynamic and bool(prompts * responses <= micro_batch)
