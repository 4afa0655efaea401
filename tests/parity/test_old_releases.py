"""The rules of each release, checked against what that release really trained.

`fixtures/losses/` holds figures that `record_old_release.py` took from real releases of TRL and
transformers. Here the same scripts are converted for their release, trained on the runtime from the
same adapter, and compared step by step, so that the old releases need not be installed.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from mint_migrate.bridge.runtime import serve
from mint_migrate.bridge.world import quiet_environment
from mint_migrate.parity.compare import Comparison, compare
from mint_migrate.parity.steps import Step, read_steps
from support.cases import FIXTURES
from support.old_world import MODELS, SEED, adapter_digest, write_adapter, write_world

pytestmark = [pytest.mark.parity, pytest.mark.timeout(1200)]

SCRIPTS = FIXTURES / "before" / "trl_old"
LOSSES = FIXTURES / "losses"
CASES = sorted(f"{path.parent.name}/{path.stem}" for path in SCRIPTS.glob("*/*.py"))
DIFFERS = {"0.15.2/leftover": "MM235"}
"""Case -> code that its report must hold, where the conversion says that it is not exact."""

PROCESSES = 2
"""One for each core of the smallest machine the suite is run on."""


@dataclass(frozen=True, slots=True)
class Replay:
    """A case that was converted and trained."""

    comparison: Comparison
    num_steps: int
    codes: frozenset[str]
    """Of the decisions that are not exact."""


@pytest.fixture(scope="module")
def replays(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Future[Replay]]]:
    """Start the cases that were selected; each test waits for its own."""
    chosen = [
        item.callspec.params["case"]
        for item in request.session.items
        if item.path == Path(__file__) and hasattr(item, "callspec")
    ]
    with ThreadPoolExecutor(PROCESSES) as pool:
        yield {case: pool.submit(replay, case, tmp_path_factory.mktemp("case")) for case in chosen}


def recorded(case: str) -> dict[str, Any]:
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


def replay(case: str, folder: Path) -> Replay:
    """Convert and train a case, and compare its steps with the recorded ones."""
    write_world(folder)
    report = json.loads(migrate(case, folder))
    original = tuple(_step(line) for line in recorded(case)["steps"])
    converted = train(folder)
    return Replay(
        comparison=compare(original, converted[: len(original)]),
        num_steps=len(converted),
        codes=_codes(report),
    )


def _step(line: dict[str, float]) -> Step:
    """Return a recorded step.

    Where no token of a step counts, the release divided by zero: its loss is not a number and its
    gradient 0. A conversion reports the sum, which is 0 as well.
    """
    fields = {name: line[name] for name in ("learning_rate", "grad_norm", "num_loss_tokens")}
    return Step(loss=0.0 if line["num_loss_tokens"] == 0 else line["loss"], **fields)


def _codes(report: object) -> frozenset[str]:
    """Return the codes of everything in a report that is approximate."""
    if isinstance(report, list):
        return frozenset().union(*map(_codes, report))
    if not isinstance(report, dict):
        return frozenset()
    own = {str(report["code"])} if report.get("decision") == "approximate" else set()
    return frozenset(own).union(*map(_codes, report.values()))


def test_the_start_is_the_recorded_one() -> None:
    content = recorded(CASES[0])
    assert (content["seed"], content["adapter"]) == (SEED, adapter_digest())


@pytest.mark.parametrize("case", [case for case in CASES if case not in DIFFERS])
def test_conversion_trains_as_the_release_did(
    case: str, replays: dict[str, Future[Replay]]
) -> None:
    found = replays[case].result()
    assert found.comparison.is_equal, found.comparison.first_difference
    assert found.num_steps == recorded(case)["num_steps"]


@pytest.mark.parametrize("case", sorted(DIFFERS))
def test_what_is_not_exact_is_reported(case: str, replays: dict[str, Future[Replay]]) -> None:
    found = replays[case].result()
    assert not found.comparison.is_equal
    assert DIFFERS[case] in found.codes
