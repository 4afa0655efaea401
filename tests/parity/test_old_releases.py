"""The rules of each release, checked against what that release really trained.

`fixtures/losses/` holds figures that `record_old_release.py` took from real releases of TRL and
transformers. Here the same scripts are converted for their release, trained on the runtime from the
same adapter, and compared step by step, so that the old releases need not be installed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from mint_migrate.bridge.runtime import serve
from mint_migrate.bridge.world import quiet_environment
from mint_migrate.parity.compare import Comparison, compare
from mint_migrate.parity.steps import Step, read_steps
from support.cases import FIXTURES
from support.old_world import MODELS, SEED, adapter_digest, write_adapter, write_world

pytestmark = [pytest.mark.parity, pytest.mark.timeout(300)]

SCRIPTS = FIXTURES / "before" / "trl_old"
LOSSES = FIXTURES / "losses"
CASES = sorted(
    f"{path.parent.name}/{path.stem}" for path in SCRIPTS.glob("*/*.py")
)
DIFFERS: dict[str, str] = {}
"""Case -> code that its report must hold, where the conversion says that it is not exact."""


def recorded(case: str) -> dict[str, object]:
    """Return what an old release recorded for a case."""
    version, _, name = case.partition("/")
    content = json.loads((LOSSES / f"trl-{version}-{name}.json").read_text(encoding="utf-8"))
    return dict(content)


def migrate(case: str, folder: Path) -> str:
    """Convert the script of a case for its release into *folder*; return the report."""
    version = case.partition("/")[0]
    (folder / "train.py").write_bytes((SCRIPTS / f"{case}.py").read_bytes())
    command = ["migrate", "train.py", "--source-version", f"trl=={version}", "--report", "json"]
    done = subprocess.run(
        [sys.executable, "-m", "mint_migrate", *command],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (folder / "train_mint.py").is_file(), done.stderr
    return next(folder.glob("*.json")).read_text(encoding="utf-8")


def train(folder: Path) -> tuple[Step, ...]:
    """Train the conversion on a runtime that starts from the world's adapter."""
    write_adapter(folder / "adapter")
    environment = quiet_environment() | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(folder / "hub")}
    models = {name: folder / name for name in MODELS}
    with serve(
        models, state_dir=folder / "state", initial_adapter=folder / "adapter", env=environment
    ) as runtime:
        done = subprocess.run(
            [sys.executable, "train_mint.py"],
            cwd=folder,
            env=environment | runtime.client_environment(),
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr[-3000:]
    return read_steps(folder / "out" / "metrics.jsonl")


def replay(case: str, folder: Path) -> tuple[Comparison, str, int]:
    """Convert and train a case; return the comparison, the report and the number of all steps."""
    write_world(folder)
    report = migrate(case, folder)
    content = recorded(case)
    original = tuple(
        Step(
            loss=step["loss"],
            learning_rate=step["learning_rate"],
            grad_norm=step["grad_norm"],
            num_loss_tokens=step["num_loss_tokens"],
            num_rows=step["num_rows"],
        )
        for step in content["steps"]
    )
    converted = train(folder)
    return compare(original, converted[: len(original)]), report, len(converted)


def test_the_start_is_the_recorded_one() -> None:
    content = recorded(CASES[0])
    assert (content["seed"], content["adapter"]) == (SEED, adapter_digest())


@pytest.mark.parametrize("case", [case for case in CASES if case not in DIFFERS])
def test_conversion_trains_as_the_release_did(case: str, tmp_path: Path) -> None:
    comparison, _report, num_steps = replay(case, tmp_path)
    assert comparison.is_equal, comparison.first_difference
    assert num_steps == recorded(case)["num_steps"]


@pytest.mark.parametrize("case", sorted(DIFFERS))
def test_what_cannot_be_exact_is_said(case: str, tmp_path: Path) -> None:
    comparison, report, _num_steps = replay(case, tmp_path)
    assert not comparison.is_equal
    assert DIFFERS[case] in report
