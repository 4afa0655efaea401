"""The command line, end to end: what is written, printed and returned."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
from mint_migrate import cli
from mint_migrate.report.as_json import schema_text
from mint_migrate.stamp import is_our_output, was_edited

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures"
EXACT = """\
from peft import LoraConfig
from trl import SFTConfig, SFTTrainer

rows = [{"text": "one"}]
args = SFTConfig(output_dir="out", learning_rate=2e-4, max_length=64)
lora = LoraConfig(r=16, lora_alpha=32, target_modules="all-linear")
trainer = SFTTrainer("Qwen/Qwen3-0.6B", args=args, train_dataset=rows, peft_config=lora)
trainer.train()
"""
MANUAL = EXACT.replace("max_length=64", "max_length=64, neftune_noise_alpha=5")
APPROXIMATE = EXACT.replace("lora_alpha=32", "lora_alpha=32, lora_dropout=0.1")


def put(name: str, content: str | bytes = EXACT) -> Path:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def files() -> set[str]:
    """Return the files below the current folder, but for git's."""
    found = (path for path in Path().rglob("*") if path.is_file())
    return {path.as_posix() for path in found if path.parts[0] != ".git"}


def commit_all() -> None:
    for args in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "first"]):
        identity = ["-c", "user.name=t", "-c", "user.email=t@example.com"]
        subprocess.run(["git", *identity, *args], check=True)


# --- what is written ------------------------------------------------------------------------------


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


# --- edited outputs -------------------------------------------------------------------------------


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


# --- check ----------------------------------------------------------------------------------------


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


# --- in place and undo ----------------------------------------------------------------------------


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


# --- reports and formats --------------------------------------------------------------------------


def test_json_on_stdout_fits_the_schema_and_stands_alone(run):
    put("train.py", MANUAL)
    status, out, _ = run("train.py", "--format", "json")
    report = json.loads(out)
    jsonschema.validate(report, json.loads(schema_text()))
    assert status == 1
    assert report["files"][0]["output"] == "train_mint.py"
    assert report["totals"]["manual"] == 1


def test_json_of_a_failure_fits_the_schema(run):
    put("broken.py", "from trl import (\n")
    status, out, _ = run("broken.py", "nope.py", "--format", "json")
    report = json.loads(out)
    jsonschema.validate(report, json.loads(schema_text()))
    assert status == 2
    assert [file["status"] for file in report["files"]] == ["failed", "failed"]


def test_json_carries_the_diff_where_it_is_asked_for(run):
    put("train.py")
    _, out, _ = run("train.py", "--format", "json", "--diff")
    assert json.loads(out)["files"][0]["diff"].startswith("--- train.py\n")


def test_reports_lie_beside_the_output(run):
    put("src/train.py")
    run("src/train.py", "-o", "out", "--report", "md", "--report", "json")
    assert files() == {
        "src/train.py",
        "out/train_mint.py",
        "out/train_mint.report.json",
        "out/train_mint.report.md",
    }
    report = json.loads(Path("out/train_mint.report.json").read_text())
    jsonschema.validate(report, json.loads(schema_text()))
    assert "## `src/train.py`" in Path("out/train_mint.report.md").read_text()


def test_exact_items_are_listed_on_request(run):
    put("train.py")
    assert "learning_rate=2e-4" not in run("train.py")[2]
    assert "learning_rate=2e-4" in run("train.py", "--verbose")[2]


def test_a_terminal_without_color_gets_none(run, monkeypatch):
    put("train.py", MANUAL)
    _, out, err = run("train.py")
    assert "\x1b" not in out + err


# --- exit status ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "options", "expected"),
    [
        (EXACT, [], 0),
        (APPROXIMATE, [], 0),
        (APPROXIMATE, ["--strict"], 1),
        (MANUAL, [], 1),
        (MANUAL, ["--diff"], 1),
        ("print('no framework')\n", [], 0),
        ("import torch\n", ["--check"], 0),
    ],
)
def test_the_exit_status_says_whether_a_person_must_act(run, content, options, expected):
    put("train.py", content)
    assert run("train.py", *options)[0] == expected


def test_a_comment_accepts_an_outcome(run):
    code = json.loads(_json_of(run, MANUAL))["files"][0]
    item = next(each for each in code["items"] if each["decision"] == "manual")
    accepted = MANUAL.replace(
        "max_length=64, neftune_noise_alpha=5)", "max_length=64, neftune_noise_alpha=5)  #"
    )
    put(
        "train.py",
        accepted.replace(")  #", f")  # mint-migrate: ignore[{item['code']}] short rows"),
    )
    status, _, err = run("train.py", "--diff")
    assert status == 0
    assert "0 need you, 1 accepted by a comment" in err


def _json_of(run, content: str) -> str:
    put("train.py", content)
    return run("train.py", "--diff", "--format", "json")[1]


def test_a_comment_that_is_not_understood_is_named(run):
    put("train.py", EXACT + "# mint-migrate: ignore everything\n")
    assert "train.py:9:1: comment not understood" in run("train.py")[2]


# --- bad input ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "status", "line"),
    [
        ("broken.py", "from trl import (\n", 2, "broken.py:1:17: MM101 "),
        ("latin.py", b"import trl\nx = '\xe9'\n", 2, "latin.py:2:6: MM102 "),
        ("empty.py", "", 0, "empty.py: MM103 the file is empty"),
        ("notes.txt", "import trl\n", 2, "notes.txt: MM104 "),
        ("binary.py", b"import trl\n\x00", 2, "binary.py:1:1: MM104 "),
        ("plain.py", "print()\n", 0, "plain.py: MM107 "),
        (
            "own.py",
            "class SFTTrainer:\n    pass\n\n\nSFTTrainer()  # like trl\n",
            0,
            "own.py: MM108 ",
        ),
    ],
)
def test_bad_input_gets_one_clear_line_and_no_file(run, name, content, status, line):
    put(name, content)
    found, out, err = run(name)
    assert (found, out) == (status, "")
    assert err.startswith(line)
    assert files() == {name}


def test_a_missing_file_fails(run):
    status, out, err = run("nope.py")
    assert (status, out) == (2, "")
    assert err.startswith("nope.py: MM105 no such file")


def test_a_syntax_error_is_shown_with_its_line(run):
    put("broken.py", "import trl\ntrain((1]\n")
    assert "    2 | train((1]\n      |         ^\n" in run("broken.py")[2]


def test_a_folder_without_scripts_fails(run):
    put("docs/readme.md", "trl\n")
    status, _, err = run("docs")
    assert status == 2
    assert err.startswith("docs: MM106 ")


def test_a_folder_without_a_framework_is_fine(run):
    put("src/tool.py", "print()\n")
    status, _, err = run("src")
    assert status == 0
    assert "1 script uses no source framework" in err


def test_one_bad_file_does_not_stop_the_others(run):
    put("src/a.py", "from trl import (\n")
    put("src/b.py")
    status, _, err = run("src")
    assert status == 2
    assert files() == {"src/a.py", "src/b.py", "src/b_mint.py"}
    assert err.rstrip().split("\n")[-1].startswith("2 scripts (1 failed), ")


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_files_migrated_at_the_same_time_come_out_the_same(run, jobs):
    put("src/a.py")
    put("src/b.py", MANUAL)
    status, out, _ = run("src", "--jobs", jobs, "--diff")
    assert status == 1
    assert [line for line in out.split("\n") if line.startswith("+++")] == [
        "+++ src/a_mint.py",
        "+++ src/b_mint.py",
    ]


def test_a_place_that_cannot_be_written_is_named(run):
    put("train.py")
    put("blocked", "a file, not a folder\n")
    status, _, err = run("train.py", "-o", "blocked/out")
    assert status == 2
    assert "blocked/out/train_mint.py: MM114 cannot write" in err


def test_an_output_that_cannot_be_a_file_is_named(run):
    put("train.py")
    Path("train_mint.py").mkdir()
    status, _, err = run("train.py")
    assert status == 2
    assert "train_mint.py: MM1" in err


def test_a_failure_of_ours_is_told_and_the_others_go_on(run, monkeypatch):
    put("a.py")
    put("b.py")
    from mint_migrate import pipeline

    real = pipeline.migrate_source

    def fail_once(source, options, tables):
        if source.path == "a.py":
            raise RecursionError("too deep")
        return real(source, options, tables)

    monkeypatch.setattr(pipeline, "migrate_source", fail_once)
    status, _, err = run("a.py", "b.py", "--verbose")
    assert status == 2
    assert "a.py: MM901 mint-migrate failed (RecursionError: too deep)" in err
    assert "Traceback" in err
    assert files() == {"a.py", "b.py", "b_mint.py"}


# --- the command line itself ----------------------------------------------------------------------


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
