"""A running service for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.service import Api, running_api


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    """Yield a service over a fake engine. It answers a long poll after a moment."""
    with running_api(tmp_path / "state", long_poll_s=5.0) as running:
        yield running
