"""Conversations of a converted script with tools, held without a server: tokens are characters."""

from __future__ import annotations

import ast
import asyncio
import functools
import json
import random
import re
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import torch

from support.verl_launch import launched, script_of

TURNS = "actor_rollout_ref.rollout.multi_turn"
AGENT = "actor_rollout_ref.rollout.agent.default_agent_loop"
LAUNCH = {
    f"{TURNS}.enable": True,
    f"{TURNS}.tool_config_path": "tools.yaml",
    f"{TURNS}.max_assistant_turns": 3,
    "algorithm.adv_estimator": "grpo",
    AGENT: "tool_agent",
}
NAMES = (
    *("Sample", "tools_of", "find_calls", "call_tool", "shorten", "tokens_of_answers"),
    *("play_episode", "sample_responses", "add_reference", "build_batch", "known_of"),
    *("flat", "policy_loss", "token_shares", "tokenize_prompt"),
)


class Params(SimpleNamespace):
    """Sampling parameters, as far as the script touches them."""

    def model_copy(self, update: dict[str, Any]) -> Params:
        return Params(**{**vars(self), **update})


@functools.cache
def taken(text: str) -> SimpleNamespace:
    """Return functions of a converted script, which is run without a client."""
    wanted = [item for item in ast.parse(text).body if getattr(item, "name", "") in NAMES]
    lead = ast.parse("from __future__ import annotations").body
    types = SimpleNamespace(
        ModelInput=SimpleNamespace(from_ints=lambda tokens: tokens),
        Datum=lambda **parts: SimpleNamespace(**parts),
    )
    space = {"torch": torch, "re": re, "json": json, "asyncio": asyncio, "types": types}
    space |= {"dataclass": dataclass, "field": field, "__name__": __name__}
    exec(compile(ast.Module([*lead, *wanted], type_ignores=[]), "script", "exec"), space)
    return SimpleNamespace(**space)


class Letters:
    """A tokenizer whose tokens are characters; messages stand between brackets."""

    def decode(self, tokens: list[int], *, skip_special_tokens: bool = False) -> str:
        return "".join(map(chr, tokens))

    def apply_chat_template(
        self,
        messages: list[dict[str, str]],
        *,
        add_generation_prompt: bool,
        return_dict: bool,
        tools: list[Any] | None = None,
    ) -> list[int]:
        shown = "".join(f"[{item['role']}:{item['content']}]" for item in messages)
        return list(map(ord, f"S{tools or ''}{shown}{'>' if add_generation_prompt else ''}"))


class Policy:
    """Says what it is told to, turn after turn, as far as there is room."""

    def __init__(self, turns: list[str]) -> None:
        self.turns = turns
        self.seen: list[str] = []

    def sample(self, prompt: list[int], num_samples: int, sampling_params: Params) -> Any:
        self.seen.append("".join(map(chr, prompt)))
        tokens = list(map(ord, self.turns[len(self.seen) - 1]))
        reason = "stop" if len(tokens) <= sampling_params.max_tokens else "length"
        tokens = tokens[: sampling_params.max_tokens]
        turn = SimpleNamespace(tokens=tokens, logprobs=[-1.0] * len(tokens), stop_reason=reason)
        future: Future[Any] = Future()
        future.set_result(SimpleNamespace(sequences=[turn]))
        return future

    def compute_logprobs(self, tokens: list[int]) -> Any:
        future: Future[list[float]] = Future()
        future.set_result([float(place) for place in range(len(tokens))])
        return future


class Adder:
    """A tool as verl calls one: it adds two numbers, and says them as often as it is asked to."""

    name = "add"

    def __init__(self) -> None:
        self.open: list[str] = []
        self.given: list[Any] = []

    async def create(self, **kwargs: Any) -> tuple[str, None]:
        self.given.append(kwargs)
        self.open.append("1")
        return "1", None

    async def execute(
        self, instance: str, arguments: dict[str, int], **_: Any
    ) -> tuple[Any, float, dict[str, Any]]:
        total = str(arguments["a"] + arguments["b"])
        return SimpleNamespace(text=total * arguments.get("times", 1)), 0.5, {}

    async def release(self, instance: str) -> None:
        self.open.remove(instance)


def call(**arguments: int) -> str:
    body = json.dumps({"name": "add", "arguments": arguments})
    return f"<tool_call>{body}</tool_call>"


_PIECES = (
    *(call(a=1, b=2), call(a=12, b=30, times=5), call(a=1), call(a=1, b=2).replace("add", "x")),
    *("so ", "\n", "<tool_call>", "</tool_call>", "<tool_call>{</tool_call>", "7"),
    *("<tool_call>[1]</tool_call>", '<tool_call>{"name": 5, "arguments": {}}</tool_call>'),
    *('<tool_call>{"name": "add", "arguments": "a"}</tool_call>', call(a=1, b=2) * 2, "long " * 30),
)


def draw_cases(count: int, seed: int) -> Iterator[dict[str, Any]]:
    """Yield conversations: what the policy says, options, and a row."""
    rng = random.Random(seed)
    for _ in range(count):
        turns = ["".join(rng.choices(_PIECES, k=rng.randint(1, 4))) for _ in range(6)]
        yield {
            "turns": turns,
            "settings": {
                "max_response_length": rng.choice([60, 120, 250, 400, 1000]),
                "max_assistant_turns": rng.choice([1, 2, 4, 6]),
                "max_user_turns": rng.choice([None, None, 1, 2]),
                "max_parallel_calls": rng.choice([1, 2, 3]),
                "max_tool_response_length": rng.choice([1, 4, 7, 50]),
                "tool_response_truncate_side": rng.choice(["left", "right", "middle"]),
            },
            "row": {
                "extra_info": rng.choice(
                    [None, {}, {"tool_selection": ["add", "x"]}, {"tool_selection": ["x"]}]
                )
            },
        }


def config(**changes: Any) -> SimpleNamespace:
    known: dict[str, Any] = {
        "max_response_length": 400,
        "max_assistant_turns": 3,
        "max_user_turns": None,
        "max_parallel_calls": 1,
        "max_tool_response_length": 20,
        "default_agent_loop": "tool_agent",
        "prompt_key": "prompt",
    }
    return SimpleNamespace(**{**known, **changes})


def played(
    turns: list[str],
    settings: SimpleNamespace,
    release: str = "0.9.1",
    *,
    side: str = "middle",
    **row: Any,
) -> tuple[Any, Policy, Adder]:
    """Return one conversation, who spoke in it, and the tool."""
    options = {**LAUNCH, f"{TURNS}.tool_response_truncate_side": side}
    functions = taken(script_of(launched(options, release)))
    policy, tool = Policy(turns), Adder()
    (sample,) = functions.sample_responses(
        policy, [{"prompt_tokens": [80], **row}], 1, Params(), Letters(), {"add": tool}, settings
    )
    return sample, policy, tool
