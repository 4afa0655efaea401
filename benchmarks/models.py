"""The models that are measured: shapes, and folders with random weights.

Speed does not depend on what the weights are, so nothing is downloaded. The tiny shape is for a
CPU; the others are published shapes for a GPU.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mint_runtime.tiny_model import build_tiny_model


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelShape:
    """A dense Qwen3 with tied embeddings."""

    name: str
    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    is_tiny: bool = False

    def linears(self) -> tuple[tuple[int, int], ...]:
        """Return inputs and outputs of the linear maps of one decoder layer."""
        queries = self.num_heads * self.head_dim
        keys = self.num_kv_heads * self.head_dim
        width, inner = self.hidden_size, self.intermediate_size
        return (
            (width, queries),
            (width, keys),
            (width, keys),
            (queries, width),
            (width, inner),
            (width, inner),
            (inner, width),
        )


TINY = ModelShape(
    name="tiny",
    vocab_size=4096,
    hidden_size=128,
    intermediate_size=256,
    num_layers=4,
    num_heads=4,
    num_kv_heads=2,
    head_dim=32,
    is_tiny=True,
)
QWEN3_06B = ModelShape(
    name="qwen3-0.6b",
    vocab_size=151_936,
    hidden_size=1024,
    intermediate_size=3072,
    num_layers=28,
    num_heads=16,
    num_kv_heads=8,
    head_dim=128,
)
QWEN3_4B = ModelShape(
    name="qwen3-4b",
    vocab_size=151_936,
    hidden_size=2560,
    intermediate_size=9728,
    num_layers=36,
    num_heads=32,
    num_kv_heads=8,
    head_dim=128,
)
MODELS = {model.name: model for model in (TINY, QWEN3_06B, QWEN3_4B)}
_RECORD = "tiny_model.json"


def build_model(model: ModelShape, directory: Path, *, device: str = "cpu") -> Path:
    """Write `model` with random weights to `directory`, unless it is there, and return the folder.

    The tokenizer is the small one of `mint-runtime tiny-model`, whatever the size of the model: the
    benchmarks send token ids.
    """
    if (directory / "config.json").exists():
        return directory
    small = model if model.is_tiny else TINY
    build_tiny_model(
        directory,
        vocab_size=small.vocab_size,
        hidden_size=small.hidden_size,
        num_layers=small.num_layers,
        head_dim=small.head_dim,
    )
    if not model.is_tiny:
        _replace_weights(model, directory, device)
    return directory


def _replace_weights(model: ModelShape, directory: Path, device: str) -> None:
    """Exchange the small network in `directory` for one of the shape `model`, in bfloat16."""
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.from_pretrained(directory)
    for name in ("vocab_size", "hidden_size", "intermediate_size", "head_dim"):
        setattr(config, name, getattr(model, name))
    config.num_hidden_layers = model.num_layers
    config.num_attention_heads = model.num_heads
    config.num_key_value_heads = model.num_kv_heads
    config.layer_types = ["full_attention"] * model.num_layers
    config.max_position_embeddings = 40_960
    torch.manual_seed(0)
    with torch.device(device):
        network: Any = AutoModelForCausalLM.from_config(  # type: ignore[no-untyped-call]  # no hints
            config, dtype=torch.bfloat16
        )
    network.save_pretrained(directory)
    (directory / _RECORD).write_text(json.dumps({"benchmark": model.name}) + "\n")
