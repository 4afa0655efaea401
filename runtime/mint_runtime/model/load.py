"""Frozen base models: read once with transformers, wrapped for LoRA, shared by every adapter.

Weights come from safetensors files only, and code that travels with a model does not run unless
asked. A model whose logits are not a plain linear map of its last hidden state (for example
soft-capped logits) is refused when it is
loaded: log-probabilities are computed from hidden states, and would silently be wrong.

Legend: B sequences, T positions, D width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging

from mint_runtime.errors import UserError
from mint_runtime.model.lora import Adapter, LoraLinear, activate, wrap_linears

_PROBE_TOKENS = 8
# The two sides run the same kernels on the same numbers; anything above rounding is another
# formula.
_PROBE_TOLERANCE = 1e-2
DTYPES: Mapping[str, torch.dtype] = {"float32": torch.float32, "bfloat16": torch.bfloat16}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BaseModel:
    """One set of frozen weights, its wrapped layers and what is known about it."""

    name: str
    source: str
    """Absolute folder, or hub id, that the weights and the tokenizer come from."""
    network: Any
    """The transformers model. `Any`: its classes share no typed interface for what is used here."""
    unembedding: nn.Module
    layers: Mapping[str, LoraLinear]
    tokenizer: Any | None
    eos_tokens: frozenset[int]
    vocab_size: int
    max_context_length: int

    @property
    def device(self) -> torch.device:
        """Return where inputs must be."""
        return torch.device(self.network.device)

    @property
    def architecture(self) -> str:
        """Return the name of the transformers class, such as `Qwen3ForCausalLM`."""
        return type(self.network).__name__

    @contextmanager
    def use(self, adapter: Adapter | None) -> Iterator[None]:
        """Run the body with `adapter` applied to every pass."""
        with activate(self.layers, adapter):
            yield

    def hidden(self, tokens_BT: Tensor, cache: Any | None = None) -> Tensor:
        """Return the last hidden states `[B, T, D]`; with a cache, T continues what the cache
        holds.

        Attention is causal and unmasked: pad on the right and ignore what comes out there.
        """
        output = self.network.base_model(
            input_ids=tokens_BT, past_key_values=cache, use_cache=cache is not None
        )
        hidden_BTD: Tensor = output.last_hidden_state
        return hidden_BTD

    def unembed(self, hidden: Tensor) -> Tensor:
        """Map `[..., D]` to logits `[..., V]`."""
        logits: Tensor = self.unembedding(hidden)
        return logits


def load_base_model(
    name: str, path: str, *, device: str, dtype: str, allow_remote_code: bool = False
) -> BaseModel:
    """Read a base model, freeze it and wrap its layers.

    Raises:
        UserError: the folder holds no safetensors weights, or a model that cannot be served.
    """
    if dtype not in DTYPES:
        raise UserError(f"`dtype` is {dtype!r}; it must be one of {', '.join(DTYPES)}")
    source = str(Path(path).absolute()) if Path(path).is_dir() else path
    network = _read_network(name, source, DTYPES[dtype], allow_remote_code)
    network.to(device).eval().requires_grad_(False)
    original = network.get_output_embeddings()
    if not isinstance(original, nn.Linear):
        raise UserError(
            f"base model {name!r} has no linear output layer, so it cannot be trained here"
        )
    layers = wrap_linears(network, original)
    text_config = network.config.get_text_config()
    tokenizer = _read_tokenizer(source, allow_remote_code)
    base = BaseModel(
        name=name,
        source=source,
        network=network,
        unembedding=network.get_output_embeddings(),
        layers=layers,
        tokenizer=tokenizer,
        eos_tokens=_eos_tokens(network, tokenizer),
        vocab_size=original.out_features,
        max_context_length=int(text_config.max_position_embeddings),
    )
    _check_logits_are_linear(base)
    return base


@contextmanager
def without_progress_bars() -> Iterator[None]:
    """Keep transformers from drawing on the terminal while the body runs."""
    was_drawn = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # no hints upstream
    try:
        yield
    finally:
        if was_drawn:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]  # as above


def _read_network(name: str, source: str, dtype: torch.dtype, allow_remote_code: bool) -> Any:
    try:
        with without_progress_bars():
            return AutoModelForCausalLM.from_pretrained(
                source, dtype=dtype, use_safetensors=True, trust_remote_code=allow_remote_code
            )
    except (OSError, ValueError) as error:
        raise UserError(f"base model {name!r} cannot be read from {source}: {error}") from error


def _read_tokenizer(source: str, allow_remote_code: bool) -> Any | None:
    """Return the tokenizer, or None: training needs none, only stop strings do."""
    try:
        return AutoTokenizer.from_pretrained(source, trust_remote_code=allow_remote_code)
    except (OSError, ValueError):
        return None


def _eos_tokens(network: Any, tokenizer: Any | None) -> frozenset[int]:
    """Collect what ends a reply: chat models declare it in up to three places, not all alike."""
    found: set[int] = set()
    for declared in (
        network.generation_config.eos_token_id if network.generation_config else None,
        network.config.get_text_config().eos_token_id,
        tokenizer.eos_token_id if tokenizer else None,
    ):
        if isinstance(declared, int):
            found.add(declared)
        elif declared is not None:
            found.update(int(token) for token in declared)
    return frozenset(found)


@torch.no_grad()
def _check_logits_are_linear(base: BaseModel) -> None:
    tokens_BT = torch.arange(_PROBE_TOKENS, device=base.device)[None] % base.vocab_size
    expected = base.network(input_ids=tokens_BT, use_cache=False).logits.float()
    found = base.unembed(base.hidden(tokens_BT)).float()
    if not torch.allclose(found, expected, atol=_PROBE_TOLERANCE, rtol=_PROBE_TOLERANCE):
        raise UserError(
            f"base model {base.name!r} ({base.architecture}) changes its logits after the output "
            "layer, which this runtime does not support"
        )
