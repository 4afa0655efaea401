"""The project's root and the release of TRL it pins."""

from __future__ import annotations

from pathlib import Path

import pytest
from mint_migrate.project import find_root, find_versions, launched


def find_version(path: Path, text: str) -> tuple[str, str] | None:
    """Return the release of TRL that a project pins."""
    return find_versions(path, text, ("trl",)).get("trl")


@pytest.fixture
def script(tmp_path: Path) -> Path:
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'x'\n")
    path = tmp_path / "scripts" / "train.py"
    path.parent.mkdir()
    path.write_text("import trl\n")
    return path


@pytest.mark.parametrize("mark", [".git", "pyproject.toml"])
def test_the_root_is_the_nearest_folder_with_a_mark(tmp_path, mark):
    inner = tmp_path / "outer" / "inner"
    inner.mkdir(parents=True)
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "outer" / mark).touch()
    assert find_root(inner / "train.py") == tmp_path / "outer"


def test_a_lock_file_is_believed(script):
    lock = '[[package]]\nname = "trl"\nversion = "0.19.1"\nsource = "x"\n'
    (script.parents[1] / "uv.lock").write_text(lock)
    assert find_version(script, "") == ("0.19.1", "uv.lock: trl 0.19.1")


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("requirements.txt", "torch\ntrl==0.12.0\n", ("0.12.0", "requirements.txt:2: trl==0.12.0")),
        (
            "requirements-train.txt",
            "trl[peft] == 0.9.6 ; python_version > '3.8'\n",
            ("0.9.6", "requirements-train.txt:1: trl[peft] == 0.9.6"),
        ),
        (
            "pyproject.toml",
            '[project]\ndependencies = ["trl==1.2.0"]\n',
            ("1.2.0", "pyproject.toml:2: trl==1.2.0"),
        ),
        (
            "environment.yml",
            "dependencies:\n  - pip:\n    - trl==0.7.4\n",
            ("0.7.4", "environment.yml:3: trl==0.7.4"),
        ),
    ],
)
def test_a_pin_is_found_with_its_place(script, name, content, expected):
    (script.parents[1] / name).write_text(content)
    assert find_version(script, "") == expected


@pytest.mark.parametrize(
    "line", ["trl>=0.12", "trl", "# trl==0.1.0", "trlx==0.7.0", "my-trl==0.1.0", "trl~=0.12"]
)
def test_what_is_no_pin_says_nothing(script, line):
    (script.parents[1] / "requirements.txt").write_text(f"{line}\n")
    assert find_version(script, "") is None


def test_the_nearest_folder_wins(script):
    (script.parents[1] / "requirements.txt").write_text("trl==0.1.0\n")
    (script.parent / "requirements.txt").write_text("trl==0.2.0\n")
    assert find_version(script, "")[0] == "0.2.0"


def test_nothing_above_the_project_is_read(tmp_path):
    (tmp_path / "requirements.txt").write_text("trl==0.1.0\n")
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "pyproject.toml").touch()
    assert find_version(tmp_path / "project" / "train.py", "") is None


def test_the_metadata_of_the_script_wins(script):
    (script.parents[1] / "requirements.txt").write_text("trl==0.1.0\n")
    text = '# /// script\n# dependencies = ["trl==0.2.0", "peft"]\n# ///\nimport trl\n'
    assert find_version(script, text) == ("0.2.0", "inline metadata of train.py: trl==0.2.0")


@pytest.mark.parametrize(
    "text", ["# pip install trl==0.9.6 peft\n", "system('pip install \"trl==0.9.6\"')\n"]
)
def test_what_a_script_says_is_to_be_installed_is_believed(script, text):
    expected = ("0.9.6", f"what {script.name} installs: trl==0.9.6")
    assert find_version(script, text) == expected


def test_what_launchers_may_start_is_found_with_everything_else(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('dependencies = ["trl==0.9.6", "openrlhf==0.8.5"]')
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "requirements.txt").write_text("verl==0.5.0\n")
    script = tmp_path / "scripts" / "run.sh"

    found = find_versions(script, "pip install trl==0.19.1\n", ("trl", "verl", "openrlhf"))

    assert {name: version for name, (version, _) in found.items()} == {
        "trl": "0.19.1",
        "verl": "0.5.0",
        "openrlhf": "0.8.5",
    }
    assert launched(found) == ("verl", "0.5.0", "requirements.txt:1: verl==0.5.0")
    assert launched({"trl": found["trl"]}) is None


@pytest.mark.parametrize(
    ("package", "name", "folder"),
    [
        ("verl", "verl/version/version", "verl"),
        ("verl", "verl/verl/version/version", "verl/verl"),
        ("openrlhf", "version.txt", "openrlhf"),
        ("openrlhf", "OpenRLHF/version.txt", "OpenRLHF/openrlhf"),
    ],
)
def test_a_copy_of_a_framework_says_its_release(script, package, name, folder):
    root = script.parents[1]
    (root / folder).mkdir(parents=True)
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text("0.4.1.dev\n")
    evidence = f"the project's copy of {package}: {name} says 0.4.1.dev"
    found = find_versions(script, "", ("verl", "openrlhf"))
    assert launched(found) == (package, "0.4.1.dev", evidence)


def test_another_file_of_that_name_says_nothing(script):
    (script.parents[1] / "version.txt").write_text("0.4.1\n")
    assert launched(find_versions(script, "", ("verl", "openrlhf"))) is None
