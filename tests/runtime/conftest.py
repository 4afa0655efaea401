"""Fixtures of the runtime's tests: a tiny model written once, loaded as often as needed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

# More threads make matrices of this size slower, several times so on a busy machine.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

if TYPE_CHECKING:
    from mint_runtime.engine.local import LocalEngine
    from mint_runtime.model.load import BaseModel


@pytest.fixture(scope="session")
def tiny_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a tiny Qwen3. Read only: it is shared by the session."""
    from support.tiny import build_small

    return build_small(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def base(tiny_directory: Path) -> BaseModel:
    """Return a freshly loaded base model."""
    from support.tiny import load

    return load(tiny_directory)


@pytest.fixture
def engine(tiny_directory: Path) -> Iterator[LocalEngine]:
    """Yield a running engine that serves the tiny model as `tiny`."""
    from support.tiny import running_engine

    with running_engine(tiny_directory) as running:
        yield running
