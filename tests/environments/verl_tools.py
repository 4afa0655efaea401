"""Hold conversations with tools as verl's own agent loop does; runs in `verl`.

    python verl_tools.py CASES.json RESULT.json

A case has what the policy says turn after turn, the options of the loop and a row; its result is
the tokens behind the prompt, which of them are the policy's, the number of turns and the rewards of
the tools. Tokens are characters. Stand-ins take the place of what is about servers and images.
"""

from __future__ import annotations

import asyncio
import json
import sys
from types import ModuleType, SimpleNamespace
from typing import Any


class LoopBase:
    """What verl's loop inherits: here characters are tokens, and a message is put in brackets."""

    def __init__(self, settings: dict[str, Any], turns: list[str]) -> None:
        self.rollout_config = SimpleNamespace(
            multi_turn=SimpleNamespace(**settings, format="hermes"),
            prompt_length=0,
            response_length=settings["max_response_length"],
            full_determinism=False,
        )
        self.tokenizer = SimpleNamespace(decode=lambda tokens: "".join(map(chr, tokens)))
        self.processor = None
        self.server_manager = SimpleNamespace(generate=self.generate)
        self.turns = list(turns)

    async def generate(self, **_: Any) -> Any:
        tokens = list(map(ord, self.turns.pop(0)))
        return SimpleNamespace(
            token_ids=tokens, log_probs=None, num_preempted=0, extra_fields={}, routed_experts=None
        )

    async def process_multi_modal_info(self, messages: list[Any]) -> dict[str, Any]:
        return {}

    def _get_mm_processor_kwargs(self, audios: Any) -> dict[str, Any]:
        return {}

    def _assert_mm_supported(self, has_any: bool) -> None:
        assert not has_any

    def build_sglang_video_payload(self, videos: Any, inputs: Any) -> None:
        return None

    async def ct_build_initial_tokens(self, messages: Any, **_: Any) -> list[int]:
        return [80]

    async def ct_merge_assistant_token(
        self, known: list[int], new: list[int], mask: list[int], logprobs: Any, **_: Any
    ) -> tuple[Any, list[int], None]:
        return SimpleNamespace(token_ids=known + new), mask + [1] * len(new), None

    async def ct_merge_context_msg(
        self,
        before: list[Any],
        after: list[Any],
        known: list[int],
        mask: list[int],
        *_: Any,
        **__: Any,
    ) -> tuple[Any, list[int], None]:
        shown = "".join(f"[{item['role']}:{item['content']}]" for item in after[len(before) :])
        new = list(map(ord, f"{shown}>"))
        return SimpleNamespace(token_ids=known + new), mask + [0] * len(new), None


def stand_in(name: str, **contents: Any) -> ModuleType:
    """Put a module where verl looks for one."""
    module = ModuleType(name)
    module.__dict__.update(contents)
    sys.modules[name] = module
    return module


def loop_class() -> Any:
    """Return verl's loop on the base above."""
    import verl.experimental

    image = stand_in("PIL.Image", Image=object)
    stand_in("PIL", Image=image)
    stand_in("verl.workers.rollout.replica", TokenOutput=object)
    name = "verl.experimental.agent_loop"
    stand_in(name, __path__=[f"{verl.experimental.__path__[0]}/agent_loop"])
    stand_in(
        f"{name}.agent_loop",
        AgentLoopBase=LoopBase,
        AgentLoopOutput=SimpleNamespace,
        ToolListWrap=SimpleNamespace,
        register=lambda _: lambda cls: cls,
    )
    from verl.experimental.agent_loop.tool_agent_loop import ToolAgentLoop

    return ToolAgentLoop


def adder() -> Any:
    """Return a tool that adds two numbers, and says them as often as it is asked to."""
    from verl.tools.base_tool import BaseTool
    from verl.tools.schemas import OpenAIFunctionToolSchema, ToolResponse

    class Adder(BaseTool):
        async def execute(self, instance_id: str, parameters: dict[str, Any], **_: Any) -> Any:
            total = str(parameters["a"] + parameters["b"])
            return ToolResponse(text=total * parameters.get("times", 1)), 0.5, {}

    properties = {"type": "object", "properties": {}, "required": []}
    function = {"name": "add", "description": "Adds.", "parameters": properties}
    schema = OpenAIFunctionToolSchema.model_validate({"type": "function", "function": function})
    return Adder({}, schema)


def main() -> None:
    """Read the arguments, hold every conversation, write the results."""
    source, target = sys.argv[1:]
    with open(source, encoding="utf-8") as file:
        cases = json.load(file)
    cls, tools = loop_class(), SimpleNamespace(tools=[adder()])
    results = []
    for case in cases:
        loop = cls(case["settings"], case["turns"], tools=tools)
        output = asyncio.run(loop.run({}, raw_prompt=[], extra_info=case["row"].get("extra_info")))
        results.append(
            [
                output.response_ids,
                [place for place, own in enumerate(output.response_mask) if own],
                output.num_turns,
                output.extra_fields["tool_rewards"],
            ]
        )
    with open(target, "w", encoding="utf-8") as file:
        json.dump(results, file)


if __name__ == "__main__":
    main()
