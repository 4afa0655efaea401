"""Code that was not written for a migration: nothing fails, nothing is changed, nothing is missed.

A sample of the standard library and of the installed packages in the default suite, all of them
with `-m whole`.
"""

from __future__ import annotations

import random
import sysconfig
from collections import Counter
from pathlib import Path

import pytest
from mint_migrate import batch
from mint_migrate.batch import Job, Landing, Mode
from mint_migrate.gather import Script, gather
from mint_migrate.model.outcome import Failed, Migrated
from mint_migrate.scan.search import search
from support.scripts import tables

STDLIB = Path(sysconfig.get_path("stdlib"))
PACKAGES = Path(sysconfig.get_path("purelib"))
SAMPLE = 60
NOT_READABLE = frozenset({"MM101", "MM102", "MM104"})
"""Test data of other projects: syntax errors, other encodings."""


def scripts_of(folder: Path, *, below: str = "**") -> list[Path]:
    return sorted(path for path in folder.glob(f"{below}/*.py") if path.is_file())


def landings(paths: list[Path], *, jobs: int = 1) -> list[Landing]:
    scripts = [Script(path=path) for path in paths]
    return list(batch.land(scripts, Job(mode=Mode.PRINT, num_jobs=jobs)))


def problems(found: list[Landing]) -> list[str]:
    """Return the files that failed in a way of ours, or that would be changed."""
    listed = []
    for landing in found:
        outcome = landing.outcome
        if isinstance(outcome, Failed) and outcome.code not in NOT_READABLE:
            listed.append(f"{outcome.path}: {outcome.code} {outcome.reason}")
        if isinstance(outcome, Migrated) and outcome.text is not None:
            listed.append(f"{outcome.source.path}: changed")
    return listed


@pytest.mark.parametrize("folder", [STDLIB, PACKAGES], ids=["stdlib", "packages"])
def test_a_sample_of_it_is_left_alone(folder):
    found = scripts_of(folder) if folder is STDLIB else scripts_of(folder, below="*")
    sample = random.Random(0).sample(found, SAMPLE)
    assert problems(landings(sample)) == []


@pytest.mark.whole
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("folder", [STDLIB, PACKAGES], ids=["stdlib", "packages"])
def test_all_of_it_is_left_alone(folder):
    # Every file is parsed here, although a directory run would rule most of them out by a glance.
    assert problems(landings(scripts_of(folder), jobs=2)) == []


def test_the_glance_at_a_tree_rules_out_nothing_that_imports_the_framework():
    package = PACKAGES / "trl"
    taken = {script.path for script in gather([package]).scripts}
    needing = {
        path
        for path in scripts_of(package)
        if any(line.startswith(("from trl", "import trl")) for line in path.read_text().split("\n"))
    }
    assert needing
    assert needing <= taken


@pytest.mark.parametrize("name", ["trl/scripts", "peft/utils"])
def test_the_inventory_of_a_library_is_complete(name):
    inventory = search([PACKAGES / name], tables())
    assert inventory.is_complete
    kinds = Counter(use.kind for file in inventory.files for use in file.uses)
    assert kinds["import"] > 0
    assert kinds["call"] > 0
