"""The entry points of frameworks whose trainings are described by options alone."""

from __future__ import annotations

_VERL = {
    "verl.trainer.main_ppo": "main_ppo",
    "verl.trainer.fsdp_sft_trainer": "fsdp_sft_trainer",
    "verl.trainer.sft_trainer": "sft_trainer",
    "verl.trainer.sft_trainer_ray": "sft_trainer",
    "recipe.dapo.main_dapo": "main_dapo",
}
_OPENRLHF = frozenset(
    {
        *("train_ppo_ray", "train_ppo", "train_sft", "train_dpo", "train_rm", "train_kto"),
        *("train_kd", "train_prm"),
    }
)


def entry_of(text: str, *, is_module: bool) -> tuple[str, str] | None:
    """Return framework and entry point of a module or script path, None where it is neither."""
    module = text if is_module else text.removesuffix(".py").replace("/", ".").lstrip(".")
    for name, entry in _VERL.items():
        if module == name or module.endswith(f".{name}"):
            return "verl", entry
    stem = module.rpartition(".")[2]
    if stem in _OPENRLHF and (module.startswith("openrlhf.") or ".openrlhf." in module):
        return "openrlhf", stem
    return None
