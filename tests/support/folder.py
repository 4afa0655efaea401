"""A folder with scripts to migrate: what lies in it, and git."""

from __future__ import annotations

import subprocess
from pathlib import Path

EXACT = """\
from peft import LoraConfig
from trl import SFTConfig, SFTTrainer

rows = [{"text": "one"}]
args = SFTConfig(output_dir="out", learning_rate=2e-4, max_length=64)
lora = LoraConfig(r=16, lora_alpha=32, target_modules="all-linear")
trainer = SFTTrainer("Qwen/Qwen3-0.6B", args=args, train_dataset=rows, peft_config=lora)
trainer.train()
"""
MANUAL = EXACT.replace("max_length=64", "max_length=64, neftune_noise_alpha=5")
APPROXIMATE = EXACT.replace("lora_alpha=32", "lora_alpha=32, lora_dropout=0.1")


def put(name: str, content: str | bytes = EXACT) -> Path:
    """Write a script below the current folder, and return its path."""
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def files() -> set[str]:
    """Return the files below the current folder, but for git's."""
    found = (path for path in Path().rglob("*") if path.is_file())
    return {path.as_posix() for path in found if path.parts[0] != ".git"}


def commit_all() -> None:
    """Make the current folder a repository with everything committed."""
    for args in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "first"]):
        identity = ["-c", "user.name=t", "-c", "user.email=t@example.com"]
        subprocess.run(["git", *identity, *args], check=True)
