"""A conversion trains to TRL's numbers whichever family of models its script names."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from mint_migrate.bridge.runtime import architecture_for
from support.cases import copy_case

pytestmark = [pytest.mark.parity, pytest.mark.timeout(600)]

CASE = "sft_weight_decay"
ITS_MODEL = "meta-llama/Llama-3.2-1B"
NUM_STEPS = 5
NAMES = (
    "google/gemma-3-1b-it",
    "mistralai/Mistral-7B-v0.1",
    "Qwen/Qwen3-30B-A3B",
)
"""Models of families that no fixture with `verify = true` names."""


def mint_migrate(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a folder."""
    return subprocess.run(
        [sys.executable, "-m", "mint_migrate", *arguments],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def write_script(folder: Path, name: str) -> Path:
    """Write the case with another model into a folder."""
    script = copy_case(CASE, folder)
    text = script.read_text(encoding="utf-8")
    assert ITS_MODEL in text
    script.write_text(text.replace(ITS_MODEL, name), encoding="utf-8")
    return script


@pytest.mark.parametrize("name", NAMES)
def test_conversion_trains_to_the_same_numbers_as_trl(tmp_path: Path, name: str) -> None:
    script = write_script(tmp_path, name)
    done = mint_migrate(
        tmp_path, "verify", script.name, "--steps", str(NUM_STEPS), "--format", "json"
    )
    assert done.returncode == 0, done.stderr + done.stdout
    assert len(json.loads(done.stdout)["steps"]) == NUM_STEPS


def test_conversion_for_a_mixture_of_experts_trains_one(tmp_path: Path) -> None:
    name = "Qwen/Qwen3-30B-A3B"
    assert architecture_for(name) == "qwen3_moe"
    script = write_script(tmp_path, name)
    assert mint_migrate(tmp_path, script.name).returncode == 0
    done = mint_migrate(tmp_path, "run", f"{script.stem}_mint.py", "--tiny")
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.rglob("metrics.jsonl"))
