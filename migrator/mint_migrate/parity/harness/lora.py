"""Make the original's trainable parameters something the target can hold: one plain LoRA adapter.

An original that trains plain LoRA is left as it is, rank, alpha and target modules included. Full
fine-tuning and LoRA variants without a counterpart are replaced by a LoRA of the target's shape on
every linear layer but the head.
"""

from __future__ import annotations

import functools
import importlib
import inspect
from pathlib import Path
from typing import Any

from mint_migrate.parity.harness.spec import ALIGNED, ChildSpec

PLAIN_VALUES: dict[str, tuple[object, ...]] = {
    "use_dora": (False,),
    "use_rslora": (False,),
    "bias": ("none",),
    "rank_pattern": ({}, None),
    "alpha_pattern": ({}, None),
    "modules_to_save": (None, []),
    "trainable_token_indices": (None,),
    "layers_to_transform": (None,),
    "target_parameters": (None, []),
    "init_lora_weights": (True, "gaussian"),
    "lora_bias": (False,),
}
"""Fields of `LoraConfig` and the values with which it only adds `(alpha / r) B A x`."""


def departures(config: Any) -> tuple[str, ...]:
    """Return what keeps an adapter configuration from being plain LoRA, as `field=value` texts."""
    peft = importlib.import_module("peft")
    if type(config) is not peft.LoraConfig:
        return (type(config).__name__,)
    found = [
        f"{field}={getattr(config, field)!r}"
        for field, accepted in PLAIN_VALUES.items()
        if getattr(config, field, accepted[0]) not in accepted
    ]
    targets = config.target_modules
    if isinstance(targets, str):
        touches_head = targets == "lm_head"
    else:
        touches_head = bool({"lm_head", "embed_tokens"} & set(targets or ()))
    return (*found, *(["target_modules with the head or the embedding"] if touches_head else []))


def align_trainers(spec: ChildSpec) -> None:
    """Wrap `SFTTrainer.__init__` so that a trainer always ends up with one plain LoRA adapter."""
    trainer_class = importlib.import_module("trl").SFTTrainer
    original = trainer_class.__init__
    signature = inspect.signature(original)

    @functools.wraps(original)
    def wrapped(self: Any, *args: Any, **kwargs: Any) -> None:
        bound = signature.bind(self, *args, **kwargs)
        bound.arguments.pop("quantization_config", None)
        _align(bound.arguments, spec)
        original(*bound.args, **bound.kwargs)

    trainer_class.__init__ = wrapped


def _align(arguments: dict[str, Any], spec: ChildSpec) -> None:
    """Replace `peft_config`, or set one, where the original does not train plain LoRA."""
    peft = importlib.import_module("peft")
    model: Any = arguments.get("model")
    config: Any = arguments.get("peft_config")
    is_wrapped = isinstance(model, peft.PeftModel)
    current = model.peft_config[model.active_adapter] if is_wrapped else config
    if current is None:
        reason = "the original trains every parameter"
    elif found := departures(current):
        reason = "the original's adapter has " + ", ".join(found)
    else:
        return
    if is_wrapped:
        arguments["model"] = model.unload()
    arguments["peft_config"] = peft.LoraConfig(
        r=spec.lora_rank,
        lora_alpha=spec.lora_alpha,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )
    shape = f"rank {spec.lora_rank}, alpha {spec.lora_alpha}, all linear layers"
    Path(spec.output, ALIGNED).write_text(f"{shape} ({reason})", encoding="utf-8")
