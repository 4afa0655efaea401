"""The command line, end to end: what is written, and what is brought back."""

from __future__ import annotations

import ast
import shutil
import subprocess
from pathlib import Path

import pytest
from mint_migrate.stamp import is_our_output, was_edited
from support.folder import EXACT, MANUAL, commit_all, files, put

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures"


def test_a_script_is_written_beside_its_source(run):
    put("train.py")
    status, out, err = run("train.py")
    text = Path("train_mint.py").read_text()
    assert status == 0
    assert is_our_output(text)
    assert not was_edited(text)
    assert out.startswith("--- train.py\n+++ train_mint.py\n")
    assert err.rstrip().split("\n")[-1].startswith("1 script, ")


def test_the_demonstration_is_migrated(run):
    shutil.copy(FIXTURES / "before" / "trl" / "sft_minimal.py", "sft_minimal.py")
    status, _, err = run("sft_minimal.py")
    assert status == 0
    assert err.rstrip().endswith("0 need you")
    ast.parse(Path("sft_minimal_mint.py").read_text())


def test_a_second_run_changes_nothing(run):
    put("train.py")
    run("train.py", "--report", "md", "--report", "json")
    before = {name: (Path(name).read_bytes(), Path(name).stat().st_mtime_ns) for name in files()}
    status, out, err = run("train.py", "--report", "md", "--report", "json")
    after = {name: (Path(name).read_bytes(), Path(name).stat().st_mtime_ns) for name in files()}
    assert (status, out) == (0, "")
    assert "unchanged: train_mint.py" in err
    assert after == before


def test_our_own_output_is_not_migrated(run):
    put("train.py")
    run("train.py")
    status, out, err = run("train_mint.py")
    assert (status, out) == (0, "")
    assert "train_mint.py: MM111" in err
    assert files() == {"train.py", "train_mint.py"}


@pytest.mark.parametrize("option", ["--diff", "--check"])
def test_nothing_is_written_by(run, option):
    put("train.py")
    run("train.py", option)
    assert files() == {"train.py"}


def test_a_diff_is_all_that_stdout_carries_and_patch_applies_it(run):
    put("train.py")
    _, diff, _ = run("train.py", "--diff")
    run("train.py")
    subprocess.run(["patch", "-s", "-o", "patched.py", "train.py"], input=diff.encode(), check=True)
    assert Path("patched.py").read_bytes() == Path("train_mint.py").read_bytes()


def test_our_outputs_in_a_folder_are_passed_over(run):
    put("src/train.py")
    run("src")
    status, _, err = run("src")
    assert status == 0
    assert "1 already written by mint-migrate" in err
    assert "MM111" not in err
    assert err.rstrip().split("\n")[-1].startswith("1 script, ")
    assert files() == {"src/train.py", "src/train_mint.py"}


def test_a_marker_in_an_output_in_a_folder_fails_the_check(run):
    put("src/train.py", MANUAL)
    run("src/train.py", "--in-place", "--force")
    status, _, err = run("src", "--check")
    assert status == 1
    assert "src/train.py:" in err


def test_output_goes_to_a_folder(run):
    put("src/train.py")
    run("src/train.py", "-o", "out")
    assert files() == {"src/train.py", "out/train_mint.py"}


def test_output_goes_to_a_file(run):
    put("train.py")
    run("train.py", "-o", "other.py")
    assert files() == {"train.py", "other.py"}


def test_output_goes_to_stdout(run):
    put("train.py")
    status, out, _ = run("train.py", "-o", "-")
    run("train.py")
    assert status == 0
    assert out == Path("train_mint.py").read_text()


def test_newlines_byte_order_mark_and_mode_are_kept(run):
    path = put("train.py", b"\xef\xbb\xbf" + EXACT.replace("\n", "\r\n").encode())
    path.chmod(0o755)
    run("train.py")
    content = Path("train_mint.py").read_bytes()
    assert content.startswith(b"\xef\xbb\xbf")
    assert content.count(b"\n") == content.count(b"\r\n") > 50
    assert Path("train_mint.py").stat().st_mode & 0o777 == 0o755


def test_an_edited_output_is_refused(run):
    put("train.py")
    run("train.py")
    edited = Path("train_mint.py").read_text() + "# mine\n"
    put("train_mint.py", edited)
    put("train.py", EXACT.replace("2e-4", "3e-4"))
    status, _, err = run("train.py")
    assert status == 2
    assert "train_mint.py: MM110" in err
    assert "hint: `--force`" in err
    assert Path("train_mint.py").read_text() == edited


def test_force_overwrites_an_edited_output_and_undo_brings_it_back(run):
    put("pyproject.toml", "")
    put("train.py")
    put("train_mint.py", "mine = 1\n")
    assert run("train.py", "--force")[0] == 0
    assert is_our_output(Path("train_mint.py").read_text())
    assert run("undo")[:2] == (0, "restored train_mint.py\n")
    assert Path("train_mint.py").read_text() == "mine = 1\n"


def test_an_output_that_was_not_edited_follows_its_source(run):
    put("train.py")
    run("train.py")
    put("train.py", EXACT.replace("2e-4", "3e-4"))
    assert run("train.py")[0] == 0
    assert "3e-4" in Path("train_mint.py").read_text()


def test_check_fails_until_the_output_is_there(run):
    put("train.py")
    status, out, err = run("train.py", "--check")
    assert (status, out) == (1, "")
    assert "train.py: would write train_mint.py" in err
    run("train.py")
    assert run("train.py", "--check") == (0, "", "")


def test_check_says_why_nothing_can_be_written(run):
    Path("judge.py").write_text("from trl import NashMDTrainer\nNashMDTrainer('m').train()\n")
    status, out, err = run("judge.py", "--check")
    assert (status, out) == (1, "")
    assert err.startswith("judge.py:1:17: MM201 nothing can be written: ")


def test_check_fails_when_the_source_moved_on(run):
    put("train.py")
    run("train.py")
    put("train.py", EXACT.replace("2e-4", "3e-4"))
    status, _, err = run("train.py", "--check")
    assert status == 1
    assert "would change train_mint.py" in err


def test_check_fails_until_a_person_has_removed_the_markers(run):
    put("train.py", MANUAL)
    run("train.py")
    status, _, err = run("train.py", "--check")
    assert status == 1
    assert err.count("MM") >= 1
    text = Path("train_mint.py").read_text()
    lines = [line for line in text.split("\n") if "TODO[mint-migrate" not in line]
    put("train_mint.py", "\n".join(lines))
    status, _, err = run("train.py", "--check")
    assert status == 0
    assert "was edited since it was written; not compared" in err


def test_check_of_an_output_fails_while_a_marker_is_left(run):
    put("train.py", MANUAL)
    run("train.py")
    assert run("train_mint.py", "--check")[0] == 1


def test_in_place_replaces_a_committed_script_and_undo_restores_it(run):
    put("train.py")
    commit_all()
    status, out, _ = run("train.py", "--in-place")
    assert status == 0
    assert out.startswith("--- train.py\n+++ train.py\n")
    assert is_our_output(Path("train.py").read_text())
    assert run("undo", "train.py")[:2] == (0, "restored train.py\n")
    assert Path("train.py").read_text() == EXACT


def test_in_place_refuses_what_git_could_not_bring_back(run):
    put("train.py")
    status, out, err = run("train.py", "--in-place")
    assert (status, out) == (2, "")
    assert "train.py: MM112" in err
    assert files() == {"train.py"}


def test_force_replaces_it_all_the_same(run):
    put("train.py")
    assert run("train.py", "--in-place", "--force")[0] == 0
    assert run("undo")[0] == 0
    assert Path("train.py").read_text() == EXACT


def test_in_place_twice_changes_nothing(run):
    put("train.py")
    run("train.py", "--in-place", "--force")
    once = Path("train.py").read_bytes()
    assert run("train.py", "--in-place", "--force")[0] == 0
    assert Path("train.py").read_bytes() == once


def test_undo_refuses_a_file_edited_since(run):
    put("train.py")
    run("train.py", "--in-place", "--force")
    put("train.py", "edited = 1\n")
    status, _, err = run("undo")
    assert status == 2
    assert "MM113" in err
    assert run("undo", "--force")[0] == 0
    assert Path("train.py").read_text() == EXACT


def test_undo_without_a_run_says_so(run):
    status, out, err = run("undo")
    assert (status, out) == (2, "")
    assert "no run to undo" in err
