"""A converted script that is killed goes on from its checkpoint to the same numbers, on a restarted
runtime.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.cases import ROOT, copy_case

pytestmark = [pytest.mark.parity, pytest.mark.timeout(600)]

CHECKPOINT = 10
"""`save_steps` of the fixture."""
KILLED_AFTER = 12
LOSS_TOLERANCE = 1e-6
"""Relative.

Weights, moments and step count are restored bit by bit; only the log's digits differ.
"""


def start(folder: Path, *arguments: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "mint_migrate", "run", "sft_resume_mint.py", "--tiny"]
    command += ["--state-dir", str(folder / "state"), "--", *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with (folder / "log.txt").open("ab") as log:
        return subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def losses(folder: Path) -> dict[int, float]:
    """Return the last loss written for each step."""
    path = folder / "spot-run" / "metrics.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    entries = [json.loads(line) for line in lines if line.endswith("}")]
    return {entry["step"]: entry["loss"] for entry in entries if "loss" in entry}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    copy_case("sft_resume", tmp_path)
    shutil.copy(
        ROOT / "fixtures" / "after" / "trl" / "sft_resume.py", tmp_path / "sft_resume_mint.py"
    )
    return tmp_path


def test_killed_run_resumes_to_the_numbers_of_an_uninterrupted_one(folder: Path) -> None:
    whole = start(folder)
    assert whole.wait(timeout=300) == 0, (folder / "log.txt").read_text()
    expected = losses(folder)
    shutil.rmtree(folder / "spot-run")
    shutil.rmtree(folder / "state")

    killed = start(folder)
    deadline = time.monotonic() + 200
    while (
        len(losses(folder)) < KILLED_AFTER and killed.poll() is None and time.monotonic() < deadline
    ):
        time.sleep(0.02)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait(timeout=30)
    assert CHECKPOINT < len(losses(folder)) < len(expected), "killed too late to prove anything"
    (folder / "spot-run" / "metrics.jsonl").unlink()

    resumed = start(folder, "--resume", f"spot-run/checkpoint-{CHECKPOINT}")
    assert resumed.wait(timeout=300) == 0, (folder / "log.txt").read_text()
    found = losses(folder)
    assert sorted(found) == [step for step in sorted(expected) if step >= CHECKPOINT]
    for step, loss in found.items():
        assert loss == pytest.approx(expected[step], rel=LOSS_TOLERANCE)
