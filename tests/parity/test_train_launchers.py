"""Every converted launcher trains on the runtime: at least three steps, to its own end.

bash runs the copy of the launcher that starts the result, with stand-ins for the programs of a
cluster. Rows are made, models are tiny, sizes are given as a user would: on the command line of the
script (`mint_migrate.bridge.launched.SIZES`). One server answers all.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from mint_migrate.bridge.hub import StandInHub, add_datasets, add_models
from mint_migrate.bridge.names import DatasetRequest
from mint_migrate.bridge.runtime import Runtime, serve
from mint_migrate.bridge.world import quiet_environment
from support.cases import launchers
from support.environments import beside
from support.launcher_world import prepare, rows_of, served_name, train
from support.scorer import scorer
from support.tiny_folder import tiny_folder

pytestmark = [pytest.mark.parity, pytest.mark.timeout(3600)]

NUM_STEPS = 3
PROCESSES = 2
DEADLINE_S = 300.0
CONVERTED = {case["id"]: case for case in launchers() if case["converts"]}
Jobs = dict[str, Future[tuple[list[float], str]]]


def stand_in_hub(root: Path, cases: list[dict[str, Any]]) -> tuple[StandInHub, dict[str, Path]]:
    """Return a hub with what launchers name, and the models in it."""
    hub = StandInHub(root=root)
    models = {served_name(name): tiny_folder() for case in cases for name in case["models"]}
    add_models(hub, models)
    for case in cases:
        for item in case.get("data", ()):
            if "hub" in item:
                request = DatasetRequest(path=item["hub"])
                add_datasets(hub, [request], {"train": tuple(rows_of(item))})
    return hub, models


def run_case(
    case: dict[str, Any], root: Path, address: str, hub: StandInHub, runtime: Runtime
) -> tuple[list[float], str]:
    """Convert and train one launcher."""
    prepared = prepare(case, root / case["id"], scorer=address)
    given = {**hub.apply_to(quiet_environment()), **runtime.client_environment()}
    if case.get("package"):
        given |= beside(case["package"], root / case["package"])
    losses, log = train(prepared, given, deadline=DEADLINE_S)
    written = prepared.folder / case.get("writes", "")
    assert written.exists(), f"{written} is missing: {log[-3000:]}"
    return losses, log


@pytest.fixture(scope="module")
def jobs(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Jobs]:
    """Start the training of every case that is asked for, two at a time, on one server."""
    asked = {item.callspec.params["case"] for item in request.session.items if is_training(item)}
    cases = [CONVERTED[name] for name in CONVERTED if name in asked]
    root = tmp_path_factory.mktemp("launchers")
    hub, models = stand_in_hub(root / "hub", cases)
    with (
        scorer() as address,
        serve(dict(models), state_dir=root / "state", env=quiet_environment()) as runtime,
        ThreadPoolExecutor(PROCESSES) as pool,
    ):
        yield {
            case["id"]: pool.submit(run_case, case, root, address, hub, runtime) for case in cases
        }
        pool.shutdown(cancel_futures=True)


def is_training(item: pytest.Item) -> bool:
    """Say whether a collected test waits for a training of this module."""
    return getattr(item, "originalname", None) == test_converted_launcher_trains.__name__


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(name, marks=pytest.mark.environments if case.get("package") else ())
        for name, case in CONVERTED.items()
    ],
)
def test_converted_launcher_trains(case: str, jobs: Jobs) -> None:
    losses, log = jobs[case].result()
    if "writes" in CONVERTED[case]:
        assert log.startswith("exit status 0"), log[-3000:]
        assert losses == []
        return
    assert len(losses) >= NUM_STEPS * len(CONVERTED[case]["expected"]), log[-3000:]
    assert all(math.isfinite(loss) and abs(loss) < 20.0 for loss in losses), losses
    assert log.startswith("exit status 0"), log[-3000:]
