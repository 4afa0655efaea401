"""What the endpoints keep between requests."""

from __future__ import annotations

from dataclasses import dataclass

from mint_runtime.service.openai.targets import Targets
from mint_runtime.service.openai.tokenizer import Tokenizers


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenAI:
    """Open samplers and loaded tokenizers."""

    targets: Targets
    tokenizers: Tokenizers
