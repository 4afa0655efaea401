"""A project of several files trains to the numbers of TRL, converted with its modules."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.parity, pytest.mark.timeout(900)]

PROJECTS = Path(__file__).resolve().parents[2] / "fixtures" / "before" / "projects"
NUM_STEPS = 6


@pytest.mark.parametrize("name", ["sft_settings", "dpo_package", "grpo_values", "sft_factory"])
def test_a_project_trains_to_the_same_numbers_as_trl(name: str, tmp_path: Path) -> None:
    folder = tmp_path / name
    shutil.copytree(PROJECTS / name, folder)
    arguments = ["verify", "train.py", "--steps", str(NUM_STEPS), "--format", "json"]
    ran = subprocess.run(
        [sys.executable, "-m", "mint_migrate", *arguments],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert ran.returncode in {0, 1}, ran.stderr
    report = json.loads(ran.stdout)
    assert ran.returncode == 0, (report["cause"], report["steps"][:2])
    assert len(report["steps"]) == NUM_STEPS
    assert not list(folder.glob("*_mint.py"))
