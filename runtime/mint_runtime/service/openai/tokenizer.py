"""Text to tokens and back, with the tokenizer of a base model.

Loading takes a second and imports a large library, so it happens once, on first use, off the event
loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from mint_runtime.errors import UserError
from mint_runtime.service.openai.errors import NotServed


class Tokenizer:
    """What the endpoints need of one tokenizer. Methods may be called from any thread."""

    def __init__(self, inner: Any, end_tokens: frozenset[int]) -> None:
        self._inner = inner
        self.end_tokens = end_tokens
        """What ends a sequence of this model by itself."""

    def encode(self, text: str) -> list[int]:
        """Return the tokens of a prompt, with those that the model wants at its start."""
        tokens: list[int] = self._inner.encode(text)
        return tokens

    def chat(self, messages: Sequence[Mapping[str, Any]], settings: Mapping[str, Any]) -> list[int]:
        """Return the tokens of a conversation up to where the assistant answers.

        Raises:
            NotServed: The model has no chat template.
            UserError: The template refuses the conversation.
        """
        if not self._inner.chat_template:
            raise NotServed("the model has no chat template; use `/v1/completions`", "messages")
        arguments = {**settings, "add_generation_prompt": True, "tokenize": False}
        try:
            text = self._inner.apply_chat_template([dict(one) for one in messages], **arguments)
        except Exception as error:
            raise UserError(
                f"`messages` do not fit the chat template of the model: {error}"
            ) from error
        # The template writes the special tokens itself.
        tokens: list[int] = self._inner.encode(text, add_special_tokens=False)
        return tokens

    def decode(self, tokens: Sequence[int]) -> str:
        """Return the text of tokens without the special ones."""
        return self._decode(tokens, skip_special_tokens=True)

    def token_text(self, token: int) -> str:
        """Return the text of one token, special or not; half a character is shown as U+FFFD."""
        return self._decode([token], skip_special_tokens=False)

    def _decode(self, tokens: Sequence[int], *, skip_special_tokens: bool) -> str:
        text: str = self._inner.decode(
            list(tokens),
            skip_special_tokens=skip_special_tokens,
            clean_up_tokenization_spaces=False,
        )
        return text


class Tokenizers:
    """The tokenizers that were asked for, by id."""

    def __init__(self) -> None:
        self._loading: dict[str, asyncio.Task[Tokenizer]] = {}

    async def get(self, tokenizer_id: str) -> Tokenizer:
        """Return a tokenizer, loading it on first use.

        Raises:
            UserError: It cannot be loaded; the next call tries again.
        """
        task = self._loading.get(tokenizer_id)
        if task is None:
            task = asyncio.create_task(asyncio.to_thread(_load, tokenizer_id))
            self._loading[tokenizer_id] = task
        try:
            # One caller that hangs up does not stop the loading for the others.
            return await asyncio.shield(task)
        except UserError:
            self._loading.pop(tokenizer_id, None)
            raise


def _load(tokenizer_id: str) -> Tokenizer:
    from transformers import AutoTokenizer, GenerationConfig

    try:
        inner = AutoTokenizer.from_pretrained(tokenizer_id)
    except (OSError, ValueError) as error:
        raise UserError(
            f"the tokenizer of this model cannot be loaded, so text cannot be read: {error}"
        ) from error
    try:
        ends = GenerationConfig.from_pretrained(tokenizer_id).eos_token_id
    except OSError:
        ends = None
    if ends is None:
        ends = inner.eos_token_id
    listed = ends if isinstance(ends, list) else [ends]
    return Tokenizer(inner, frozenset(int(one) for one in listed if one is not None))
