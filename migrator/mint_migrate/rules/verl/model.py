"""Rules: the model and its adapter."""

from __future__ import annotations

from mint_migrate.rules.launched.settings import Settings

FULL_FINETUNING_RANK = 32
SERVER_ALPHA = 32


def plan_model(settings: Settings) -> None:
    """Decide the model, the rank of its adapter, and what the adapter trains."""
    settings.use("actor_rollout_ref.model.path", "model", comment="a name that the server knows")
    rank = settings.value("actor_rollout_ref.model.lora_rank")
    if rank.is_known and not rank.data:
        settings.add_field("lora_rank", str(FULL_FINETUNING_RANK), "int")
        settings.differ(
            "actor_rollout_ref.model.lora_rank",
            "MM314",
            f"all weights were trained; MinT trains a LoRA adapter of rank {FULL_FINETUNING_RANK}, "
            "which usually wants a learning rate 10 to 20 times as high",
            "config.lora_rank",
        )
        settings.exact("actor_rollout_ref.model.lora_alpha", "nothing", "there was no adapter")
        settings.exact("actor_rollout_ref.model.target_modules", "nothing", "there was no adapter")
        return
    settings.use("actor_rollout_ref.model.lora_rank")
    alpha = settings.value("actor_rollout_ref.model.lora_alpha")
    if alpha.data != SERVER_ALPHA:
        settings.differ(
            "actor_rollout_ref.model.lora_alpha",
            "MM205",
            f"LoRA alpha is {alpha.text} in the original and {SERVER_ALPHA} on the server",
        )
    settings.exact("actor_rollout_ref.model.lora_alpha", "the server's")
    if settings.value("actor_rollout_ref.model.target_modules").data == "all-linear":
        settings.exact("actor_rollout_ref.model.target_modules", "create_lora_training_client(...)")
