"""Which scripts the paths of a command line mean."""

from __future__ import annotations

from pathlib import Path

import pytest
from mint_migrate.detect import is_worth_parsing
from mint_migrate.gather import Script, gather


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
        "build/lib/x.py",
        "dist/x.py",
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
        ("from unsloth import FastLanguageModel\n", True),
        ("import trlx\n", False),
        ("import my.trl\n", False),
        ("ctrl = 1\n", False),
        ("pip install trl-extras\n", False),
    ],
)
def test_a_framework_is_seen_as_a_whole_word(content, expected):
    assert is_worth_parsing(content.encode()) is expected


def test_a_link_and_what_it_leads_to_are_one_script(tmp_path):
    make(tmp_path, "src/train.py")
    (tmp_path / "again.py").symlink_to(tmp_path / "src" / "train.py")
    (tmp_path / "copy").symlink_to(tmp_path / "src", target_is_directory=True)
    assert found(tmp_path) == ["again.py"]


def test_a_file_that_cannot_be_read_is_taken_to_be_reported(tmp_path):
    (tmp_path / "gone.py").symlink_to(tmp_path / "nowhere.py")
    assert found(tmp_path) == ["gone.py"]


USERS = {
    "lib/__init__.py": "from .trainers import build_trainer as make\n",
    "lib/trainers.py": "from trl import SFTTrainer\ndef build_trainer(): return SFTTrainer('m')\n",
    "lib/steps.py": "from lib import make\ndef train(): make().train()\n",
    "main.py": "from lib.steps import train\ntrain()\n",
    "modules.py": "import lib.steps as steps\nsteps.train()\n",
    "other.py": "from lib.text import clean\nclean('x')\n",
    "lib/text.py": "def clean(text): return text\n",
    "unrelated.py": "def train(): pass\n",
}


def test_scripts_that_import_a_trainer_from_their_project_are_taken(tmp_path):
    for name, content in USERS.items():
        make(tmp_path, name, content=content)
    through = ["main.py", "modules.py", "lib/__init__.py", "lib/steps.py", "lib/trainers.py"]
    assert found(tmp_path) == through
    assert gather([tmp_path]).num_passed_over == 3
