"""A converted distillation brings the student to its teacher, on the runtime.

Student and teacher are small models that answer anything with two tokens: the student takes both
alike, the teacher prefers one. So the divergence is known at the start, and what a step learns is
seen above the noise of its estimate.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import mean

import pytest
import torch
from mint_migrate.bridge.runtime import Runtime, serve, tiny_model
from mint_migrate.bridge.world import build_world, quiet_environment
from support.distillation import distillation, gkd, minillm
from support.scripts import converted
from transformers import AutoModelForCausalLM, AutoTokenizer

pytestmark = [pytest.mark.parity, pytest.mark.timeout(900)]

NUM_STEPS = 16
LENGTH = 24
PREFERS = 0.9
"""How often the teacher takes the first of the two tokens."""
AT_START = 0.5 * math.log(0.5 / PREFERS) + 0.5 * math.log(0.5 / (1 - PREFERS))
"""Divergence of the student from the teacher, in nats for each token."""
COMMON = f"max_steps={NUM_STEPS}, learning_rate=3e-3, per_device_train_batch_size=16"
SCRIPTS = {
    "gkd": lambda: gkd(f"{COMMON}, beta=1, lmbda=1, max_new_tokens={LENGTH}, max_length=8192"),
    "distillation": lambda: distillation(f"{COMMON}, max_completion_length={LENGTH}"),
    "minillm": lambda: minillm(f"{COMMON}, max_completion_length={LENGTH}, num_generations=2"),
}


def answering(folder: Path, share: float) -> Path:
    """Save a small model that takes token 65 with this chance, and token 66 else."""
    start = tiny_model("qwen3")
    model = AutoModelForCausalLM.from_pretrained(start)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    generator = torch.Generator().manual_seed(0)
    for _ in range(80):
        prompts = torch.randint(0, model.config.vocab_size, (16, 16), generator=generator)
        answers = 66 - (torch.rand(16, LENGTH, generator=generator) < share).long()
        tokens = torch.cat([prompts, answers], dim=1)
        labels = tokens.masked_fill(torch.arange(tokens.shape[1]) < prompts.shape[1], -100)
        model(input_ids=tokens, labels=labels).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(start).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    """Serve both models."""
    root = tmp_path_factory.mktemp("distillation")
    models: dict[str, Path | None] = {
        "Qwen/Qwen3-0.6B": answering(root / "student", 0.5),
        "Qwen/Qwen3-1.7B": answering(root / "teacher", PREFERS),
    }
    with serve(models, state_dir=root / "state", env=quiet_environment()) as served:
        yield served


@pytest.mark.parametrize("name", SCRIPTS)
def test_the_student_comes_to_its_teacher(name: str, runtime: Runtime, tmp_path: Path) -> None:
    source = converted(SCRIPTS[name]())
    script = tmp_path / "script.py"
    script.write_text(source, encoding="utf-8")
    world = build_world(source, tmp_path / "hub", folder=tmp_path, num_steps=NUM_STEPS)
    done = subprocess.run(
        [sys.executable, script.name],
        cwd=tmp_path,
        env={**world.hub.apply_to(quiet_environment()), **runtime.client_environment()},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    lines = (tmp_path / "out" / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    divergences = [json.loads(line)["reverse_kl"] for line in lines]
    # What was trained into the two models is near what it should be, and no more.
    assert divergences[0] == pytest.approx(AT_START, rel=0.5)
    assert mean(divergences[-4:]) < 0.5 * divergences[0], divergences
