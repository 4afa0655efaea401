"""Fixtures for every test: a clean environment, and snapshots of converted scripts as files."""

from __future__ import annotations

import gc
import os
from pathlib import Path

import pytest
from hypothesis import settings
from syrupy.extensions.single_file import SingleFileSnapshotExtension, WriteMode

ROOT = Path(__file__).resolve().parents[1]
_CLEANED = (
    "CLICOLOR_FORCE",
    "COLUMNS",
    "FORCE_COLOR",
    "LINES",
    "MINT_API_KEY",
    "MINT_BASE_URL",
    "NO_COLOR",
    "TINKER_API_KEY",
    "TINKER_BASE_URL",
    "TTY_COMPATIBLE",
    "TTY_INTERACTIVE",
)

# The suite draws the same examples wherever it runs; `make search` draws new ones.
settings.register_profile("suite", derandomize=True)
settings.register_profile("search", print_blob=True)
settings.load_profile("suite")


# What is imported and collected stays: to look through it again and again is a fifth of the suite.
gc.set_threshold(100_000, 20, 20)


def pytest_collection_finish() -> None:
    """Take what is there before the first test out of the collector's sight."""
    gc.collect()
    gc.freeze()


class AfterFixture(SingleFileSnapshotExtension):
    """Keep a converted script at `fixtures/after/<framework>/<case>.py`.

    The test passes `name="trl/sft_minimal"`. The folder holds generated files only: an update
    deletes what no test asks for.
    """

    file_extension = "py"
    _write_mode = WriteMode.TEXT

    @classmethod
    def dirname(cls, *, test_location):
        """Return the folder of all converted scripts."""
        return str(ROOT / "fixtures" / "after")

    @classmethod
    def get_file_basename(cls, *, test_location, index):
        """Return the path below that folder, without its suffix."""
        return str(index)

    @classmethod
    def get_snapshot_name(cls, *, test_location, index=0):
        """Return the stem of the file; with any other name syrupy takes the file for unused."""
        return Path(str(index)).name


@pytest.fixture
def after(snapshot):
    """Return a snapshot that compares with, and writes, `fixtures/after/<name>.py`."""
    return snapshot.use_extension(AfterFixture)


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take away what would change output or reach a server of the person who runs the tests."""
    for name in _CLEANED:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    # A test's temporary folder may lie inside somebody's repository.
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
