"""Adapters as peft writes them: `adapter_model.safetensors` and `adapter_config.json`.

Reading trusts the tensors for which layers are covered and the config for rank and alpha. Only
plain LoRA on linear layers is read (rank-stabilized scaling included); whatever would change the
function and is not understood is refused rather than ignored.

Experts of a mixture are written as linear layers of their own (`...mlp.experts.3.gate_proj`). That
is what vLLM reads, and peft too: it converts these names to the stacked tensors of transformers 5.
peft's own stacked form (`target_parameters`) is not read.

Legend: R rank, I inputs of a layer, O outputs of a layer.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from mint_runtime.errors import UserError
from mint_runtime.model.adapter import Adapter, LoraLayer, LoraPair
from mint_runtime.model.experts import find_uneven_experts
from mint_runtime.model.load import BaseModel

WEIGHTS_FILE = "adapter_model.safetensors"
CONFIG_FILE = "adapter_config.json"
_PREFIX = "base_model.model."
# Options that change what the matrices mean, and the values under which they do not.
_PLAIN: Mapping[str, tuple[object, ...]] = {
    "peft_type": ("LORA",),
    "bias": (None, "none"),
    "use_dora": (None, False),
    "use_qalora": (None, False),
    "fan_in_fan_out": (None, False),
    "lora_bias": (None, False),
    "rank_pattern": (None, {}),
    "alpha_pattern": (None, {}),
    "modules_to_save": (None, []),
    "target_parameters": (None, []),
    "trainable_token_indices": (None, [], {}),
    "alora_invocation_tokens": (None, []),
    "layer_replication": (None, []),
    "use_bdlora": (None, False),
    "arrow_config": (None,),
    "kasa_config": (None,),
    "monteclora_config": (None,),
    "velora_config": (None,),
    # Other starts (pissa, olora, corda, loftq, lora_ga) subtract the adapter from the base weights.
    "init_lora_weights": (None, True, False, "gaussian", "orthogonal", "eva"),
}


def write_adapter(directory: Path, adapter: Adapter, base: BaseModel) -> None:
    """Write both files into an existing folder. The matrices stay float32."""
    tensors = {}
    for name, pair in adapter.pairs.items():
        for letter, matrix in (("A", pair.a_RI), ("B", pair.b_OR)):
            tensors[f"{_PREFIX}{name}.lora_{letter}.weight"] = matrix.detach().cpu().contiguous()
    save_file(tensors, directory / WEIGHTS_FILE, metadata={"format": "pt"})
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base.name,
        "r": adapter.rank,
        "lora_alpha": adapter.alpha,
        "use_rslora": adapter.use_rslora,
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
        "init_lora_weights": True,
        "target_modules": target_modules(adapter.pairs, base.layers),
    }
    (directory / CONFIG_FILE).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def target_modules(covered: Mapping[str, LoraPair], layers: Mapping[str, LoraLayer]) -> list[str]:
    """Return the names that make peft cover exactly these layers: last parts, else full names."""

    def last(name: str) -> str:
        return name.rpartition(".")[2]

    partly = {last(name) for name in layers if name not in covered}
    return sorted({name if last(name) in partly else last(name) for name in covered})


def read_adapter(directory: Path, base: BaseModel) -> Adapter:
    """Read an adapter for `base`; the matrices are fresh and on the model's device.

    Raises:
        UserError: a file is missing or damaged, the LoRA variant is not supported, or a layer does
            not fit the model.
    """
    config = read_config(directory)
    _refuse_variants(directory, config)
    rank, alpha = config.get("r"), config.get("lora_alpha")
    if not isinstance(rank, int) or rank < 1 or not isinstance(alpha, int | float):
        raise UserError(f"{directory / CONFIG_FILE}: `r` is {rank!r} and `lora_alpha` {alpha!r}")
    matrices = _read_matrices(directory, base)
    # In the model's order, so that two adapters over the same layers list their tensors alike.
    pairs = {
        name: _pair(directory, name, matrices[name], layer, rank)
        for name, layer in base.layers.items()
        if name in matrices
    }
    if not pairs:
        raise UserError(f"{directory / WEIGHTS_FILE} holds no LoRA matrices")
    if uneven := find_uneven_experts(pairs, base.layers):
        raise UserError(
            f"{directory / WEIGHTS_FILE} adapts `{uneven[0]}` but not `{uneven[1]}`; "
            "all experts of a block must be adapted alike"
        )
    return Adapter.of(
        pairs,
        rank=rank,
        alpha=float(alpha),
        use_rslora=bool(config.get("use_rslora")),
        device=base.device,
    )


def read_config(directory: Path) -> dict[str, Any]:
    """Return `adapter_config.json` of `directory`.

    Raises:
        UserError: the file is missing or is not a JSON object.
    """
    path = directory / CONFIG_FILE
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{directory} holds no adapter: {CONFIG_FILE} is missing") from None
    except ValueError as error:
        raise UserError(f"{path} is not JSON: {error}") from error
    if not isinstance(config, dict):
        raise UserError(f"{path} is not a JSON object")
    return config


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file, on the CPU.

    Raises:
        UserError: the file is missing or damaged.
    """
    try:
        return load_file(path)
    except FileNotFoundError:
        raise UserError(f"{path.parent} has no {path.name}") from None
    except SafetensorError as error:
        raise UserError(f"{path} is damaged: {error}") from error


def _refuse_variants(directory: Path, config: Mapping[str, Any]) -> None:
    for key, plain in _PLAIN.items():
        if config.get(key, plain[0]) not in plain:
            raise UserError(
                f"{directory / CONFIG_FILE} sets `{key}` to {config[key]!r}; "
                "only plain LoRA (with or without rank-stabilized scaling) can be loaded"
            )


def _read_matrices(directory: Path, base: BaseModel) -> dict[str, dict[str, Tensor]]:
    """Return A and B of every layer the file names."""
    matrices: dict[str, dict[str, Tensor]] = {}
    for key, tensor in read_tensors(directory / WEIGHTS_FILE).items():
        name = key.removeprefix(_PREFIX)
        for letter in ("A", "B"):
            layer, is_matrix, _ = name.partition(f".lora_{letter}.weight")
            if is_matrix:
                if layer not in base.layers:
                    raise UserError(_no_such_layer(directory, layer, base))
                matrices.setdefault(layer, {})[letter] = tensor
                break
        else:
            _check_untouched(directory, name, tensor, base)
    return matrices


def _no_such_layer(directory: Path, layer: str, base: BaseModel) -> str:
    known = ", ".join(sorted({name.rpartition(".")[2] for name in base.layers}))
    return (
        f"{directory} adapts `{layer}`, which base model {base.name!r} has no trainable layer for; "
        f"its layers are {known}"
    )


def _check_untouched(directory: Path, name: str, tensor: Tensor, base: BaseModel) -> None:
    """Accept a copy of a frozen weight, which peft adds if `lm_head` is adapted; not a new one."""
    frozen = base.network.state_dict().get(name.replace(".base_layer.", ".base."))
    if frozen is None:
        frozen = base.network.state_dict().get(name)
    if frozen is None:
        raise UserError(f"{directory / WEIGHTS_FILE} holds `{name}`, which is not a LoRA matrix")
    if frozen.shape != tensor.shape or not torch.equal(frozen.cpu(), tensor.to(frozen.dtype)):
        raise UserError(
            f"{directory / WEIGHTS_FILE} holds `{name}` with other values than base model "
            f"{base.name!r}; only LoRA matrices can be loaded"
        )


def _pair(
    directory: Path, name: str, found: Mapping[str, Tensor], layer: LoraLayer, rank: int
) -> tuple[Tensor, Tensor]:
    shapes = {"A": (rank, layer.in_features), "B": (layer.out_features, rank)}
    for letter, shape in shapes.items():
        if letter not in found:
            raise UserError(f"{directory / WEIGHTS_FILE} has no lora_{letter} for `{name}`")
        if tuple(found[letter].shape) != shape:
            raise UserError(
                f"{directory / WEIGHTS_FILE}: lora_{letter} of `{name}` is "
                f"{list(found[letter].shape)}, but rank {rank} on this base model needs "
                f"{list(shape)}"
            )
    return found["A"], found["B"]
