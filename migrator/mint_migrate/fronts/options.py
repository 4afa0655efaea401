"""Which part of a `trl` command an option belongs to: data, model, adapter, trainer or launcher."""

from __future__ import annotations

from enum import StrEnum

from mint_migrate.tables.lookup import Tables


class Part(StrEnum):
    """What reads an option."""

    DATA = "data"
    ADAPTER = "adapter"
    LOADING = "loading"
    REWARD = "reward"
    CONFIG = "config"
    FILE = "file"
    """The options themselves: a file with more of them, and variables that such a file sets."""
    LAUNCHER = "launcher"


ADAPTER = {
    "lora_r": "r",
    "lora_alpha": "lora_alpha",
    "lora_dropout": "lora_dropout",
    "lora_target_modules": "target_modules",
    "lora_target_parameters": "target_parameters",
    "lora_modules_to_save": "modules_to_save",
    "lora_task_type": "task_type",
    "use_rslora": "use_rslora",
    "use_dora": "use_dora",
    "peft_lora_r": "r",
    "peft_lora_alpha": "lora_alpha",
}
"""Options of the adapter, with the argument of `LoraConfig` that TRL hands them to."""
ADAPTER_DEFAULTS = {
    "r": "16",
    "lora_alpha": "32",
    "lora_dropout": "0.05",
    "task_type": '"CAUSAL_LM"',
}
"""What TRL's `ModelConfig` gives `LoraConfig`, whose own defaults are others."""
_MODEL = "transformers.AutoModelForCausalLM.from_pretrained"
_QUANTIZATION = "transformers.BitsAndBytesConfig"
LOADING = {
    "attn_implementation": f"{_MODEL}.attn_implementation",
    "bnb_4bit_quant_storage": f"{_QUANTIZATION}.bnb_4bit_quant_storage",
    "bnb_4bit_quant_type": f"{_QUANTIZATION}.bnb_4bit_quant_type",
    "dtype": f"{_MODEL}.dtype",
    "load_in_4bit": f"{_MODEL}.load_in_4bit",
    "load_in_8bit": f"{_MODEL}.load_in_8bit",
    "model_revision": f"{_MODEL}.revision",
    "torch_dtype": f"{_MODEL}.torch_dtype",
    "trust_remote_code": f"{_MODEL}.trust_remote_code",
    "use_bnb_nested_quant": f"{_QUANTIZATION}.bnb_4bit_use_double_quant",
}
"""Options of loading the model, with the rows that decide them where `ModelConfig` has none."""
DATA = frozenset(
    {
        "dataset_config",
        "dataset_name",
        "dataset_streaming",
        "dataset_test_split",
        "dataset_train_split",
        "datasets",
        "streaming",
        "test_split_size",
    }
)
REWARDS = frozenset({"reward_funcs", "reward_model_name_or_path"})
_GROUPS = ("fsdp", "fp8", "megatron_lm", "parallelism_config")


def part_of(name: str, owner: str, tables: Tables) -> Part:
    """Return the part of a command that reads the option *name*; *owner* is its configuration."""
    if name in DATA:
        return Part.DATA
    if name in {"config", "env"}:
        return Part.FILE
    if name in ADAPTER or name == "use_peft":
        return Part.ADAPTER
    if name in REWARDS and not owner.endswith((".SFTConfig", ".DPOConfig")):
        return Part.REWARD
    if name in LOADING and tables.config_row(owner, name) is None:
        return Part.LOADING
    if f"transformers.TrainingArguments.{name}" in tables or f"{owner}.{name}" in tables:
        return Part.CONFIG
    return Part.LAUNCHER if tables.row(launcher_row("accelerate", name)) else Part.CONFIG


def launcher_row(launcher: str, name: str) -> str:
    """Return the id under which the tables know an option of a launcher."""
    if launcher != "accelerate":
        short = {"H": "hostfile", "i": "include", "e": "exclude", "m": "module", "q": "quiet"}
        known = short.get(name, name)
        return f"torchrun.{known}" if launcher == "torchrun" else f"deepspeed.launch.{known}"
    for group in _GROUPS:
        if name.startswith(f"{group}_") and name != f"{group}_config":
            return f"accelerate.launch.{group}.{name.removeprefix(f'{group}_')}"
    return f"accelerate.launch.{'module' if name == 'm' else name}"
