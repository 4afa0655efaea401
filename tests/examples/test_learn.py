"""The examples learn: real scripts, the published client, a real server, minutes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from support.server import KEY, ROOT, environment, running_server

pytestmark = [pytest.mark.learn, pytest.mark.timeout(1800)]
TABLE_ROWS = ("SFT", "GRPO")


def run_learn(folder: Path, *options: str) -> tuple[int, dict[str, tuple[float, float]]]:
    """Return the exit status of learn.py, and each row's percentages before and after."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "learn.py"), "--folder", str(folder), *options],
        env=environment(TINKER_TELEMETRY="0"),
        capture_output=True,
        text=True,
    )
    rows = [line.split() for line in done.stdout.splitlines()]
    table = {
        row[0]: (float(row[1].rstrip("%")), float(row[2].rstrip("%")))
        for row in rows
        if row and row[0] in TABLE_ROWS
    }
    assert set(table) == set(TABLE_ROWS), done.stdout + done.stderr
    return done.returncode, table


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder in which the base model is made once."""
    return tmp_path_factory.mktemp("learn")


def test_both_lessons_reach_their_targets(folder: Path) -> None:
    status, table = run_learn(folder)
    assert status == 0
    for before, _ in table.values():
        assert 20 <= before <= 60  # mediocre: there is something to learn, and something to go by
    assert table["SFT"][1] > 95
    assert table["GRPO"][1] > 90


def test_without_a_learning_rate_nothing_is_learned(folder: Path) -> None:
    status, table = run_learn(folder, "--learning-rate", "0")
    assert status == 1
    for before, after in table.values():
        # Of 100 strings, one or two may hang on the last bit of a sum.
        assert after == pytest.approx(before, abs=2)


ADAPTERS = {
    "math": ("math_rl.py", {"STEPS": "25", "BATCH": "16", "GROUP": "16", "MAX_TOKENS": "8"}),
    "chat": ("chat_rl.py", {"STEPS": "12", "BATCH": "6", "GROUP": "8", "MAX_TOKENS": "48"}),
    "code": ("code_rl.py", {"STEPS": "12", "BATCH": "5", "GROUP": "8", "MAX_TOKENS": "24"}),
}


@pytest.mark.parametrize(("script", "settings"), ADAPTERS.values(), ids=ADAPTERS.keys())
def test_each_adapter_earns_more_than_at_the_start(
    script: str, settings: dict[str, str], folder: Path, tmp_path: Path
) -> None:
    base = folder / "base"
    if not base.exists():
        pretrain = [sys.executable, str(ROOT / "examples" / "pretrain_tiny.py"), str(base)]
        subprocess.run(pretrain, env=environment(), check=True)
    with running_server(base, tmp_path / "state") as server:
        variables = {f"MINT_RL_{name}": value for name, value in settings.items()}
        subprocess.run(
            [sys.executable, str(ROOT / "examples" / "rl" / script)],
            env=environment(
                MINT_BASE_URL=server.url,
                MINT_API_KEY=KEY,
                MINT_BASE_MODEL="tiny",
                MINT_LORA_RANK="32",
                MINT_RL_LR="3e-3",
                MINT_RL_TEMPERATURE="1",
                MINT_RL_OUTPUT_DIR=str(tmp_path / "run"),
                **variables,
            ),
            check=True,
        )
    records = map(json.loads, (tmp_path / "run" / "metrics.jsonl").read_text().splitlines())
    rewards = [record["reward"] for record in records if "reward" in record]
    # Means of four steps, as one step has few prompts; all three rise by 0.15 and more.
    assert sum(rewards[-4:]) / 4 > sum(rewards[:4]) / 4 + 0.05
