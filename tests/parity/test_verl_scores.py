"""The rules that results bring score as verl 0.9.1 does, on many responses.

The functions come out of a converted launcher; verl's own run in an environment of their own.
"""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any

import pytest
from support.environments import REQUIREMENTS, environment
from support.verl_launch import launched, script_of
from support.verl_math import loaded
from support.verl_scores import draw_cases

pytestmark = [pytest.mark.environments, pytest.mark.timeout(1800)]

COUNT = 8000
SOURCES = {
    "gsm8k": ["openai/gsm8k"],
    "math": ["lighteval/MATH", "DigitalLearningGmbH/MATH-lighteval", "HuggingFaceH4/MATH-500"],
    "math_dapo": ["math_dapo", "math", "math_dapo_reasoning", "aime2024", "aime"],
}
FILES = "['gsm8k/train.parquet','math/train.parquet','dapo-math-17k.parquet']"
RIGHT = 0.05
"""At least this share of the answers is right, and of them wrong."""

Case = tuple[str, str, str]


@pytest.fixture(scope="module")
def cases() -> dict[str, list[Case]]:
    return {
        rule: [*draw_cases(sources, COUNT, seed=number, numbers=rule == "gsm8k")]
        for number, (rule, sources) in enumerate(SOURCES.items())
    }


@pytest.fixture(scope="module")
def theirs(
    cases: dict[str, list[Case]], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, list[Any]]:
    """What verl returns of each case."""
    folder = tmp_path_factory.mktemp("scores")
    given, result = folder / "cases.json", folder / "result.json"
    given.write_text(json.dumps([case for rule in cases.values() for case in rule]))
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [str(environment("verl")), str(REQUIREMENTS / "verl_scores.py"), str(given), str(result)],
        env=variables,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    scores = iter(json.loads(result.read_text()))
    return {rule: [next(scores) for _ in of_rule] for rule, of_rule in cases.items()}


@pytest.mark.parametrize("rule", SOURCES)
def test_responses_score_as_in_verl(rule, cases, theirs):
    options = {"algorithm.adv_estimator": "grpo", "actor_rollout_ref.rollout.n": 4}
    script = script_of(launched({"data.train_files": FILES, **options}))
    assert f"def score_{rule}(" in script
    compute_score = loaded(script)["compute_score"]

    ours = [compute_score(*case) for case in cases[rule]]

    apart = [
        (case, our, their)
        for case, our, their in zip(cases[rule], ours, theirs[rule], strict=True)
        if our != their
    ]
    assert apart == []
    right = [(item["score"] if isinstance(item, dict) else item) > 0 for item in ours]
    assert RIGHT < sum(right) / len(right) < 1 - RIGHT
