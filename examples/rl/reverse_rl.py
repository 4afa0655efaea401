"""Teach a model to reverse strings of digits, with GRPO: a task of one's own in one page.

    MINT_BASE_URL=http://127.0.0.1:8000 MINT_API_KEY=sk-local python reverse_rl.py

The presets at the end suit the model of `../pretrain_tiny.py`, served as `tiny`.
"""

from __future__ import annotations

import random
from typing import Any

from rl_core import RLAdapter, RLConfig, run_grpo

NUM_DIGITS = 5


def is_held_out(digits: str) -> bool:
    """Say whether a string is kept for evaluation: one in seven, any digit in any place."""
    return int(digits) % 7 == 3


class ReverseRL(RLAdapter):
    """Strings of five digits; the reward is 1 for the exact reverse, otherwise 0."""

    def __init__(self, *, num_strings: int = 4000, seed: int = 0) -> None:
        """Draw the strings; the same seed draws the same ones."""
        rng = random.Random(seed)
        self.strings = [
            "".join(rng.choices("0123456789", k=NUM_DIGITS)) for _ in range(num_strings)
        ]

    def build_dataset(self) -> list[str]:
        """Return the strings to train on."""
        return [digits for digits in self.strings if not is_held_out(digits)]

    def build_eval_dataset(self) -> list[str]:
        """Return a hundred strings that are not."""
        return [digits for digits in self.strings if is_held_out(digits)][:100]

    def make_prompt(self, sample: str, tokenizer: Any) -> list[int]:
        """Return the question; the answer starts right behind it."""
        return tokenizer.encode(f"Q: Reverse {sample}.\nA:")

    def compute_reward(self, response: str, sample: str) -> float:
        """Compare the whole response, spaces around it excepted."""
        return 1.0 if response.strip() == sample[::-1] else 0.0


if __name__ == "__main__":
    run_grpo(
        ReverseRL(),
        RLConfig.from_env(
            base_model="tiny",
            rank=32,
            steps=60,
            batch_size=32,
            group_size=16,
            max_tokens=8,
            temperature=1.0,
            learning_rate=3e-3,
            beta2=0.95,
            normalize_by_std=True,
            output_dir="reverse-rl",
        ),
    )
