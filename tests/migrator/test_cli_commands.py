"""The command line itself: options, help, and the smaller commands."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from mint_migrate import cli
from mint_migrate.report.as_json import schema_text
from support.folder import MANUAL, files, put


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--diff", "--check"], "`--diff` and `--check` exclude each other"),
        (["--in-place", "-o", "x"], "`--in-place` and `-o` exclude each other"),
        (["-o", "-", "--diff"], "`-o -` prints the script"),
        (["-o", "-", "--format", "json"], "both want stdout"),
        (["--check", "--report", "md"], "`--report` writes a file"),
        (["--report", "html"], "does not exist in this release; there are `md` and `json`"),
        (["--report", "sarif"], "does not exist in this release; there are `md` and `json`"),
        (["--report", "pdf"], "`--report pdf` is not known; there are `md` and `json`"),
        (["--format", "yaml"], "invalid choice: 'yaml'"),
        (["--source-version", "ray==2.0"], "such as `trl==0.19.1`"),
        (["--source-version", "trl==new"], "such as `trl==0.19.1`"),
        (["--num-processes", "0"], "expected a whole number from 1 on, found '0'"),
        (["--jobs", "two"], "expected a whole number from 1 on, found 'two'"),
        (["-o", "train.py"], "names the source itself"),
        (["other.py", "-o", "one.py"], "`-o one.py` holds one script, and 2 are given"),
        (["--dif"], "unrecognized arguments: --dif"),
    ],
)
def test_a_usage_error_is_explained_and_nothing_is_written(run, argv, words):
    put("train.py")
    put("other.py")
    status, out, err = run("train.py", *argv)
    assert (status, out) == (2, "")
    assert words in err
    assert files() == {"train.py", "other.py"}


def test_options_may_stand_before_and_between_the_paths(run):
    put("a.py")
    put("b.py")
    assert run("--diff", "a.py", "--strict", "b.py")[0] == 0


def test_a_command_may_be_named_and_a_file_may_be_called_like_one(run):
    put("todo", "")
    put("run.py")
    assert run("migrate", "run.py", "--diff")[0] == 0
    assert "todo: MM104" in run("./todo")[2]


def test_a_misspelled_command_is_suggested(run):
    status, _, err = run("explan", "MM203")
    assert status == 2
    assert "is `explain` meant?" in err


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["s.py", "--tiny"], (["s.py", "--tiny"], ())),
        (["s.py", "--", "--lr", "1"], (["s.py"], ("--lr", "1"))),
        (["s.py", "--", "a", "--", "b"], (["s.py"], ("a", "--", "b"))),
        (["s.py", "--"], (["s.py"], ())),
    ],
)
def test_what_follows_two_dashes_belongs_to_the_script(arguments, expected):
    assert cli.split_rest(arguments) == expected


@pytest.mark.parametrize("command", ["run", "verify"])
def test_a_script_that_does_not_exist_cannot_be_executed(run, command):
    status, out, err = run(command, "nope.py", "--", "--help")
    assert (status, out) == (2, "")
    assert "nope.py" in err


def test_help_documents_the_exit_status(run):
    status, out, _ = run("--help")
    assert status == 0
    assert "Exit status: 0 nothing is left for a person" in out
    assert all(f"\n  {command.name} " in out for command in cli.COMMANDS)


def test_no_arguments_show_the_help_and_are_an_error(run):
    status, out, err = run()
    assert (status, out) == (2, "")
    assert "usage: mint-migrate" in err


@pytest.mark.parametrize("name", [command.name for command in cli.COMMANDS])
def test_every_command_has_help_in_80_columns(run, name):
    status, out, _ = run(name, "--help")
    assert status == 0
    assert max(len(line) for line in out.split("\n")) <= 80


@pytest.mark.parametrize(
    ("argv", "status", "kind", "words"),
    [
        (["ask", "how", "do", "I", "do", "DPO"], 0, "answer", "forward_backward_custom"),
        (["ask", "verl"], 0, "guide", "From verl to MinT"),
        (["ask", "zebra quantum"], 1, "not_found", "Nearest entries"),
        (["ask"], 0, "help", "ask"),
        (["explain", "MM203"], 0, "answer", "rollout"),
        (["explain", "MM9999"], 1, "not_found", "Nearest entries"),
        (["mappings"], 0, "tables", "trl.SFTConfig"),
        (["mappings", "trl.SFTConfig"], 0, "rows", "max_length"),
        (["mappings", "trl.SFTConfig.packing"], 0, "answer", "packing"),
        (["mappings", "trl.SFTConfig.pakcing"], 1, "not_found", "packing"),
    ],
)
def test_answers_come_from_the_tables(run, argv, status, kind, words):
    found, out, err = run(*argv)
    assert (found, err) == (status, "")
    assert words in out
    found, out, err = run(*argv, "--format", "json")
    assert (found, json.loads(out)["kind"], err) == (status, kind, "")


@pytest.mark.parametrize("argv", [["schema"], ["mappings", "trl.SFTConfig"]])
def test_a_reader_that_stops_reading_is_no_failure_of_ours(argv):
    read_end, write_end = os.pipe()
    os.close(read_end)
    command = [sys.executable, "-m", "mint_migrate", *argv]
    done = subprocess.run(command, stdout=write_end, stderr=subprocess.PIPE, check=False)
    os.close(write_end)
    assert done.stderr == b""


def test_schema_prints_the_schema(run):
    assert run("schema") == (0, schema_text(), "")


def test_todo_lists_markers_of_a_folder(run):
    put("train.py", MANUAL)
    run("train.py")
    status, out, err = run("todo")
    assert status == 1
    assert out.startswith("train_mint.py:")
    assert err == "1 TODO left\n"


def test_todo_as_json(run):
    put("a.py", "x = 1\n# TODO[mint-migrate MM203] act\n")
    status, out, _ = run("todo", "a.py", "--format", "json")
    assert status == 1
    assert json.loads(out) == [
        {"path": "a.py", "line": 2, "column": 3, "code": "MM203", "message": "act"}
    ]


def test_todo_without_markers_is_content(run):
    put("a.py", "x = 1\n")
    assert run("todo") == (0, "", "0 TODOs left\n")


def test_todo_of_a_missing_file_fails(run):
    assert run("todo", "nope.py")[0] == 2


def test_doctor_shows_versions(run):
    status, out, _ = run("doctor", "--format", "json")
    record = json.loads(out)
    assert status in (0, 1)
    assert record["packages"]["libcst"]


def test_the_program_starts_as_a_module(tmp_path):
    (tmp_path / "train.py").write_text(MANUAL)
    command = [sys.executable, "-m", "mint_migrate", "train.py", "--diff"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stdout.startswith("--- train.py\n")
