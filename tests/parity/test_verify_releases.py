"""Trainers that the suite's TRL has no more train to the numbers of the release that had them.

A case's `verify_with` names an environment that holds that release alone. Its packages stand before
those of the suite, which the original takes everything else from. The command is the one a user
would type, in a process of its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support.cases import cases, copy_case
from support.environments import environment

pytestmark = [pytest.mark.environments, pytest.mark.timeout(900)]

NUM_STEPS = 20
CASES = {case["id"]: case["verify_with"] for case in cases() if "verify_with" in case}

COMPARED = {"bco_thumbs": {"delta"}, "bco_chat_pairs": set()}
"""By case, what is compared beside loss, gradient, learning rate and tokens. Of marked rows, whose
micro-batches hold either kind in any proportion, nothing where several make a step.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutation:
    """One wrong conversion: text of the emitted script and what replaces it."""

    case: str
    old: str
    new: str
    differs: str
    """A quantity that must differ in the first step that does."""


MUTATIONS = {
    "no running mean": Mutation(
        case="bco_thumbs",
        old="gains = torch.where(desirable, rewards - running.mean, running.mean - rewards)",
        new="gains = torch.where(desirable, rewards, -rewards)",
        differs="loss",
    ),
    "a mean of batches": Mutation(
        case="bco_thumbs",
        old="* len(rows) / running.count",
        new="/ 2",
        differs="delta",
    ),
}


def verify(case: str, folder: Path, mutation: Mutation | None = None) -> tuple[int, Any]:
    """Run the command on a case under its own release; return its status and its report."""
    script = copy_case(case, folder)
    packages = next(environment(CASES[case]).parents[1].glob("lib/python*/site-packages"))
    search = [str(packages), *filter(None, [os.environ.get("PYTHONPATH")])]
    variables = {"PYTHONPATH": os.pathsep.join(search), "TRL_EXPERIMENTAL_SILENCE": "1"}
    if mutation is not None:
        done = _mint_migrate([script.name], folder, variables)
        emitted = script.with_name(f"{script.stem}_mint.py")
        assert emitted.is_file(), done.stderr
        text = emitted.read_text(encoding="utf-8")
        assert mutation.old in text, f"the emitted script has changed: no {mutation.old!r}"
        emitted.write_text(text.replace(mutation.old, mutation.new), encoding="utf-8")
    arguments = ["verify", script.name, "--steps", str(NUM_STEPS), "--format", "json"]
    done = _mint_migrate(arguments, folder, variables)
    assert done.returncode in {0, 1}, done.stderr
    return done.returncode, json.loads(done.stdout)


def _mint_migrate(
    arguments: list[str], folder: Path, variables: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mint_migrate", *arguments],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1", **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )


@pytest.mark.parametrize("case", CASES)
def test_conversion_trains_to_the_numbers_of_its_release(case: str, tmp_path: Path) -> None:
    status, report = verify(case, tmp_path)
    assert status == 0, (report["cause"], report["steps"][:3])
    assert len(report["steps"]) == NUM_STEPS
    compared = {name for step in report["steps"] for name in step["quantity_differences"]}
    assert compared >= COMPARED[case]


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_wrong_conversion_is_found_out(name: str, tmp_path: Path) -> None:
    mutation = MUTATIONS[name]
    status, report = verify(mutation.case, tmp_path, mutation)
    assert status == 1
    assert mutation.differs in report["steps"][report["first_difference"]]["differs"]
