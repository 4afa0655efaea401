"""Rules: the model and its adapter."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from mint_migrate.rules.launched.settings import Settings

READS_IMAGES = re.compile(r"(?i)[-_/\d](?:vl|vision|llava|internvl|minicpm-?[ov])(?:[-_\d]|$)")
"""Names of models that read images as well as text."""
FULL_FINETUNING_RANK = 32
SERVER_ALPHA = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelKeys:
    """What the options of the model are called."""

    path: str
    rank: str
    alpha: str
    targets: str


RL_MODEL = ModelKeys(
    path="actor_rollout_ref.model.path",
    rank="actor_rollout_ref.model.lora_rank",
    alpha="actor_rollout_ref.model.lora_alpha",
    targets="actor_rollout_ref.model.target_modules",
)


def plan_model(settings: Settings, keys: ModelKeys) -> None:
    """Decide the model, the rank of its adapter, and what the adapter trains."""
    settings.use(keys.path, "model", kind="str", comment="a name that the server knows")
    path = settings.value(keys.path).data
    if isinstance(path, str) and READS_IMAGES.search(path):
        settings.manual(
            keys.path, "MM313", "the model reads images; those of the rows are not trained on"
        )
    keys = _that_count(settings, keys)
    rank = settings.value(keys.rank)
    if rank.is_known and not rank.data:
        settings.add_field("lora_rank", str(FULL_FINETUNING_RANK), "int")
        settings.differ(
            keys.rank,
            "MM314",
            f"all weights were trained; MinT trains a LoRA adapter of rank {FULL_FINETUNING_RANK}, "
            "which usually wants a learning rate 10 to 20 times as high",
            "config.lora_rank",
        )
        for key in (keys.alpha, keys.targets):
            settings.exact(key, "nothing", "there was no adapter")
        return
    settings.use(keys.rank, "lora_rank")
    alpha = settings.value(keys.alpha)
    if alpha.data == SERVER_ALPHA:
        settings.exact(keys.alpha, "the server's")
    else:
        settings.differ(
            keys.alpha,
            "MM205",
            f"LoRA alpha is {alpha.text} in the original and {SERVER_ALPHA} on the server",
        )
    if settings.value(keys.targets).data == "all-linear":
        settings.exact(keys.targets, "create_lora_training_client(...)")


def _that_count(settings: Settings, keys: ModelKeys) -> ModelKeys:
    """Return the names of an adapter's options: those of Megatron where only they make one."""
    prefix = keys.rank.removesuffix("lora_rank")
    if settings.value(keys.rank).data or not settings.is_given(f"{prefix}lora.rank"):
        return keys
    return replace(
        keys,
        rank=f"{prefix}lora.rank",
        alpha=f"{prefix}lora.alpha",
        targets=f"{prefix}lora.target_modules",
    )
