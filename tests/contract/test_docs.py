"""The pages for people say what is so: links, commands, excerpts of code and of output."""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from mint_migrate import cli
from mint_runtime.cli import app
from typer.main import get_command

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    *sorted(ROOT.glob("*.md")),
    ROOT / "mappings" / "README.md",
    ROOT / "fixtures" / "README.md",
    ROOT / "examples" / "README.md",
    *sorted(ROOT.glob("docs/**/*.md")),
]
HAND_WRITTEN = [page for page in PAGES if page.parent.name != "rules"]
README = (ROOT / "README.md").read_text(encoding="utf-8")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
TARGETS = set(re.findall(r"^([a-z]+):", MAKEFILE, re.MULTILINE))

LINK = re.compile(r"\[[^\]]*\]\((?P<target>[^)\s]+)\)")
TARGET = re.compile(r"(?:`|^    )make ([a-z]+)", re.MULTILINE)
COMMAND = re.compile(r"mint-migrate +((?:[a-z][\w/.-]*|--[a-z-]+|MM\d+)(?:[^\S\n]+[^`\n]+)?)`")
RUNTIME_COMMAND = re.compile(r"mint-runtime ([a-z][a-z-]*)")
SNIPPET = re.compile(r"<!-- lines of (?P<path>\S+) -->\n```python\n(?P<code>.*?)```", re.DOTALL)
OUTPUT = re.compile(
    r"<!-- output of mint-migrate (?P<arguments>.+?) -->\n```text\n(?P<text>.*?)```", re.DOTALL
)
FOLDERS = "migrator|runtime|mappings|templates|fixtures|tests|docs|examples|benchmarks|\\.ci"
PATH = re.compile(rf"`((?:{FOLDERS})/[\w./-]*)`")
PROGRAM = re.compile(r"\bpython (?:-m (?P<module>[\w.]+)|(?P<path>[\w./-]+\.py))")
EXAMPLES = ROOT / "examples"
EXAMPLES_PAGE = (EXAMPLES / "README.md").read_text(encoding="utf-8")


def identifier(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def parts(text: str) -> list[str]:
    """Return the pieces of an excerpt between the lines that only say that some are left out."""
    pieces = re.split(r"^[ ]*(?:# )?\.\.\.\n", text, flags=re.MULTILINE)
    return [piece.strip("\n") for piece in pieces if piece.strip()]


@pytest.mark.parametrize("page", PAGES, ids=identifier)
def test_links_lead_to_files(page):
    targets = [match["target"] for match in LINK.finditer(page.read_text(encoding="utf-8"))]
    local = [target.partition("#")[0] for target in targets if "://" not in target]
    assert [each for each in local if each and not (page.parent / each).exists()] == []


@pytest.mark.parametrize("page", HAND_WRITTEN, ids=identifier)
def test_paths_in_pages_exist(page):
    named = set(PATH.findall(page.read_text(encoding="utf-8")))
    assert [each for each in sorted(named) if not (ROOT / each).exists()] == []


@pytest.mark.parametrize("page", HAND_WRITTEN, ids=identifier)
def test_programs_that_pages_start_exist(page):
    started = list(PROGRAM.finditer(page.read_text(encoding="utf-8")))
    paths = {match["path"] for match in started if match["path"]}
    assert [each for each in sorted(paths) if not (ROOT / each).is_file()] == []
    modules = {match["module"] for match in started if match["module"]}
    outside = sorted(each for each in modules if not (ROOT / each / "__main__.py").is_file())
    assert [each for each in outside if importlib.util.find_spec(each) is None] == []


@pytest.mark.parametrize("page", HAND_WRITTEN, ids=identifier)
def test_make_targets_in_pages_exist(page):
    assert set(TARGET.findall(page.read_text(encoding="utf-8"))) - TARGETS == set()


def test_every_target_has_a_line_in_the_help():
    described = re.findall(r"^([a-z]+):.*## \S", MAKEFILE, re.MULTILINE)
    assert set(described) == TARGETS


def test_the_readme_names_the_two_commands():
    assert {"make demo", "make test"} <= set(re.findall(r"^    (make \w+)", README, re.MULTILINE))


def test_the_build_runs_the_readmes_test_command():
    build = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
    assert re.search(r"\blane\b.*\btest\b", build)


@pytest.mark.parametrize("command", sorted(set(COMMAND.findall(README))))
def test_commands_in_the_readme_are_understood(command):
    arguments = shlex.split(command)
    names = {each.name: each for each in cli.COMMANDS}
    name = arguments.pop(0) if arguments[0] in names else "migrate"
    cli.parser_of(names[name]).parse_args(arguments)


@pytest.mark.parametrize("page", HAND_WRITTEN, ids=identifier)
def test_commands_of_the_runtime_in_pages_exist(page):
    named = set(RUNTIME_COMMAND.findall(page.read_text(encoding="utf-8")))
    assert named - set(get_command(app).commands) == set()


def test_the_table_of_examples_names_every_script():
    named = set(re.findall(r"`([\w/]+\.py)`", EXAMPLES_PAGE))
    held = {path.relative_to(EXAMPLES).as_posix() for path in EXAMPLES.rglob("*.py")}
    assert named - held == {"grpo_data.py"}, "named without its folder in a sentence"
    assert held - named == {"rl/sandbox_child.py"}, "the part of the sandbox that is not called"


def test_the_table_of_settings_is_the_configuration_of_the_examples():
    config = importlib.import_module("rl_core").RLConfig
    held = {
        variable: each.default
        for each in dataclasses.fields(config)
        for variable in each.metadata.get("variables", ())
    }
    rows = re.findall(r"^\| (`MINT_.*?) \| (.*?) \|", EXAMPLES_PAGE, re.MULTILINE)
    told = {name: text for cell, text in rows for name in re.findall(r"`(MINT_\w+)`", cell)}
    assert told.pop("MINT_RL_OUTPUT_DIR") == "by script"
    del held["MINT_RL_OUTPUT_DIR"]
    assert {name: type(held[name])(text.strip("`")) for name, text in told.items()} == held


@pytest.mark.parametrize("number", range(len(SNIPPET.findall(README))))
def test_code_in_the_readme_is_what_the_file_holds(number):
    path, code = SNIPPET.findall(README)[number]
    held = (ROOT / path).read_text(encoding="utf-8")
    assert [piece for piece in parts(code) if f"\n{piece}\n" not in held] == []


@pytest.mark.parametrize("number", range(len(OUTPUT.findall(README))))
def test_output_in_the_readme_is_what_is_printed(number, tmp_path):
    line, text = OUTPUT.findall(README)[number]
    script = ROOT / "fixtures" / "before" / "trl" / "sft_minimal.py"
    (tmp_path / script.name).write_bytes(script.read_bytes())
    done = subprocess.run(
        [sys.executable, "-m", "mint_migrate", *shlex.split(line)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={**os.environ, "COLUMNS": "100"},
    )
    assert done.returncode == 0, done.stderr
    printed = "\n".join(each.rstrip() for each in (done.stdout + done.stderr).splitlines())
    assert [piece for piece in parts(text) if piece not in printed] == []


def test_the_readme_shows_code_and_output():
    assert len(SNIPPET.findall(README)) >= 2
    assert len(OUTPUT.findall(README)) >= 2


def test_pages_say_nothing_of_this_machine():
    private = re.compile(r"/home/|/root/|/Users/|localhost:\d{4,}")
    found = [identifier(page) for page in PAGES if private.search(page.read_text("utf-8"))]
    assert found == []


def test_tests_that_the_pages_name_exist():
    pages = "".join(page.read_text(encoding="utf-8") for page in HAND_WRITTEN)
    named = set(re.findall(r"`(test_\w+)`", pages))
    code = "".join(path.read_text("utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    known = {path.stem for path in (ROOT / "tests").rglob("test_*.py")}
    assert named
    assert [name for name in sorted(named - known) if f"def {name}(" not in code] == []
