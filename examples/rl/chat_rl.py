"""Make a model's replies pleasant, with GRPO and a judge of your choice.

    python chat_rl.py                                  # the local judge, no network
    python chat_rl.py --judge-url http://host/v1 --judge-model NAME

The judge's key is read from JUDGE_API_KEY; the MinT server is named as in `math_rl.py`.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from typing import Any

from judge import EndpointJudge, HeuristicJudge, Judge
from rl_core import RLAdapter, RLConfig, run_grpo

MESSAGES = (
    "hello",
    "good day",
    "can you help me",
    "what is this",
    "i have a question",
    "who are you",
)


class ChatRL(RLAdapter):
    """Single turns, written through the model's own chat template."""

    def __init__(self, judge: Judge, messages: Sequence[str] = MESSAGES) -> None:
        """Score replies to `messages` with `judge`."""
        self.judge = judge
        self.messages = list(messages)

    def build_dataset(self) -> list[str]:
        """Return the users' messages."""
        return self.messages

    def make_prompt(self, sample: str, tokenizer: Any) -> list[int]:
        """Return the message and the header of the reply."""
        # With return_dict left out, transformers 5 returns a mapping and transformers 4 a list.
        return list(
            tokenizer.apply_chat_template(
                [{"role": "user", "content": sample}],
                tokenize=True,
                add_generation_prompt=True,
                return_dict=False,
            )
        )

    def compute_reward(self, response: str, sample: str) -> float:
        """Ask the judge."""
        return self.judge.score(sample, response)


def build_judge(args: argparse.Namespace) -> Judge:
    """Return the judge that the command line names."""
    if args.judge_url is None:
        return HeuristicJudge()
    return EndpointJudge(
        base_url=args.judge_url,
        model=args.judge_model,
        api_key=os.environ.get("JUDGE_API_KEY", ""),
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--judge-url", help="an OpenAI-compatible endpoint, up to /v1")
    parser.add_argument("--judge-model", default="default")
    run_grpo(
        ChatRL(build_judge(parser.parse_args())),
        RLConfig.from_env(max_tokens=128, output_dir="chat-rl"),
    )
