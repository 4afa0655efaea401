"""Environments for packages that cannot share the suite's own: what is installed, and when.

Making one takes seconds, so the tests that do are run with the other tests of environments.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from support import environments
from support.environments import REQUIREMENTS, environment, parse_requirements, pip_calls

TEXT = """
# what it is for
accelerate
torch==2.13.0
--no-deps verl==0.9.1
numpy<3
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder of requirements that need no index; environments are kept beside it."""
    requirements = tmp_path / "requirements"
    requirements.mkdir()
    (requirements / "empty.txt").write_text("# nothing\n# no-constraints\n", encoding="utf-8")
    monkeypatch.setattr(environments, "REQUIREMENTS", requirements)
    monkeypatch.setenv("MINT_MIGRATE_ENVIRONMENTS", str(tmp_path / "kept"))
    return requirements


def test_torch_comes_first_and_packages_without_dependencies_last(monkeypatch):
    monkeypatch.delenv("TORCH_INDEX", raising=False)

    calls = list(pip_calls(parse_requirements(TEXT)))

    constraints = str(environments.CONSTRAINTS)
    assert calls == [
        ["torch==2.13.0"],
        ["-c", constraints, "torch==2.13.0", "accelerate", "numpy<3"],
        ["--no-deps", "verl==0.9.1"],
    ]


def test_only_torch_comes_from_the_index_of_torch(monkeypatch):
    monkeypatch.setenv("TORCH_INDEX", "https://example.org/cpu")

    calls = list(pip_calls(parse_requirements(TEXT)))

    assert calls[0] == ["--index-url", "https://example.org/cpu", "torch==2.13.0"]
    assert not any("--index-url" in call for call in calls[1:])


def test_constraints_can_be_refused():
    calls = list(pip_calls(parse_requirements("# no-constraints\nnumpy<3\n")))

    assert calls == [["numpy<3"]]


@pytest.mark.parametrize("path", sorted(REQUIREMENTS.glob("*.txt")), ids=lambda path: path.stem)
def test_versions_that_matter_are_pinned(path):
    requirements = parse_requirements(path.read_text(encoding="utf-8"))

    assert all("==" in one for one in (*requirements.first, *requirements.bare))
    assert requirements.main or requirements.bare


@pytest.mark.environments
def test_environment_is_built_once_and_again_after_an_interruption(folder):
    python = environment("empty")
    assert subprocess.run([python, "-c", ""], check=False).returncode == 0
    leftover = python.parent / "leftover"
    leftover.touch()

    assert environment("empty") == python
    assert leftover.exists()

    (python.parents[1] / ".ready").unlink()
    assert environment("empty") == python
    assert not leftover.exists()


@pytest.mark.environments
def test_other_requirements_make_another_environment(folder):
    before = environment("empty")
    (folder / "empty.txt").write_text("# nothing else\n# no-constraints\n", encoding="utf-8")

    assert environment("empty") != before
    assert before.exists()


@pytest.mark.environments
def test_failure_of_pip_is_reported_with_its_command(folder):
    (folder / "broken.txt").write_text("--no-deps ./no-such-folder\n", encoding="utf-8")

    with pytest.raises(
        RuntimeError, match=r"pip install --quiet --no-deps ./no-such-folder failed"
    ):
        environment("broken")


def test_unknown_environment_names_the_missing_file(folder):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.txt"):
        environment("nowhere")
