"""Frozen base models: read once with transformers, wrapped for LoRA, shared by every adapter.

Weights come from safetensors files only, and code that travels with a model does not run unless
asked. A model is refused when it is loaded if what is computed here would silently be wrong: logits
that are not a plain linear map of the last hidden state (for example soft-capped ones), attention
other than plain causal attention, or positions that depend on what else is in a pass.

Legend: N rows of a pass, D width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging

from mint_runtime.errors import UserError
from mint_runtime.model.adapter import LoraLayer
from mint_runtime.model.attention import IMPLEMENTATION, AttentionPlan, CausalPlan
from mint_runtime.model.experts import wrap_experts
from mint_runtime.model.fused import fuse
from mint_runtime.model.lora import LoraContext, LoraLinear, LoraPlan, wrap_linears

_PROBE_TOKENS = 8
DTYPES: Mapping[str, torch.dtype] = {"float32": torch.float32, "bfloat16": torch.bfloat16}
# Both sides compute one formula with kernels of their own; anything above rounding is another one.
_PROBE_TOLERANCE: Mapping[torch.dtype, float] = {torch.float32: 1e-3, torch.bfloat16: 0.25}
# These scale positions by the longest sequence of the pass.
_UNSTABLE_ROPE = frozenset({"dynamic", "longrope"})


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BaseModel:
    """One set of frozen weights, its wrapped layers and what is known about it."""

    name: str
    source: str
    """Absolute folder, or hub id, that the weights and the tokenizer come from."""
    network: Any
    """The transformers model. `Any`: its classes share no typed interface for what is used here."""
    unembedding: LoraLinear
    layers: Mapping[str, LoraLayer]
    """What adapters may update, by name, the output layer last."""
    context: LoraContext
    tokenizer: Any | None
    eos_tokens: frozenset[int]
    vocab_size: int
    max_context_length: int

    @property
    def device(self) -> torch.device:
        """Return where inputs must be."""
        return torch.device(self.network.device)

    @property
    def dtype(self) -> torch.dtype:
        """Return the type of the frozen weights, which passes compute in."""
        return self.unembedding.weight.dtype

    @property
    def architecture(self) -> str:
        """Return the name of the transformers class, such as `Qwen3ForCausalLM`."""
        return type(self.network).__name__

    def under(self, plan: LoraPlan) -> AbstractContextManager[None]:
        """Run a body, forward and backward, with these adapters applied."""
        return self.context.under(plan)

    def hidden(self, tokens_N: Tensor, position_N: Tensor, attention: AttentionPlan) -> Tensor:
        """Return the last hidden states `[N, D]`, after the final norm.

        With gradients enabled the result can be differentiated: the derivative of each adapter goes
        where the plan of the pass says.

        Args:
            tokens_N: int64 tokens of all sequences, one after the other.
            position_N: int64 place of each token in its sequence, from 0.
            attention: which rows see which.
        """
        # A leaf that wants a gradient makes autograd walk through the layers; nothing reads it.
        embedded_1ND = self.network.get_input_embeddings()(tokens_N[None]).detach()
        embedded_1ND.requires_grad_(torch.is_grad_enabled())
        output = self.network.base_model(
            inputs_embeds=embedded_1ND,
            position_ids=position_N[None],
            use_cache=False,
            attention_plan=attention,
        )
        hidden_ND: Tensor = output.last_hidden_state[0]
        return hidden_ND

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
    expected_NV = _plain_logits(network)
    original = network.get_output_embeddings()
    if not isinstance(original, nn.Linear):
        raise UserError(
            f"base model {name!r} has no linear output layer, so it cannot be trained here"
        )
    text_config = network.config.get_text_config()
    tokenizer = _read_tokenizer(source, allow_remote_code)
    network.set_attn_implementation(IMPLEMENTATION)
    context = LoraContext()
    layers = _wrap(network, original, context)
    fuse(network)
    base = BaseModel(
        name=name,
        source=source,
        network=network,
        unembedding=network.get_output_embeddings(),
        layers=layers,
        context=context,
        tokenizer=tokenizer,
        eos_tokens=_eos_tokens(network, tokenizer),
        vocab_size=original.out_features,
        max_context_length=int(text_config.max_position_embeddings),
    )
    _check_positions(name, text_config)
    _check_logits(base, expected_NV)
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


def _wrap(network: Any, unembedding: nn.Linear, context: LoraContext) -> dict[str, LoraLayer]:
    """Wrap everything an adapter may update; return it by name, the output layer last."""
    linears = wrap_linears(network, unembedding, context)
    head = network.get_output_embeddings().name
    body = {name: layer for name, layer in linears.items() if name != head}
    return {**body, **wrap_experts(network, context), head: linears[head]}


def _check_positions(name: str, config: Any) -> None:
    declared = getattr(config, "rope_parameters", None) or {}
    kinds = {declared.get("rope_type")} | {
        each.get("rope_type") for each in declared.values() if isinstance(each, dict)
    }
    if unstable := kinds & _UNSTABLE_ROPE:
        raise UserError(
            f"base model {name!r} scales positions by {', '.join(map(str, unstable))}, which would "
            "make a result depend on what else is computed with it; this is not supported"
        )


def _probe_tokens(network: Any) -> Tensor:
    vocab_size = int(network.get_input_embeddings().weight.shape[0])
    return torch.arange(_PROBE_TOKENS, device=network.device) % vocab_size


@torch.no_grad()
def _plain_logits(network: Any) -> Tensor:
    """Return the logits `[N, V]` of a short sequence as transformers alone computes them."""
    output = network(input_ids=_probe_tokens(network)[None], use_cache=False)
    logits_NV: Tensor = output.logits[0]
    return logits_NV.float()


@torch.no_grad()
def _check_logits(base: BaseModel, expected_NV: Tensor) -> None:
    tokens_N = _probe_tokens(base.network)
    position_N = torch.arange(_PROBE_TOKENS, device=base.device)
    try:
        hidden_ND = base.hidden(tokens_N, position_N, CausalPlan((_PROBE_TOKENS,), base.device))
    except UserError as error:
        raise UserError(f"base model {base.name!r} ({base.architecture}): {error}") from None
    found_NV = base.unembed(hidden_ND).float()
    tolerance = _PROBE_TOLERANCE[base.dtype]
    if not torch.allclose(found_NV, expected_NV, atol=tolerance, rtol=tolerance):
        raise UserError(
            f"base model {base.name!r} ({base.architecture}) changes its logits after the output "
            "layer, or attends in a way of its own, which this runtime does not support"
        )
