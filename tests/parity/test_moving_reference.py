"""A reference that follows the policy moves in a conversion when, and to where, it does in TRL.

TRL moves the weights of a second model and refuses to do so beside an adapter. The originals here
give its trainer such a second model, and its own callback: a copy of everything that is trained.
What is converted is the script that asks for the same with an option.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.parity, pytest.mark.timeout(900)]

NUM_STEPS = 10
MOVES_EVERY = 3

SCRIPTS = {
    "dpo": """
from datasets import load_dataset
from peft import LoraConfig
from trl import DPOConfig, DPOTrainer

args = DPOConfig(
    output_dir="out",
    per_device_train_batch_size=4,
    learning_rate=1e-3,
    beta=0.5,
    max_length=96,
    ref_model_mixup_alpha=1.0,
    ref_model_sync_steps=3,
{asked}
)
trainer = DPOTrainer(
    model="Qwen/Qwen3-0.6B",
    args=args,
    train_dataset=load_dataset("trl-lib/ultrafeedback_binarized", split="train"),
    peft_config=LoraConfig(r=8, lora_alpha=32, target_modules="all-linear"),
)
{given}
trainer.train()
""",
    "grpo": """
from datasets import load_dataset
from peft import LoraConfig
from trl import GRPOConfig, GRPOTrainer


def brevity(completions, **kwargs):
    return [-float(len(text)) for text in completions]


args = GRPOConfig(
    output_dir="out",
    per_device_train_batch_size=8,
    num_generations=4,
    max_completion_length=8,
    learning_rate=1e-3,
    beta=0.1,
    ref_model_mixup_alpha=1.0,
    ref_model_sync_steps=3,
{asked}
)
trainer = GRPOTrainer(
    model="Qwen/Qwen3-0.6B",
    reward_funcs=brevity,
    args=args,
    train_dataset=load_dataset("trl-lib/tldr", split="train"),
    peft_config=LoraConfig(r=8, lora_alpha=32, target_modules="all-linear"),
)
{given}
trainer.train()
""",
}
ASKED = "    sync_ref_model=True,"
GIVEN = """
import copy
from trl.trainer.callbacks import SyncRefModelCallback

trainer.ref_model = copy.deepcopy(trainer.accelerator.unwrap_model(trainer.model)).eval()
trainer.add_callback(SyncRefModelCallback(trainer.ref_model, trainer.accelerator))
"""


def verify(name: str, folder: Path, old: str = "", new: str = "") -> tuple[int, Any]:
    """Convert the script that asks, and verify it beside the one that is given a second model."""
    script, converted = folder / "train.py", folder / "train_mint.py"
    script.write_text(SCRIPTS[name].format(asked=ASKED, given=""), encoding="utf-8")
    done = _mint_migrate([script.name], folder)
    assert converted.is_file(), done.stderr
    text = converted.read_text(encoding="utf-8")
    assert old in text
    converted.write_text(text.replace(old, new) if old else text, encoding="utf-8")
    script.write_text(SCRIPTS[name].format(asked="", given=GIVEN), encoding="utf-8")
    arguments = ["verify", script.name, converted.name, "--steps", str(NUM_STEPS)]
    done = _mint_migrate([*arguments, "--format", "json"], folder)
    assert done.returncode in {0, 1}, done.stderr
    return done.returncode, json.loads(done.stdout)


def _mint_migrate(arguments: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mint_migrate", *arguments],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )


@pytest.mark.parametrize("name", SCRIPTS)
def test_reference_moves_as_that_of_trl(name: str, tmp_path: Path) -> None:
    status, report = verify(name, tmp_path)
    assert status == 0, (report["cause"], report["steps"][:4])
    assert len(report["steps"]) == NUM_STEPS


@pytest.mark.parametrize("name", SCRIPTS)
def test_reference_that_stays_is_found_out_after_its_first_move(name: str, tmp_path: Path) -> None:
    old = f"{' ' * 16}reference_client = training_client.save_weights_and_get_sampling_client()"
    status, report = verify(name, tmp_path, old=old, new=f"{' ' * 16}pass")
    assert status == 1
    assert report["first_difference"] == MOVES_EVERY
