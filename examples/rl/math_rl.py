"""Teach a model to add, with GRPO and a verifiable reward: 1 for the right number, otherwise 0.

MINT_BASE_URL=http://127.0.0.1:8000 MINT_API_KEY=sk-local python math_rl.py
"""

from __future__ import annotations

import argparse
import re
from typing import Any

from rl_core import RLAdapter, RLConfig, run_grpo

FEW_SHOT = "Q: What is 4 + 5?\nA: 9\n\n"
"""What tells a base model that was never asked questions that a number is wanted."""

Sum = tuple[int, int]


def is_held_out(a: int, b: int) -> bool:
    """Say whether a sum is kept for evaluation: one in five, spread over all operands."""
    return (3 * a + b) % 5 == 0


def extract_answer(response: str) -> int | None:
    """Return the first integer of a response, on its first line."""
    found = re.search(r"-?\d+", response.strip().partition("\n")[0])
    return int(found.group()) if found else None


class MathRL(RLAdapter):
    """Sums of two numbers from 0 to `largest_operand`."""

    def __init__(self, *, largest_operand: int = 19, few_shot: str = "") -> None:
        """`few_shot` is put before each question."""
        self.operands = range(largest_operand + 1)
        self.few_shot = few_shot

    def build_dataset(self) -> list[Sum]:
        """Return the sums to train on."""
        return [(a, b) for a in self.operands for b in self.operands if not is_held_out(a, b)]

    def build_eval_dataset(self) -> list[Sum]:
        """Return the other sums."""
        return [(a, b) for a in self.operands for b in self.operands if is_held_out(a, b)]

    def make_prompt(self, sample: Sum, tokenizer: Any) -> list[int]:
        """Return `Q: What is 3 + 5?`, and where the answer begins."""
        a, b = sample
        return tokenizer.encode(f"{self.few_shot}Q: What is {a} + {b}?\nA:")

    def compute_reward(self, response: str, sample: Sum) -> float:
        """Compare the answer with the sum; the question and its answer are the same sample."""
        return 1.0 if extract_answer(response) == sum(sample) else 0.0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--few-shot", action="store_true", help="show an example before each question"
    )
    few_shot = FEW_SHOT if parser.parse_args().few_shot else ""
    run_grpo(
        MathRL(few_shot=few_shot),
        RLConfig.from_env(batch_size=10, max_tokens=8, output_dir="math-rl"),
    )
