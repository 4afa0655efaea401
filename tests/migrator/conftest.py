"""The command line in an empty folder."""

from __future__ import annotations

import sys

import pytest
from mint_migrate import cli


@pytest.fixture
def run(tmp_path, monkeypatch, capfdbinary):
    """Return a function that runs a command line in an empty folder: (status, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))

    def run(*argv: str) -> tuple[int, str, str]:
        try:
            status = cli.run(argv)
        except SystemExit as ended:
            status = ended.code
        sys.stdout.flush()
        sys.stderr.flush()
        out, err = capfdbinary.readouterr()
        return status, out.decode(), err.decode()

    return run
