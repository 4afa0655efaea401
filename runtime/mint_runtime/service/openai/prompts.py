"""What requests ask to be continued, as tokens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mint_runtime.service.openai.tokenizer import Tokenizer
from mint_runtime.wire.openai import BadField, ChatRequest, CompletionRequest, Message


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """Tokens, and their text where it is echoed."""

    tokens: tuple[int, ...]
    text: str = ""


def completion_prompts(request: CompletionRequest, tokenizer: Tokenizer) -> tuple[Prompt, ...]:
    """Return the prompts of a completion: one, or as many as the list has.

    Raises:
        BadField: The list is empty, or a prompt has no token.
    """
    prompt = request.prompt
    if isinstance(prompt, str):
        given: tuple[str | tuple[int, ...], ...] = (prompt,)
    elif prompt and isinstance(prompt[0], int):
        given = (tuple(one for one in prompt if isinstance(one, int)),)
    else:
        given = tuple(one for one in prompt if not isinstance(one, int))
    if not given:
        raise BadField("`prompt` is an empty list; it has to hold at least one prompt", "prompt")
    prompts = tuple(_prompt(one, tokenizer, with_text=request.echo) for one in given)
    for index, one in enumerate(prompts):
        if not one.tokens:
            path = f"prompt[{index}]" if len(prompts) > 1 else "prompt"
            raise BadField(f"`{path}` has no tokens; a model continues at least one", path)
    return prompts


def chat_prompt(request: ChatRequest, tokenizer: Tokenizer) -> Prompt:
    """Return the conversation as the model's own template writes it.

    Raises:
        BadField: A message has content that is not text.
    """
    messages = [_message(index, message) for index, message in enumerate(request.messages)]
    return Prompt(tokens=tuple(tokenizer.chat(messages, request.chat_template_kwargs)))


def _prompt(given: str | tuple[int, ...], tokenizer: Tokenizer, *, with_text: bool) -> Prompt:
    if isinstance(given, str):
        return Prompt(tokens=tuple(tokenizer.encode(given)), text=given)
    return Prompt(tokens=given, text=tokenizer.decode(given) if with_text else "")


def _message(index: int, message: Message) -> dict[str, Any]:
    path = f"messages[{index}]"
    for name, value in (message.model_extra or {}).items():
        if name not in _HARMLESS and value not in (None, [], {}):
            raise BadField(f"`{path}.{name}` is not served here; leave it out", f"{path}.{name}")
    # Newer clients call the system's role by another name, which templates do not know.
    role = "system" if message.role == "developer" else message.role
    return {"role": role, "content": _content(f"{path}.content", message.content)}


def _content(path: str, content: str | tuple[Mapping[str, Any], ...]) -> str:
    if isinstance(content, str):
        return content
    return "".join(_part(f"{path}[{index}]", part) for index, part in enumerate(content))


def _part(path: str, part: Mapping[str, Any]) -> str:
    kind, text = part.get("type"), part.get("text")
    if kind != "text":
        raise BadField(
            f"`{path}` has the type {kind!r}; this server reads parts of type 'text' only", path
        )
    if not isinstance(text, str):
        raise BadField(f"`{path}.text` is missing or is not a string", f"{path}.text")
    return text


_HARMLESS = frozenset({"annotations", "name", "refusal"})
"""What clients send back with an answer, or that only labels a turn."""
