"""Records the configuration keys of a release of verl: what its trainers' YAML files hold.

An entry point's keys are those of all files that its command can name: `ppo_trainer`, the same for
Megatron and for other engines. Where their defaults differ, the first file's counts, and `variants`
holds what the others have in its place.
"""

from __future__ import annotations

import zipfile
from typing import Any

import yaml

from mint_migrate.tables.compose import OmegaLoader, compose, leaves

FOLDER = "verl/trainer/config"
ENTRIES = {
    "verl.config": (
        *("ppo_trainer", "ppo_megatron_trainer", "ppo_veomni_trainer", "ppo_torchtitan_trainer"),
    ),
    "verl.sft_config": ("sft_trainer", "sft_trainer_engine"),
    "verl.generation_config": ("generation", "evaluation"),
}
"""By prefix of the rows, the files behind it, the one whose defaults count first."""
ENGINES = ("fsdp", "megatron", "veomni", "torchtitan")
"""Choices of the groups `engine` and `optim` of the SFT trainer."""


def record_configs(wheel: zipfile.ZipFile) -> dict[str, Any]:
    """Return by prefix of the rows the keys with their defaults as Python literals."""
    names = set(wheel.namelist())

    def text_of(name: str) -> str:
        return wheel.read(f"{FOLDER}/{name}.yaml").decode()

    found: dict[str, Any] = {}
    for prefix, configs in ENTRIES.items():
        entry: dict[str, Any] = {}
        for config in configs:
            if f"{FOLDER}/_generated_{config}.yaml" in names:
                body = yaml.load(text_of(f"_generated_{config}"), Loader=OmegaLoader)
                _add(entry, config, body)
            elif f"{FOLDER}/{config}.yaml" in names:
                for choices in _choices(config, names):
                    label = "_".join([config, *dict.fromkeys(choices.values())])
                    _add(entry, label, compose(config, text_of, choices))
        if entry:
            found[prefix] = entry
    return found


def _choices(config: str, names: set[str]) -> list[dict[str, str]]:
    """Return the choices of groups with which a configuration is composed."""
    if config != "sft_trainer_engine":
        return [{}]
    return [
        {"engine": engine, "optim": engine}
        for engine in ENGINES
        if {f"{FOLDER}/engine/{engine}.yaml", f"{FOLDER}/optim/{engine}.yaml"} <= names
    ]


def _add(entry: dict[str, Any], label: str, config: dict[str, Any]) -> None:
    """Add the keys of one file to those of its entry point."""
    values = {key: repr(value) for key, value in leaves(config) if not key.endswith("_target_")}
    fields = entry.setdefault("fields", values)
    differing = {key: text for key, text in values.items() if fields.setdefault(key, text) != text}
    if differing:
        entry.setdefault("variants", {})[label] = differing
