"""Which files of a folder are looked at: git is asked what it would ignore."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from mint_migrate.folders import list_files

TREE = (
    *("a.py", "b.txt", "deep/a.py", "deep/er/a.py", "deep/er/b.py", "out/a.py", "out/keep.py"),
    *("deep/out/a.py", "data1/x.py", "data2/x.py", "data[1]/x.py", "x y/a.py", "notes/out.py"),
)


def make(folder: Path, *names: str, content: str = "") -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)


def listed(folder: Path, top: str = "") -> set[str]:
    paths = list_files(folder / top if top else folder, (".py",)).paths
    return {Path(path).relative_to(folder).as_posix() for path in paths}


def git(folder: Path, *arguments: str) -> str:
    command = ["git", "-c", "core.excludesFile=", *arguments]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout


def kept_by_git(folder: Path) -> set[str]:
    found = git(folder, "ls-files", "-z", "--others", "--exclude-standard").split("\0")
    return {name for name in found if name.endswith(".py")}


@pytest.mark.parametrize(
    "patterns",
    [
        "",
        "# a.py\n",
        "a.py\n",
        "/a.py\n",
        "out\n",
        "out/\n",
        "/out/\n",
        "*.py\n!keep.py\n",
        "out/*\n!out/keep.py\n",
        "deep/**/b.py\n",
        "**/er/\n",
        "deep/**\n",
        "deep/*/a.py\n",
        "data?/\n",
        "data[12]/\n",
        "data[!1]/\n",
        "data\\[1\\]/\n",
        "x\\ y/\n",
        "x y/  \n",
        "\\#a.py\n",
        "de*/\n",
        "!a.py\n",
        "a.py\n!/a.py\n",
        "*/a.py\n",
        "deep/*\n",
        "de*p/*r/?.py\n",
        "*\n!*/\n!keep.py\n",
    ],
)
def test_what_git_ignores_is_passed_over(tmp_path, patterns):
    make(tmp_path, *TREE)
    git(tmp_path, "init", "-q")
    (tmp_path / ".gitignore").write_text(patterns)
    assert listed(tmp_path) == kept_by_git(tmp_path)


def test_patterns_of_inner_and_outer_folders_count(tmp_path):
    make(tmp_path, *TREE)
    git(tmp_path, "init", "-q")
    (tmp_path / ".gitignore").write_text("er/b.py\n/deep/out/\nb.py\n")
    (tmp_path / "deep" / ".gitignore").write_text("/a.py\n!b.py\n")
    kept = kept_by_git(tmp_path)
    assert "deep/er/b.py" in kept
    assert listed(tmp_path) == kept
    assert listed(tmp_path, "deep") == {name for name in kept if name.startswith("deep/")}


def test_a_folder_that_is_named_is_searched_although_git_ignores_it(tmp_path):
    make(tmp_path, *TREE)
    git(tmp_path, "init", "-q")
    (tmp_path / ".gitignore").write_text("/out/\n")
    assert listed(tmp_path, "out") == {"out/a.py", "out/keep.py"}


def test_an_environment_is_known_by_its_file_whatever_it_is_called(tmp_path):
    make(tmp_path, "train.py", "my-tools/pyvenv.cfg", "my-tools/lib/x.py")
    assert listed(tmp_path) == {"train.py"}


def test_links_to_folders_are_followed_once_and_never_in_circles(tmp_path):
    make(tmp_path, "pyproject.toml", "src/train.py", "src/inner/x.py")
    (tmp_path / "src" / "inner" / "up").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "aside").symlink_to(tmp_path / "src" / "inner", target_is_directory=True)
    assert listed(tmp_path) == {"src/train.py", "src/inner/x.py"}
    assert listed(tmp_path, "aside") == {"aside/x.py", "aside/up/src/train.py"}


def test_a_link_to_another_part_of_the_project_is_followed(tmp_path):
    make(tmp_path, "pyproject.toml", "shared/x.py", "src/train.py")
    (tmp_path / "src" / "shared").symlink_to(tmp_path / "shared", target_is_directory=True)
    assert listed(tmp_path, "src") == {"src/train.py", "src/shared/x.py"}


def test_a_link_out_of_the_project_is_not_followed(tmp_path):
    make(tmp_path, "project/pyproject.toml", "project/train.py", "elsewhere/x.py")
    (tmp_path / "project" / "more").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    assert listed(tmp_path, "project") == {"project/train.py"}


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may list every folder")
def test_a_folder_that_may_not_be_listed_is_reported(tmp_path):
    make(tmp_path, "closed/x.py", "train.py")
    (tmp_path / "closed").chmod(0)
    listing = list_files(tmp_path, (".py",))
    (tmp_path / "closed").chmod(0o700)
    assert [(failed.path, failed.code) for failed in listing.failures] == [
        (str(tmp_path / "closed"), "MM105")
    ]
    assert [Path(path).name for path in listing.paths] == ["train.py"]
