"""How much a sampler may hold and do at a time, and what it counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from mint_runtime.errors import UserError
from mint_runtime.model.load import BaseModel
from mint_runtime.model.memory import available_bytes

# A GPU is there for the model alone; on a CPU the memory is everybody's.
_SHARE = {"cpu": 0.25, "cuda": 0.6}
_ROWS = {"cpu": 256, "cuda": 1024}
_STEP_TOKENS = {"cpu": 1024, "cuda": 16384}


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Limits of one scheduler. None takes a default that fits the device."""

    cache_bytes: int | None = None
    """Keys and values, of running sequences and kept ones; by default a share of free memory."""
    page_size: int = 16
    """Tokens per page. Whole pages are what prompts can share."""
    max_rows: int | None = None
    """Sequences that run at a time."""
    max_step_tokens: int | None = None
    """Prompt tokens computed in one pass, beside the rows of sequences that are being drawn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """`Limits` for one base model, with nothing left open."""

    page_size: int
    max_pages: int
    max_rows: int
    max_rows_per_request: int
    max_step_tokens: int
    num_layers: int
    num_heads: int
    """Key and value heads."""
    head_width: int

    @classmethod
    def of(cls, base: BaseModel, limits: Limits) -> Sizes:
        """Read the model's shape and fill in the defaults.

        Raises:
            UserError: the memory allowed does not hold a single page.
        """
        config = base.network.config.get_text_config()
        width = getattr(config, "head_dim", None) or (
            config.hidden_size // config.num_attention_heads
        )
        kind = base.device.type
        allowed = limits.cache_bytes
        if allowed is None:
            allowed = default_cache_bytes(base.device)
        per_token = _token_bytes(config, width, base.dtype)
        max_pages = allowed // (per_token * limits.page_size)
        if max_pages < 1:
            raise UserError(
                f"{allowed} bytes for the cache of {base.name!r} do not hold one page of "
                f"{limits.page_size} tokens, which takes {per_token * limits.page_size}; allow more"
            )
        max_rows = limits.max_rows or _ROWS.get(kind, _ROWS["cuda"])
        return cls(
            page_size=limits.page_size,
            max_pages=max_pages,
            max_rows=max_rows,
            # The rest stays open to requests that come while a large one runs.
            max_rows_per_request=max(1, max_rows * 3 // 4),
            max_step_tokens=limits.max_step_tokens or _STEP_TOKENS.get(kind, _STEP_TOKENS["cuda"]),
            num_layers=config.num_hidden_layers,
            num_heads=config.num_key_value_heads,
            head_width=width,
        )

    def pages(self, num_tokens: int) -> int:
        """Return how many pages hold that many tokens."""
        return -(-num_tokens // self.page_size)


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplerStats:
    """Counters since the start, and what is held now."""

    num_waiting: int
    """Sequences that are not being drawn yet, or were set back for want of memory."""
    num_running: int
    sampled_tokens: int
    prompt_tokens: int
    """Cached ones included."""
    cached_prompt_tokens: int
    num_decode_steps: int
    """Passes through the model."""
    num_pages: int
    """What the cache may grow to."""
    num_used_pages: int
    """Held by running sequences, or kept for prompts to come."""
    num_cached_pages: int
    """Those that are only kept."""


def default_cache_bytes(device: torch.device) -> int:
    """Return how much of the memory that is free now the caches of a device may take together."""
    return int(available_bytes(device) * _SHARE.get(device.type, _SHARE["cuda"]))


def _token_bytes(config: Any, width: int, dtype: torch.dtype) -> int:
    numbers: int = 2 * config.num_hidden_layers * config.num_key_value_heads * width
    return numbers * dtype.itemsize
