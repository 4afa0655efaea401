"""What becomes of launchers, configurations and notebooks trains on the runtime to its end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from mint_migrate.batch import migrate_path
from mint_migrate.model.outcome import Migrated
from mint_migrate.model.source import Options

pytestmark = [pytest.mark.parity, pytest.mark.timeout(600)]

BEFORE = Path(__file__).resolve().parents[2] / "fixtures" / "before"
PASSED = {"OUT": "runs/now", "seed": "3"}
"""What the converted launcher of `sft_accelerate` passes on."""


def script_of(path: Path) -> str:
    """Return the converted script; of a notebook, its code without what only IPython knows."""
    outcome, _ = migrate_path(path, Options())
    assert isinstance(outcome, Migrated)
    assert outcome.text is not None
    if path.suffix != ".ipynb":
        return outcome.text
    sources = [
        "".join(cell["source"])
        for cell in json.loads(outcome.text)["cells"]
        if cell["cell_type"] == "code"
    ]
    python = [source for source in sources if not source.startswith(("%pip", "%%bash", "load_"))]
    text = "\n\n".join(python).replace("%%time\n", "").replace("!ls runs", "[]")
    compile(text, path.name, "exec")
    return text


@pytest.mark.parametrize(
    "name",
    ["launchers/sft_one_command.sh", "launchers/sft_accelerate.sh", "notebooks/sft_tutor.ipynb"],
)
def test_conversion_trains_to_its_end(name: str, tmp_path: Path) -> None:
    script = tmp_path / "train_mint.py"
    script.write_text(script_of(BEFORE / name), encoding="utf-8")
    ran = subprocess.run(
        [sys.executable, "-m", "mint_migrate", "run", script.name, "--tiny"],
        cwd=tmp_path,
        env={**os.environ, **PASSED, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=500,
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    assert "saved as tinker://" in ran.stdout
    (metrics,) = tmp_path.rglob("metrics.jsonl")
    records = [json.loads(line) for line in metrics.read_text(encoding="utf-8").splitlines()]
    losses = [record["loss"] for record in records if "loss" in record]
    assert len(losses) >= 3
    assert all(0.0 < loss < 20.0 for loss in losses), losses
