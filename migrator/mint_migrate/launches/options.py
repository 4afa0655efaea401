"""Which part of a `trl` command an option belongs to: data, model, adapter, trainer or launcher."""

from __future__ import annotations

from enum import StrEnum

from mint_migrate.launches.methods import METHODS
from mint_migrate.tables.lookup import Tables
from mint_migrate.tables.rows import Row


class Part(StrEnum):
    """What reads an option."""

    DATA = "data"
    MODEL = "model"
    ADAPTER = "adapter"
    LOADING = "loading"
    REWARD = "reward"
    SCRIPT = "script"
    """Options of TRL's script that no line of ours stands for."""
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


def option_row(name: str, method: str, tables: Tables) -> Row | None:
    """Return the row of an option of `trl METHOD`, of whatever release."""
    found = tables.flag_row(method, name)
    if found is not None or method in tables.commands:
        return found
    owners = (config_of(method), "trl.ScriptArguments", "trl.ModelConfig")
    rows = (tables.config_row(owner, name) for owner in owners)
    return next((row for row in rows if row is not None), None)


def config_of(method: str) -> str:
    """Return the qualified name of a method's configuration."""
    return f"trl.{METHODS[method]}Config"


def part_of(name: str, method: str, tables: Tables) -> Part:
    """Return the part of the command `trl METHOD` that reads the option *name*."""
    row = option_row(name, method, tables)
    if name in DATA:
        return Part.DATA
    if name in {"config", "env"}:
        return Part.FILE
    if name in ADAPTER or name == "use_peft":
        return Part.ADAPTER
    if row is None or row.id.startswith("trl.cli."):
        return Part.LAUNCHER if tables.row(launcher_row("accelerate", name)) else Part.CONFIG
    if row.id.endswith(tuple(f"Arguments.{each}" for each in REWARDS)):
        return Part.REWARD
    if row.id.startswith("trl.ModelConfig."):
        return Part.MODEL if name == "model_name_or_path" else Part.LOADING
    return Part.SCRIPT if "ScriptArguments." in row.id else Part.CONFIG


def launcher_row(launcher: str, name: str) -> str:
    """Return the id under which the tables know an option of a launcher."""
    if launcher == "ray":
        return f"ray.job.submit.{name}"
    if launcher != "accelerate":
        short = {"H": "hostfile", "i": "include", "e": "exclude", "m": "module", "q": "quiet"}
        known = short.get(name, name)
        return f"torchrun.{known}" if launcher == "torchrun" else f"deepspeed.launch.{known}"
    for group in _GROUPS:
        if name.startswith(f"{group}_") and name != f"{group}_config":
            return f"accelerate.launch.{group}.{name.removeprefix(f'{group}_')}"
    return f"accelerate.launch.{'module' if name == 'm' else name}"
