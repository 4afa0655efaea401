"""PPO driven step by step, without its critic, against TRL 0.11.4 with a critic that answers 0.

`fixtures/losses/trl-0.11.4-ppo-*.json` hold what that release sampled and computed
(`record_old_ppo.py`). Here the same scripts are converted, given the same responses, and compared
step by step: penalties, scores, losses, the moving coefficient and the size of the last gradient.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from mint_migrate.bridge.runtime import serve
from mint_migrate.bridge.world import quiet_environment
from support.cases import FIXTURES
from support.old_world import MODELS, write_adapter, write_world

pytestmark = [pytest.mark.parity, pytest.mark.timeout(600)]

SCRIPTS = FIXTURES / "before" / "ppo_old" / "0.11.4"
CASES = sorted(path.stem for path in SCRIPTS.glob("*.py"))
FIGURES = (
    "objective/kl",
    "objective/kl_coef",
    "ppo/mean_non_score_reward",
    "ppo/mean_scores",
    "ppo/std_scores",
    "ppo/loss/policy",
    "ppo/policy/policykl",
    "ppo/policy/clipfrac",
)
TOLERANCE = 1e-4
"""Relative. Where a mean of both signs cancels, the same share of the scale below."""
SCALE = {"ppo/loss/policy": 1.0, "ppo/policy/policykl": 0.1, "ppo/mean_non_score_reward": 0.1}


def recorded(case: str) -> list[dict[str, Any]]:
    path = FIXTURES / "losses" / f"trl-0.11.4-ppo-{case}.json"
    return list(json.loads(path.read_text(encoding="utf-8"))["steps"])


def convert(case: str, folder: Path) -> Path:
    """Convert the script of a case into *folder*."""
    (folder / "train.py").write_bytes((SCRIPTS / f"{case}.py").read_bytes())
    options = ["--ppo", "critic-free", "--source-version", "trl==0.11.4"]
    done = subprocess.run(
        [sys.executable, "-m", "mint_migrate", "train.py", *options],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (folder / "train_mint.py").is_file(), done.stderr
    return folder / "train_mint.py"


def train(script: Path, steps: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Train a conversion on the recorded responses and return its metrics."""
    folder = script.parent
    write_world(folder)
    write_adapter(folder / "adapter")
    samples = [(number, item) for number, step in enumerate(steps) for item in step["samples"]]
    lines = [
        {"step": number, "prompt": item["prompt"], "completion": item["completion"]}
        for number, item in samples
    ]
    (folder / "replay.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    environment = quiet_environment() | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(folder / "hub")}
    with serve(
        {name: folder / name for name in MODELS},
        state_dir=folder / "state",
        initial_adapter=folder / "adapter",
        replay=folder / "replay.jsonl",
        env=environment,
    ) as runtime:
        done = subprocess.run(
            [sys.executable, script.name],
            cwd=folder,
            env=environment | runtime.client_environment(),
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr[-3000:]
    lines = (folder / "ppo_output" / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


@pytest.mark.parametrize("case", CASES)
def test_every_step_computes_what_the_release_computed(case: str, tmp_path: Path) -> None:
    steps = recorded(case)
    found = train(convert(case, tmp_path), steps)
    assert len(found) == len(steps) >= 10
    for number, (step, record) in enumerate(zip(steps, found, strict=True)):
        for name in FIGURES:
            scale = SCALE.get(name, 0.0)
            expected = pytest.approx(step[name], rel=TOLERANCE, abs=TOLERANCE * scale)
            assert record[name] == expected, f"step {number}: {name}"
        last = step["norms"][-1]
        assert record["grad_norm"] == pytest.approx(last, rel=1e-3), f"step {number}: grad_norm"
