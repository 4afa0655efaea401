"""A script that drives a worker of verl by hand trains on the runtime after its conversion."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from support.cases import FIXTURES
from support.scripts import converted, outcome
from support.server import KEY, environment, running_server
from support.tiny_folder import tiny_folder

NAME = "Qwen/Qwen2.5-0.5B-Instruct"
CONFIG = {
    "model": {"path": NAME},
    "rollout": {"response_length": 8, "temperature": 1.0},
    "actor": {"clip_ratio": 0.2, "ppo_epochs": 1, "optim": {"lr": 1e-3}},
}


@pytest.mark.parity
def test_worker_steps_train_three_steps(tmp_path: Path) -> None:
    source = FIXTURES / "before" / "verl" / "python" / "worker_steps.py"
    result = outcome(source.read_text(encoding="utf-8"), path=source.name)
    script = tmp_path / "worker_steps_mint.py"
    script.write_text(converted(result), encoding="utf-8")
    model = tiny_folder()
    # A folder that is called like the model is found by name, as a tokenizer and as a base model.
    shutil.copytree(model, tmp_path / NAME)
    (tmp_path / "worker.json").write_text(json.dumps(CONFIG), encoding="utf-8")
    rows = [{"question": f"What is {n} and {n}?", "answer": "p"} for n in range(8)]
    pd.DataFrame(rows).to_parquet(tmp_path / "rows.parquet")
    with running_server(model, tmp_path / "state", name=NAME) as server:
        done = subprocess.run(
            [sys.executable, str(script), "--data", "rows.parquet"],
            cwd=tmp_path,
            env=environment(MINT_BASE_URL=server.url, MINT_API_KEY=KEY, TINKER_TELEMETRY="0"),
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr[-3000:]
    norms = [float(text) for text in re.findall(r"'actor/grad_norm': \[([^\]]+)\]", done.stdout)]
    assert len(norms) == 3
    # Half of the random texts hold the letter. A group of four that all do, or none, has advantages
    # of 0; that all six groups are like that happens once in 200,000 runs.
    assert max(norms) > 0, done.stdout
