"""Rules: the model and its adapter."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from mint_migrate.rules.launched.adapter import plan_alpha, plan_rank
from mint_migrate.rules.launched.settings import Settings

READS_IMAGES = re.compile(r"(?i)[-_/\d](?:vl|vision|llava|internvl|minicpm-?[ov])(?:[-_\d]|$)")
"""Names of models that read images as well as text."""


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
    if not plan_rank(settings, keys.rank, (keys.alpha, keys.targets), "MM314"):
        return
    plan_alpha(settings, keys.alpha)
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
