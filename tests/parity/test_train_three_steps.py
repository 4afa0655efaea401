"""Every converted fixture trains three steps on the runtime, through the published client.

One server answers all scripts, as a server does; each script runs in a process and a folder of its
own, on stand-ins for the models and data sets that it names.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from mint_migrate.bridge.run import RunOptions, base_models_of
from mint_migrate.bridge.runtime import Runtime, serve
from mint_migrate.bridge.world import build_world, quiet_environment
from support.cases import ROOT, arguments_of, cases, copy_case, verifiable

pytestmark = [pytest.mark.parity, pytest.mark.timeout(3600)]

NUM_STEPS = 3
PROCESSES = 2
DEADLINE_S = 300.0
CONVERTED = sorted(path.stem for path in (ROOT / "fixtures" / "after" / "trl").glob("*.py"))
OWN_WORLD = {case["id"] for case in cases() if case.get("own_world")}
OTHERS = [case for case in CONVERTED if case not in {*verifiable(), *OWN_WORLD}]
"""The verifiable ones train twenty steps in `test_verify_fixtures.py`."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A script in its folder, and what it needs."""

    script: Path
    arguments: list[str]
    models: dict[str, Path | None]
    environment: dict[str, str]


def prepare(case: str, folder: Path) -> Prepared:
    """Lay out the folder of a case."""
    copy_case(case, folder)
    script = folder / f"{case}_mint.py"
    source = (ROOT / "fixtures" / "after" / "trl" / f"{case}.py").read_text(encoding="utf-8")
    source = source.replace('"/tmp/', '"tmp/')
    script.write_text(source, encoding="utf-8")
    arguments = arguments_of(case)
    world = build_world(
        source, folder / "hub", args=arguments, folder=folder, num_steps=NUM_STEPS * 2
    )
    models = base_models_of(source, arguments, RunOptions(tiny=True), script, folder)
    return Prepared(script, arguments, models, world.hub.apply_to(quiet_environment()))


def losses_in(folder: Path) -> list[float]:
    """Return the losses that a script has written so far, of all its `metrics.jsonl`."""
    lines = [
        json.loads(line)
        for path in folder.rglob("metrics.jsonl")
        for line in path.read_text(encoding="utf-8").splitlines()
        if line.endswith("}")
    ]
    return [line["loss"] for line in lines if "loss" in line]


def train(prepared: Prepared, runtime: Runtime) -> tuple[list[float], str]:
    """Run a conversion until it has made its steps; return losses and what it printed."""
    folder = prepared.script.parent
    log = folder / "log.txt"
    with log.open("wb") as output:
        child = subprocess.Popen(
            [sys.executable, prepared.script.name, *prepared.arguments],
            cwd=folder,
            env={**prepared.environment, **runtime.client_environment()},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        deadline = time.monotonic() + DEADLINE_S
        while child.poll() is None and time.monotonic() < deadline:
            if len(losses_in(folder)) >= NUM_STEPS:
                os.killpg(child.pid, signal.SIGKILL)
                break
            time.sleep(0.2)
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)
        child.wait(timeout=60)
    return losses_in(folder), log.read_text(encoding="utf-8", errors="replace")


Jobs = dict[str, Future[tuple[list[float], str]]]


@pytest.fixture(scope="module")
def jobs(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Jobs]:
    """Start the training of every case that is asked for, two at a time, on one server."""
    asked = {item.callspec.params["case"] for item in request.session.items if is_training(item)}
    root = tmp_path_factory.mktemp("train")
    with ThreadPoolExecutor(PROCESSES) as pool:
        chosen = [case for case in OTHERS if case in asked]
        layouts = {case: pool.submit(prepare, case, root / case) for case in chosen}
        ready = [layout.result() for layout in layouts.values() if layout.exception() is None]
        models = {name: folder for layout in ready for name, folder in layout.models.items()}
        with serve(models, state_dir=root / "state", env=quiet_environment()) as runtime:
            yield {
                case: pool.submit(lambda item: train(item.result(), runtime), layout)
                for case, layout in layouts.items()
            }
            pool.shutdown(cancel_futures=True)


def is_training(item: pytest.Item) -> bool:
    """Say whether a collected test waits for a training of this module."""
    return getattr(item, "originalname", None) == test_conversion_trains.__name__


@pytest.mark.parametrize("case", OTHERS)
def test_conversion_trains(case: str, jobs: Jobs) -> None:
    losses, log = jobs[case].result()
    assert len(losses) >= NUM_STEPS, log[-3000:]
    assert all(abs(loss) < 20.0 for loss in losses), losses


def test_there_are_at_least_sixty_constructions() -> None:
    assert len(CONVERTED) >= 60
