"""Make the original's trainable parameters something the target can hold: one plain LoRA adapter.

An original that trains plain LoRA is left as it is, rank, alpha and target modules included. Full
fine-tuning and LoRA variants without a counterpart are replaced by a LoRA of the target's shape on
every linear layer but the head.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import re
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


_TRAINER = re.compile(r"\b\w+Trainer\b")
_EXPERIMENTAL = re.compile(r"\btrl\.experimental\.(\w+)")


def align_trainers(spec: ChildSpec) -> None:
    """Make every TRL trainer that the script names end up with one plain LoRA adapter."""
    for trainer_class in _named_trainers(_text_beside(Path(spec.script))):
        _align_class(trainer_class, spec)


def _text_beside(script: Path) -> str:
    """Return the text of a script and of the modules in its folder, which it may import."""
    files = sorted({script, *script.parent.glob("*.py")})
    return "\n".join(file.read_text(encoding="utf-8", errors="replace") for file in files)


def _named_trainers(text: str) -> list[Any]:
    """Return the classes of TRL that a text names; importing them all would take seconds."""
    packages = ["trl", *(f"trl.experimental.{name}" for name in _EXPERIMENTAL.findall(text))]
    found: dict[int, Any] = {}
    for package in dict.fromkeys(packages):
        try:
            module = importlib.import_module(package)
        except ImportError:
            continue  # the script says it better, if it gets there
        for name in sorted(set(_TRAINER.findall(text))):
            trainer_class = getattr(module, name, None)
            if inspect.isclass(trainer_class) and _takes_adapter(trainer_class):
                found[id(trainer_class)] = trainer_class
    return list(found.values())


def _takes_adapter(trainer_class: Any) -> bool:
    return "peft_config" in inspect.signature(trainer_class.__init__).parameters


def _align_class(trainer_class: Any, spec: ChildSpec) -> None:
    """Wrap the constructor of one class."""
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
