"""What becomes of launchers, configurations, notebooks and projects trains on the runtime."""

from __future__ import annotations

import json
import os
import shutil
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


def run_in(folder: Path) -> tuple[str, list[float]]:
    """Run the script of a folder to its end; return what it prints, and its losses."""
    ran = subprocess.run(
        [sys.executable, "-m", "mint_migrate", "run", "train_mint.py", "--tiny"],
        cwd=folder,
        env={**os.environ, **PASSED, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=500,
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    (metrics,) = folder.rglob("metrics.jsonl")
    records = [json.loads(line) for line in metrics.read_text(encoding="utf-8").splitlines()]
    losses = [record["loss"] for record in records if "loss" in record]
    assert len(losses) >= 3
    assert all(abs(loss) < 20.0 for loss in losses), losses
    return ran.stdout, losses


@pytest.mark.parametrize(
    "name",
    ["launchers/sft_one_command.sh", "launchers/sft_accelerate.sh", "notebooks/sft_tutor.ipynb"],
)
def test_conversion_trains_to_its_end(name: str, tmp_path: Path) -> None:
    script = tmp_path / "train_mint.py"
    script.write_text(script_of(BEFORE / name), encoding="utf-8")
    printed, losses = run_in(tmp_path)
    assert "saved as tinker://" in printed
    assert min(losses) > 0.0


@pytest.mark.parametrize("name", ["sft_settings", "dpo_package", "grpo_values", "sft_factory"])
def test_conversion_of_a_project_trains_without_the_modules_that_came(
    name: str, tmp_path: Path
) -> None:
    folder = tmp_path / name
    shutil.copytree(BEFORE / "projects" / name, folder)
    text = script_of(folder / "train.py")
    (folder / "train_mint.py").write_text(text, encoding="utf-8")
    for path in folder.rglob("*.py"):
        if f"# From {path.relative_to(folder).as_posix()}." in text:
            path.unlink()
    run_in(folder)
