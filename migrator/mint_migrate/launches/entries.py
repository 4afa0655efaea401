"""The entry points of frameworks whose trainings are described by options alone.

A copy of an entry point has a name of its own; it is recognized by the options that it is given.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

_VERL = {
    "verl.trainer.main_ppo": "main_ppo",
    "verl.trainer.main_ppo_v0": "main_ppo",
    "verl.trainer.main_ppo_sync": "main_ppo",
    "verl.trainer.fsdp_sft_trainer": "fsdp_sft_trainer",
    "verl.trainer.sft_trainer": "sft_trainer",
    "verl.trainer.sft_trainer_ray": "sft_trainer",
    "verl.trainer.main_generation": "main_generation",
    "verl.trainer.main_generation_server": "main_generation",
    "verl.trainer.main_eval": "main_eval",
    "recipe.dapo.main_dapo": "main_dapo",
    "recipe.dapo.src.main_dapo": "main_dapo",
    "dapo.main_dapo": "main_dapo",
}
_ELSEWHERE = re.compile(r"(?:^|\.)(?:recipe\.(?!dapo\.|entropy\.|r1\.)|verl\.experimental\.)\w+\.")
"""Recipes of verl that train by rules of their own."""
_TRAINER = re.compile(r"(?:^|\.)verl\.trainer\.\w+$")
"""Entry points that only some copy of verl has, with options of its own."""
_OPENRLHF = (
    "train_ppo_ray",
    "train_ppo",
    "train_sft",
    "train_dpo",
    "train_rm",
    "train_kto",
    "train_kd",
    "train_prm",
)
"""Names of its commands; one that starts like another stands before it."""
_RL_KEY = re.compile(r"[+~]*(?:actor_rollout_ref|algorithm|critic|data|reward_model|trainer)\.")
_SFT_KEY = re.compile(r"[+~]*(?:data|model|optim|trainer)\.")
_OTHER_KEY = re.compile(r"[+~]*(?:actor_rollout_ref|algorithm|critic|reward_model|worker)\.")
"""Options that no supervised training has."""
_FEW = 3
"""Options of a framework that tell a copy of its entry point from another program."""
_MARKS = frozenset(
    {
        "actor_num_gpus_per_node",
        "micro_rollout_batch_size",
        "micro_train_batch_size",
        "pretrain",
        "prompt_data",
        "rollout_batch_size",
        "train_batch_size",
        "vllm_num_engines",
        "zero_stage",
        "actor.model_name_or_path",
        "actor.num_gpus_per_node",
        "data.prompt_dataset",
        "ds.zero_stage",
        "model.model_name_or_path",
        "rollout.batch_size",
        "train.batch_size",
        "train.micro_batch_size",
        "vllm.num_engines",
    }
)
"""Options by which OpenRLHF's commands are told from others of the same name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recognized:
    """A framework, its entry point, and whether a copy of that is started."""

    framework: str
    entry: str
    is_copy: bool = False


def rows_of(framework: str, entry: str) -> str:
    """Return what the names of the rows of an entry point's options begin with."""
    if framework == "verl" and entry in {"main_generation", "main_eval"}:
        return "verl.generation_config"
    if framework == "verl" and entry in {"fsdp_sft_trainer", "sft_trainer"}:
        return "verl.sft_config"
    return "verl.config" if framework == "verl" else f"{framework}.{entry}"


def entry_of(text: str, arguments: Iterable[str], *, is_module: bool) -> Recognized | None:
    """Return the entry point that a command starts, None where it starts something else.

    Args:
        text: module, or path of a script.
        arguments: the known starts of the words behind it.
        is_module: whether *text* is a module.
    """
    module = text if is_module else text.removesuffix(".py").replace("/", ".").lstrip(".")
    for name, entry in _VERL.items():
        if module == name or module.endswith(f".{name}"):
            return Recognized(framework="verl", entry=entry)
    stem = module.rpartition(".")[2]
    is_openrlhf = module.startswith("openrlhf.") or ".openrlhf." in module
    if is_openrlhf and stem in _OPENRLHF:
        return Recognized(framework="openrlhf", entry=stem)
    if _ELSEWHERE.search(module):
        return Recognized(framework="verl", entry=".".join(module.split(".")[-2:]))
    copied = _copy_of(stem, list(arguments), is_openrlhf=is_openrlhf)
    if copied is None and _TRAINER.search(module):
        return Recognized(framework="verl", entry=f"trainer.{stem}")
    return copied


def _copy_of(stem: str, arguments: list[str], *, is_openrlhf: bool) -> Recognized | None:
    keys = [argument for argument in arguments if re.match(r"[+~]*[\w.@/]+=", argument)]
    of_rl = [key for key in keys if _RL_KEY.match(key)]
    if len(of_rl) >= _FEW and any("actor_rollout_ref." in key for key in of_rl):
        entry = "main_dapo" if "dapo" in stem else "main_ppo"
        return Recognized(framework="verl", entry=entry, is_copy=True)
    of_sft = [key for key in keys if _SFT_KEY.match(key)]
    is_other = any(_OTHER_KEY.match(key) for key in keys)
    has_model = any(key.lstrip("+~").startswith(("model.", "optim.")) for key in of_sft)
    has_rows = any(key.startswith("data.train_files=") for key in of_sft)
    if len(of_sft) > _FEW and has_rows and has_model and not is_other:
        is_old = any("partial_pretrain" in key for key in of_sft)
        entry = "fsdp_sft_trainer" if is_old else "sft_trainer"
        return Recognized(framework="verl", entry=entry, is_copy=True)
    flags = {
        argument[2:].partition("=")[0].replace("-", "_")
        for argument in arguments
        if argument.startswith("--")
    }
    name = next((name for name in _OPENRLHF if stem.startswith(name)), None)
    if name is not None and (is_openrlhf or len(flags & _MARKS) >= _FEW):
        return Recognized(framework="openrlhf", entry=name, is_copy=True)
    return None
