"""Make a model write programs that work, with GRPO: the reward is the share of tests they pass.

    MINT_BASE_URL=http://127.0.0.1:8000 MINT_API_KEY=sk-local python code_rl.py

What a model writes is run in `sandbox.py`; read there what that protects against.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rl_core import RLAdapter, RLConfig, run_grpo
from sandbox import Outcome, run_program

FEW_SHOT = "Q: Print twice a.\nA: print(a * 2)\n\n"
"""What tells a base model that a program is wanted, and nothing else."""
PREAMBLE = "a, b = map(int, input().split())\n"
"""Put before each program, so that it can be as short as its task."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """What to print, and pairs of input and output that show it."""

    statement: str
    tests: tuple[tuple[str, str], ...]


def _problem(statement: str, solution: Callable[[int, int], int]) -> Problem:
    pairs = ((3, 8), (9, 2), (5, 5), (0, 7))
    tests = tuple((f"{a} {b}\n", str(solution(a, b))) for a, b in pairs)
    return Problem(statement=statement, tests=tests)


PROBLEMS = (
    _problem("the sum of a and b", lambda a, b: a + b),
    _problem("the difference of a and b", lambda a, b: a - b),
    _problem("the product of a and b", lambda a, b: a * b),
    _problem("the larger of a and b", max),
    _problem("the smaller of a and b", min),
)


def extract_program(response: str) -> str:
    """Return the code of a response: inside a fence if there is one, else the first paragraph."""
    fenced = re.search(r"```(?:python)?\n(.*?)(?:```|\Z)", response, re.DOTALL)
    return fenced.group(1) if fenced else response.strip().partition("\n\n")[0]


class CodeRL(RLAdapter):
    """Problems with tests. `execute` may be any other sandbox with the same signature."""

    def __init__(
        self, *, few_shot: str = "", execute: Callable[[str, str], Outcome] = run_program
    ) -> None:
        """`few_shot` is put before each problem."""
        self.few_shot, self.execute = few_shot, execute

    def build_dataset(self) -> list[Problem]:
        """Return the problems."""
        return list(PROBLEMS)

    def make_prompt(self, sample: Problem, tokenizer: Any) -> list[int]:
        """Return the problem, and where the program begins."""
        return tokenizer.encode(f"{self.few_shot}Q: Print {sample.statement}.\nA:")

    def compute_reward(self, response: str, sample: Problem) -> float:
        """Return the share of tests whose output is right, with the first crash ending it."""
        program = PREAMBLE + extract_program(response)
        num_passed = 0
        for stdin, expected in sample.tests:
            outcome = self.execute(program, stdin)
            if outcome.status != "ok":
                break
            num_passed += outcome.stdout.strip() == expected
        return num_passed / len(sample.tests)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--few-shot", action="store_true", help="show an example before each problem"
    )
    few_shot = FEW_SHOT if parser.parse_args().few_shot else ""
    run_grpo(
        CodeRL(few_shot=few_shot),
        RLConfig.from_env(max_tokens=256, output_dir="code-rl"),
    )
