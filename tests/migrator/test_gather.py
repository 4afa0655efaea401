"""Which scripts the paths of a command line mean."""

from __future__ import annotations

from pathlib import Path

import pytest
from mint_migrate.gather import Script, gather, is_worth_parsing


def make(folder: Path, *names: str, content: str = "import trl\n") -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)


def found(tmp_path: Path, *paths: Path) -> list[str]:
    gathered = gather(paths or (tmp_path,))
    return [script.path.relative_to(tmp_path).as_posix() for script in gathered.scripts]


def test_a_folder_is_walked_in_sorted_order(tmp_path):
    make(tmp_path, "b.py", "a.py", "sub/c.py", "a/z.py")
    assert found(tmp_path) == ["a.py", "b.py", "a/z.py", "sub/c.py"]


@pytest.mark.parametrize(
    "name",
    [
        ".venv/lib/trainer.py",
        "venv/lib/trainer.py",
        "lib/site-packages/trl/trainer.py",
        "node_modules/x.py",
        ".git/hooks/x.py",
        "pkg/__pycache__/x.py",
        ".hidden.py",
        "notes.txt",
    ],
)
def test_what_is_not_the_users_script_is_passed_over(tmp_path, name):
    make(tmp_path, "train.py", name)
    assert found(tmp_path) == ["train.py"]


def test_a_named_file_is_taken_whatever_it_holds(tmp_path):
    make(tmp_path, "train.py", content="print()\n")
    assert gather([tmp_path / "train.py"]).scripts == (Script(path=tmp_path / "train.py"),)


def test_a_script_without_a_framework_is_counted_and_not_parsed(tmp_path):
    make(tmp_path, "train.py")
    make(tmp_path, "other.py", "third.py", content="import torch\n")
    gathered = gather([tmp_path])
    assert [script.path.name for script in gathered.scripts] == ["train.py"]
    assert gathered.num_passed_over == 2


def test_a_script_given_twice_is_migrated_once(tmp_path):
    make(tmp_path, "train.py")
    assert found(tmp_path, tmp_path / "train.py", tmp_path) == ["train.py"]


def test_a_script_remembers_the_folder_it_was_found_under(tmp_path):
    make(tmp_path, "sub/train.py")
    assert gather([tmp_path]).scripts[0].base == tmp_path


def test_a_folder_without_scripts_fails(tmp_path):
    make(tmp_path, "readme.md", ".venv/x.py")
    gathered = gather([tmp_path])
    assert [(failed.path, failed.code) for failed in gathered.failures] == [
        (str(tmp_path), "MM106")
    ]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("from trl import SFTTrainer\n", True),
        ("import trl.trainer as t\n", True),
        ('importlib.import_module("trl")\n', True),
        ('"""\nmint-migrate 0.1.0, sha256 0123456789abcdef\n"""\n', True),
        ("import trlx\n", False),
        ("import my.trl\n", False),
        ("ctrl = 1\n", False),
        ("pip install trl-extras\n", False),
    ],
)
def test_a_framework_is_seen_as_a_whole_word(tmp_path, content, expected):
    make(tmp_path, "train.py", content=content)
    assert is_worth_parsing(tmp_path / "train.py") is expected
