"""Batches of a converted script do what verl's own do, method by method."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from support.environments import REQUIREMENTS, environment
from support.library import without_client


@pytest.mark.environments
@pytest.mark.timeout(1800)
def test_batches_do_what_those_of_verl_do(tmp_path: Path) -> None:
    library = tmp_path / "library.py"
    library.write_text(without_client(), encoding="utf-8")
    command = [environment("verl"), REQUIREMENTS / "verl_batches.py", library]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, f"{result.stdout}\n{result.stderr[-2000:]}"
