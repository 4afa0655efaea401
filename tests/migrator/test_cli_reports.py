"""The command line, end to end: reports, exit status, and bad input."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
from mint_migrate.report.as_json import schema_text
from support.folder import APPROXIMATE, EXACT, MANUAL, files, put


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
