"""Requests of the OpenAI-style endpoints, and the shape of their errors.

Every field of a body is either used, or known to change nothing, or refused by its name: a setting
that is dropped in silence would change what is drawn. A field set to null counts as absent.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

from pydantic import ConfigDict, Field, Strict, ValidationError

from mint_runtime.wire.messages import Flag, Name, Request

MAX_CHOICES = 1024
Token = Annotated[int, Strict(), Field(ge=0)]
Integer = Annotated[int, Strict()]

IGNORED = frozenset(
    {
        "metadata",
        "prompt_cache_key",
        "prompt_cache_retention",
        "safety_identifier",
        "service_tier",
        "store",
        "user",
    }
)
"""Fields that cannot change the answer."""
_NEUTRAL: Mapping[str, tuple[Any, ...]] = {
    "audio": (),
    "best_of": (1,),
    "frequency_penalty": (0,),
    "function_call": ("none",),
    "functions": ([],),
    "logit_bias": ({},),
    "min_p": (0,),
    "min_tokens": (0,),
    "modalities": (["text"],),
    "parallel_tool_calls": (True, False),
    "prediction": (),
    "presence_penalty": (0,),
    "reasoning_effort": (),
    "repetition_penalty": (1,),
    "response_format": ({"type": "text"},),
    "suffix": ("",),
    "tool_choice": ("none", "auto"),
    "tools": ([],),
    "verbosity": (),
    "web_search_options": (),
}
"""Fields that are not served, and the values with which they ask for nothing."""


class BadField(ValueError):
    """A field cannot be used. The first argument is the sentence, the second the field's path."""

    @property
    def param(self) -> str:
        """Return the path of the field, such as `messages[0].content`."""
        return str(self.args[1])


class OpenBody(Request):
    """Any JSON object; `fields` holds what is not null."""

    model_config = ConfigDict(extra="allow")

    def fields(self) -> dict[str, Any]:
        """Return the fields by name."""
        return {
            name: value for name, value in (self.model_extra or {}).items() if value is not None
        }


class StreamOptions(Request):
    include_usage: Flag = False


class Generation(Request):
    """What completions and chat completions share."""

    model: Name
    n: Annotated[int, Strict(), Field(ge=1, le=MAX_CHOICES)] = 1
    temperature: Annotated[float, Field(ge=0)] = 1.0
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    top_k: Integer = -1
    seed: Integer | None = None
    stop: str | tuple[str, ...] = ()
    stop_token_ids: tuple[Token, ...] = ()
    stream: Flag = False
    stream_options: StreamOptions = StreamOptions()

    def stop_strings(self) -> tuple[str, ...]:
        """Return the stop strings."""
        return (self.stop,) if isinstance(self.stop, str) else self.stop


class CompletionRequest(Generation):
    prompt: str | tuple[Token, ...] | tuple[str, ...] | tuple[tuple[Token, ...], ...]
    max_tokens: Annotated[int, Strict(), Field(ge=0)] = 16
    logprobs: Annotated[int, Strict(), Field(ge=0)] | None = None
    echo: Flag = False


class Message(Request):
    """One turn. `content` is text, or parts whose types are checked where they are joined."""

    model_config = ConfigDict(extra="allow")

    role: Name
    content: str | tuple[Mapping[str, Any], ...]


class ChatRequest(Generation):
    messages: Annotated[tuple[Message, ...], Field(min_length=1)]
    max_tokens: Annotated[int, Strict(), Field(ge=0)] | None = None
    max_completion_tokens: Annotated[int, Strict(), Field(ge=0)] | None = None
    logprobs: Flag = False
    top_logprobs: Annotated[int, Strict(), Field(ge=0)] = 0
    chat_template_kwargs: Mapping[str, Any] = Field(default_factory=dict)

    def token_limit(self) -> int | None:
        """Return the longest answer that is wanted; None is as long as the context has room."""
        wanted = self.max_completion_tokens
        return self.max_tokens if wanted is None else wanted


GenerationT = TypeVar("GenerationT", bound=Generation)


def parse(kind: type[GenerationT], body: OpenBody) -> GenerationT:
    """Return the request in `body`.

    Raises:
        BadField: A field is missing, has the wrong type or range, is not served, or is not known.
    """
    fields = body.fields()
    for name in fields.keys() - kind.model_fields.keys() - IGNORED:
        _check_neutral(kind, name, fields[name])
    try:
        return kind.model_validate(fields)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        path = _path(first["loc"])
        if first["type"] == "missing":
            raise BadField(f"`{path}` is missing", path) from error
        raise BadField(f"`{path}` is not usable: {first['msg'].lower()}", path) from error


def error_body(
    message: str, *, kind: str, param: str | None = None, code: str | None = None
) -> dict[str, Any]:
    """Return the body in which OpenAI's clients look for an error."""
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def _check_neutral(kind: type[Generation], name: str, value: object) -> None:
    if name in _NEUTRAL:
        if any(value == neutral for neutral in _NEUTRAL[name]):
            return
        raise BadField(f"`{name}` is not served here; leave it out", name)
    close = difflib.get_close_matches(name, kind.model_fields, n=1)
    hint = f"; did you mean `{close[0]}`?" if close else ""
    raise BadField(f"`{name}` is not a field of this endpoint{hint}", name)


def _path(location: tuple[int | str, ...]) -> str:
    """Return where a field is.

    The location of a value that may have several types ends with the types that were tried; only
    names of fields and places in lists are kept.
    """
    path = str(location[0]) if location else "body"
    for part in location[1:]:
        if isinstance(part, int):
            path += f"[{part}]"
        elif part in _NESTED:
            path += f".{part}"
    return path


_NESTED = frozenset({"role", "content", "include_usage"})
