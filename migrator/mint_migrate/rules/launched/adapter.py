"""Rules: the rank and the alpha of the adapter, whatever a framework calls them."""

from __future__ import annotations

from mint_migrate.rules.launched.settings import Settings

FULL_FINETUNING_RANK = 32
SERVER_ALPHA = 32


def plan_rank(settings: Settings, rank: str, others: tuple[str, ...], code: str) -> bool:
    """Decide the rank; return whether the original trains an adapter.

    Args:
        settings: the options of the launch.
        rank: option of the rank, 0 where all weights are trained.
        others: further options of the adapter, which mean nothing without one.
        code: reason for an adapter in place of all weights.
    """
    given = settings.value(rank)
    if not given.is_known or given.data:
        settings.use(rank, "lora_rank", kind="int")
        return True
    settings.add_field("lora_rank", str(FULL_FINETUNING_RANK), "int")
    settings.differ(
        rank,
        code,
        f"all weights were trained; MinT trains a LoRA adapter of rank {FULL_FINETUNING_RANK}, "
        "which usually wants a learning rate 10 to 20 times as high",
        "config.lora_rank",
    )
    for key in others:
        settings.exact(key, "nothing", "there was no adapter")
    return False


def plan_alpha(settings: Settings, alpha: str) -> None:
    """Decide the alpha, which is the server's."""
    given = settings.value(alpha)
    if given.data == SERVER_ALPHA:
        settings.exact(alpha, "the server's")
        return
    settings.differ(
        alpha,
        "MM205",
        f"LoRA alpha is {given.text} in the original and {SERVER_ALPHA} on the server",
    )
