"""Turns with tools of a converted script equal those of TRL 1.16: tokens, masks and messages.

TRL's own `_generate` and the converted script's `sample_completions` are given the same answers of
the model; everything around them, the chat template of Qwen3 included, is real.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import trl
from datasets import Dataset
from mint_runtime.tiny_model import build_tiny_model
from support.grpo_pieces import functions
from support.scripts import converted, grpo
from transformers import AutoTokenizer
from trl import GRPOConfig, GRPOTrainer

pytestmark = [
    pytest.mark.parity,
    pytest.mark.timeout(600),
    # TRL sets an option that transformers calls deprecated.
    pytest.mark.filterwarnings("ignore:.*gradient_checkpointing:FutureWarning"),
]

TEMPLATE = Path(trl.__file__).parent / "chat_templates" / "qwen3.jinja"
LONGEST = 420


def call(name: str, **arguments: Any) -> str:
    """Return a call of a tool as Qwen3 writes it."""
    content = json.dumps({"name": name, "arguments": arguments})
    return f"<tool_call>\n{content}\n</tool_call>"


ANSWERS = {
    "one call": [call("multiply", a=3, b=4), "It is 12."],
    "no call": ["Four."],
    "text before a call": ["Let me see.\n" + call("multiply", a=2, b=2), "4"],
    "two calls at once": [call("multiply", a=1, b=2) + "\n" + call("multiply", a=5, b=6), "2, 30"],
    "an unknown tool, then a wrong argument": [
        call("divide", a=1, b=2),
        call("multiply", a=1, c=2),
        "I give up.",
    ],
    "not json": ["<tool_call>\n{multiply 3\n</tool_call>"],
    "more calls than there may be": [call("multiply", a=n, b=n) for n in range(1, 6)],
    "an answer that is too long": [call("multiply", a=3, b=4), "x" * 2 * LONGEST],
    "a call that leaves no room": ["y" * (LONGEST - 90) + call("multiply", a=1, b=1), "1"],
}


def multiply(a: int, b: int) -> int:
    """
    Multiplies two integers.

    Args:
        a: The first integer.
        b: The second integer.

    Returns:
        The product.
    """
    return a * b


class Script:
    """What the model says: the answers of each prompt, one after the other."""

    def __init__(self, tokenizer: Any) -> None:
        """Nothing has been said."""
        self.tokenizer = tokenizer
        self.turns = dict.fromkeys(ANSWERS, 0)

    def answer(self, prompt: Sequence[int]) -> list[int]:
        """Return the tokens of the next answer to the prompt that names a conversation."""
        text = self.tokenizer.decode(prompt)
        case = next(name for name in ANSWERS if f"[{name}]" in text)
        said = ANSWERS[case][self.turns[case]]
        self.turns[case] += 1
        tokens = self.tokenizer(said, add_special_tokens=False)["input_ids"]
        return [*tokens, self.tokenizer.eos_token_id]

    def sample(self, *, prompt: Any, num_samples: int, sampling_params: Any) -> Any:
        """Answer like a sampling client."""
        assert num_samples == 1
        tokens = self.answer(prompt.to_ints())
        kept = tokens[: sampling_params.max_tokens]
        reason = "stop" if len(kept) == len(tokens) else "length"
        found = SimpleNamespace(tokens=kept, logprobs=[-1.0] * len(kept), stop_reason=reason)
        return SimpleNamespace(result=lambda: SimpleNamespace(sequences=[found]))


def prompts() -> list[list[dict[str, str]]]:
    return [[{"role": "user", "content": f"[{name}] What is 3 * 4?"}] for name in ANSWERS]


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, tuple[Any, ...]]:
    """Return the tokenizer and what TRL makes of the conversations."""
    folder = tmp_path_factory.mktemp("tools")
    build_tiny_model(folder / "model")
    tokenizer = AutoTokenizer.from_pretrained(folder / "model")
    tokenizer.chat_template = TEMPLATE.read_text(encoding="utf-8")

    def one(completions: list[Any], **kwargs: Any) -> list[float]:
        return [1.0] * len(completions)

    trainer = GRPOTrainer(
        model=str(folder / "model"),
        processing_class=tokenizer,
        reward_funcs=[one],
        args=GRPOConfig(
            output_dir=str(folder / "out"),
            per_device_train_batch_size=4,
            num_generations=2,
            max_completion_length=LONGEST,
            max_tool_calling_iterations=3,
            bf16=False,
            use_cpu=True,
            report_to="none",
        ),
        train_dataset=Dataset.from_dict({"prompt": prompts()}),
        tools=[multiply],
    )
    trainer.model.train()
    script = Script(tokenizer)

    def generate(prompt_ids: list[list[int]], *_: Any, **__: Any) -> tuple[list[list[int]], None]:
        return [script.answer(ids)[:LONGEST] for ids in prompt_ids], None

    trainer._generate_single_turn = generate
    trainer._sync_tool_dicts = [{"multiply": multiply} for _ in ANSWERS]
    trainer._async_tool_dicts = [{} for _ in ANSWERS]
    return tokenizer, trainer._generate(prompts())


@pytest.fixture(scope="module")
def ours(theirs: tuple[Any, tuple[Any, ...]]) -> list[SimpleNamespace]:
    """Return the samples of the converted script."""
    tokenizer = theirs[0]
    text = converted(
        grpo(
            f"max_completion_length={LONGEST}, max_tool_calling_iterations=3",
            trainer="tools=[brevity],",
        )
    )
    space = functions(text)
    space |= {"re": re, "json": json, "os": os}
    rows = [{"prompt": prompt} for prompt in prompts()]
    sample = space["sample_completions"]
    return sample(Script(tokenizer), rows, 1, tokenizer, space["config"], [multiply])


@pytest.mark.parametrize("case", list(ANSWERS))
def test_a_conversation_with_tools_equals_trl(
    theirs: tuple[Any, tuple[Any, ...]], ours: list[SimpleNamespace], case: str
) -> None:
    number = list(ANSWERS).index(case)
    prompt_ids, completion_ids, mask, completions, *_ = theirs[1]
    sample = ours[number]
    assert sample.prompt == prompt_ids[number]
    assert sample.tokens == completion_ids[number]
    assert sample.mask == mask[number]
    assert len(sample.logprobs) == len(sample.tokens)
    assert sample.completion == completions[number]
