"""Every converted fixture trains three steps on the runtime, through the published client."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
from support.cases import ROOT, copy_case, verifiable

pytestmark = [pytest.mark.parity, pytest.mark.timeout(1500)]

NUM_STEPS = 3
PROCESSES = 2
CONVERTED = sorted(path.stem for path in (ROOT / "fixtures" / "after" / "trl").glob("*.py"))
OTHERS = [case for case in CONVERTED if case not in verifiable()]
"""The verifiable ones train twenty steps in `test_verify_fixtures.py`."""


def losses_in(folder: Path) -> list[float]:
    """Return the losses that a script has written so far, of all its `metrics.jsonl`."""
    lines = [
        json.loads(line)
        for path in folder.rglob("metrics.jsonl")
        for line in path.read_text(encoding="utf-8").splitlines()
        if line.endswith("}")
    ]
    return [line["loss"] for line in lines if "loss" in line]


def train(case: str, folder: Path) -> tuple[list[float], str]:
    """Run a conversion until it has made its steps; return losses and what it printed."""
    copy_case(case, folder)
    emitted = folder / f"{case}_mint.py"
    text = (ROOT / "fixtures" / "after" / "trl" / f"{case}.py").read_text(encoding="utf-8")
    emitted.write_text(text.replace('"/tmp/', '"tmp/'), encoding="utf-8")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "WANDB_MODE": "disabled"}
    command = [sys.executable, "-m", "mint_migrate", "run", emitted.name, "--tiny"]
    log = folder / "log.txt"
    with log.open("wb") as output:
        child = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        deadline = time.monotonic() + 300
        while (
            child.poll() is None
            and len(losses_in(folder)) < NUM_STEPS
            and time.monotonic() < deadline
        ):
            time.sleep(0.2)
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGTERM)
        child.wait(timeout=60)
    return losses_in(folder), log.read_text(encoding="utf-8", errors="replace")


@pytest.fixture(scope="module")
def jobs(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[dict[str, Future[tuple[list[float], str]]]]:
    """Start every training, two at a time."""
    root = tmp_path_factory.mktemp("train")
    with ThreadPoolExecutor(PROCESSES) as pool:
        yield {case: pool.submit(train, case, root / case) for case in OTHERS}
        pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize("case", OTHERS)
def test_conversion_trains(case: str, jobs: dict[str, Future[tuple[list[float], str]]]) -> None:
    losses, log = jobs[case].result()
    assert len(losses) >= NUM_STEPS, log[-3000:]
    assert all(0.0 < loss < 20.0 for loss in losses), losses


def test_there_are_at_least_twenty_constructions() -> None:
    assert len(CONVERTED) >= 20
