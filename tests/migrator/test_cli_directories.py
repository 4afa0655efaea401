"""A directory: which files are converted, at what speed that shows, and the one report of all."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import struct
import subprocess
import sys
import termios
from pathlib import Path

import jsonschema
import pytest
from mint_migrate.report.as_json import schema_text

SCRIPT = """\
from peft import LoraConfig
from trl import SFTConfig, SFTTrainer

rows = [{"text": "one"}]
args = SFTConfig(output_dir="out", learning_rate=2e-4, max_length=64)
lora = LoraConfig(r=16, lora_alpha=32, target_modules="all-linear")
trainer = SFTTrainer("Qwen/Qwen3-0.6B", args=args, train_dataset=rows, peft_config=lora)
trainer.train()
"""
PROJECT = {
    "pyproject.toml": "",
    "src/train.py": SCRIPT,
    "src/deep/other.py": SCRIPT.replace("max_length=64", "max_length=64, neftune_noise_alpha=5"),
    "src/plain.py": "import json\nprint(json.dumps(1))\n",
    "src/lib/trainers.py": "from trl import SFTTrainer\ndef build(): return SFTTrainer('m')\n",
    "src/main.py": "from lib.trainers import build\n\nbuild().train()\n",
    "src/text.py": "from lib import words\n",
}


def put_project(names: dict[str, str] = PROJECT) -> None:
    for name, content in names.items():
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(content)


def outputs() -> set[str]:
    return {path.as_posix() for path in Path().rglob("*_mint.py")}


def test_a_directory_is_converted_and_the_rest_keeps_bytes_and_times(run):
    put_project()
    for name in PROJECT:
        os.utime(name, ns=(10**18, 10**18))
    status, _, err = run("src")
    assert status == 1
    assert outputs() == {"src/train_mint.py", "src/deep/other_mint.py"}
    assert all(Path(name).read_text() == content for name, content in PROJECT.items())
    assert all(Path(name).stat().st_mtime_ns == 10**18 for name in PROJECT)
    assert "2 scripts use no source framework" in err


def test_a_script_that_uses_a_trainer_of_another_file_is_listed_with_the_way_out(run):
    put_project()
    status, out, _ = run("src", "--format", "json")
    assert status == 1
    found = {file["source"]: file for file in json.loads(out)["files"]}
    (item,) = found["src/main.py"]["items"]
    assert found["src/main.py"]["status"] == "unchanged"
    assert (item["code"], item["decision"], item["name"]) == ("MM109", "manual", "trl.SFTTrainer")
    assert (item["line"], item["column"], item["source_text"]) == (1, 26, "build")
    assert "lib/trainers.py" in item["note"]


@pytest.mark.parametrize("argv", [["src/main.py"], ["src"]])
def test_it_is_listed_however_it_is_given(run, argv):
    put_project()
    status, _, err = run(*argv)
    assert status == 1
    assert "MM109" in err


def test_a_script_that_imports_nothing_of_the_kind_is_skipped(run):
    put_project()
    status, _, err = run("src/text.py")
    assert (status, "MM107" in err, "MM109" in err) == (0, True, False)


def test_a_directory_has_one_report_of_all_its_files(run):
    put_project()
    run("src", "--report", "md", "--report", "json")
    report = json.loads(Path("src/mint-migrate.report.json").read_text())
    jsonschema.validate(report, json.loads(schema_text()))
    assert [file["source"] for file in report["files"]] == [
        "src/main.py",
        "src/train.py",
        "src/deep/other.py",
        "src/lib/trainers.py",
    ]
    index = Path("src/mint-migrate.report.md").read_text()
    rows = [line for line in index.split("\n") if line.startswith("| `")]
    assert [row.split(" | ")[0] for row in rows] == [
        "| `lib/trainers.py`",
        "| `main.py`",
        "| `deep/other.py`",
        "| `train.py`",
    ]
    assert "[other\\_mint.py](<deep/other_mint.report.md>)" in index
    assert Path("src/deep/other_mint.report.md").is_file()
    assert Path("src/deep/other_mint.report.json").is_file()


def test_the_report_lies_in_the_folder_of_the_outputs(run):
    put_project()
    run("src", "-o", "new", "--report", "md")
    assert Path("new/mint-migrate.report.md").is_file()
    assert "](<deep/other_mint.report.md>)" in Path("new/mint-migrate.report.md").read_text()
    assert not Path("src/mint-migrate.report.md").exists()


def test_a_single_file_has_no_index(run):
    put_project()
    run("src/train.py", "--report", "md")
    assert {path.name for path in Path().rglob("*.report.md")} == {"train_mint.report.md"}


def test_two_scripts_never_share_an_output(run):
    put_project({"a/train.py": SCRIPT, "b/train.py": SCRIPT})
    status, _, err = run("a/train.py", "b/train.py", "-o", "new")
    assert status == 2
    assert "a/train.py and b/train.py would both be written to new/train_mint.py" in err
    assert not Path("new").exists()


def test_two_scripts_of_one_name_keep_their_folders(run):
    put_project({"a/train.py": SCRIPT, "b/train.py": SCRIPT})
    run(".", "-o", "new")
    assert {path.as_posix() for path in Path("new").rglob("*.py")} == {
        "new/a/train_mint.py",
        "new/b/train_mint.py",
    }


@pytest.mark.parametrize("options", [[], ["-o", "out"]])
def test_a_launcher_beside_a_script_of_its_name_has_a_result_of_its_own(run, options):
    flags = "--model_name_or_path Qwen/Qwen3-0.6B --dataset_name trl-lib/Capybara --output_dir o"
    put_project(
        {
            "src/train.py": SCRIPT,
            "src/train.sh": f"trl sft {flags} $MORE\n",
            "src/own.py": SCRIPT,
            "src/own.sh": "export SEED=1\npython src/own.py\n",
        }
    )
    status, _, err = run("src", *options)
    assert status in (0, 1), err
    results = {path.name for path in Path("out" if options else "src").rglob("*_mint*")}
    assert {"train_mint.py", "train_sh_mint.py", "own_mint.py"} <= results
    assert "from train.py" in next(Path().rglob("train_mint.py")).read_text()
    assert "from train.sh" in next(Path().rglob("train_sh_mint.py")).read_text()


@pytest.mark.parametrize("options", [[], ["--in-place", "--force"], ["--force"], ["--diff"]])
def test_several_processes_give_what_one_gives(tmp_path, options):
    seen = []
    for jobs in ("1", "3"):
        folder = tmp_path / jobs
        for number in range(6):
            path = folder / f"train_{number}.py"
            path.parent.mkdir(exist_ok=True)
            path.write_text(SCRIPT.replace("max_length=64", f"max_length={64 + number}"))
        command = [sys.executable, "-m", "mint_migrate", ".", "--jobs", jobs, *options]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        written = {
            path.relative_to(folder).as_posix(): path.read_bytes()
            for path in sorted(folder.rglob("*.py"))
        }
        seen.append((done.returncode, done.stdout, done.stderr, written))
    assert seen[0] == seen[1]


def terminal_output(folder: Path, *arguments: str) -> str:
    """Return what the program writes to stderr where that is a terminal."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    variables = {**os.environ, "TERM": "xterm"}
    variables.pop("NO_COLOR", None)
    command = [sys.executable, "-m", "mint_migrate", *arguments]
    process = subprocess.Popen(
        command, cwd=folder, stdout=subprocess.DEVNULL, stderr=theirs, env=variables
    )
    os.close(theirs)
    chunks = []
    while True:
        try:
            chunk = os.read(ours, 4096)
        except OSError:
            break
        if not chunk:
            break
        chunks.append(chunk)
    process.wait(60)
    os.close(ours)
    return b"".join(chunks).decode()


@pytest.mark.parametrize(("num_files", "shows"), [(6, True), (1, False)])
def test_a_terminal_shows_progress_where_there_is_a_wait(tmp_path, num_files, shows):
    for number in range(num_files):
        (tmp_path / f"train_{number}.py").write_text(SCRIPT)
    shown = terminal_output(tmp_path, ".")
    assert (f"{num_files}/{num_files}" in shown) is shows
    # What is told follows the bar, which leaves no trace on the last screen.
    assert shown.rfind("wrote train_0_mint.py") > shown.rfind("migrating")


def test_a_pipe_shows_no_progress(run):
    put_project({f"train_{number}.py": SCRIPT for number in range(6)})
    _, _, err = run(".")
    assert "migrating" not in err
