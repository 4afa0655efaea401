"""The `mint-runtime` command: what it refuses, what it prints, how it ends."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from mint_runtime.config import parse_base_models
from mint_runtime.errors import UserError
from support.server import (
    Server,
    environment,
    execute,
    refusal,
    run_cli,
    running_server,
    start_server,
)

HEAVY = ("torch", "transformers", "tinker", "mint", "numpy", "starlette", "uvicorn")


def only_line(said: str) -> str:
    """Return the one line that a refused command says."""
    lines = said.strip().splitlines()
    assert len(lines) == 1, said
    return lines[0]


@pytest.mark.parametrize("arguments", [["--help"], ["serve", "--help"], ["--version"]])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    script = (
        "import sys\n"
        "from mint_runtime.cli import app\n"
        "try:\n    app(sys.argv[1:])\n"
        "except SystemExit:\n    pass\n"
        f"print(sorted(set(sys.modules) & set({HEAVY})))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip().splitlines()[-1] == "[]"


def test_the_version_is_printed() -> None:
    assert run_cli("--version").stdout == "mint-runtime 0.1.0\n"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ([], "at least one `--base-model"),
        (["--base-model", "a=/no/such/folder"], "`/no/such/folder` is not a folder"),
        (["--base-model", "a="], "not NAME or NAME=DIR"),
        (["--base-model", "x={tmp}", "--host", "0.0.0.0"], "--api-key"),
        (["--base-model", "x={tmp}", "--api-key", " "], "`--api-key` is empty"),
        (["--base-model", "x={tmp}"], "no config.json"),
        (["--base-model", "x={tmp}/empty", "--state-dir", "{tmp}/state"], "x"),
        (["--base-model", "x={tmp}/empty", "--state-dir", "/dev/null/state"], "/dev/null/state"),
        (["--base-model", "x={tmp}/empty", "--host", "203.0.113.7", "--api-key", "k"],
         "203.0.113.7"),
        (["--base-model", "no-such/model-anywhere", "--state-dir", "{tmp}/state"],
         "no-such/model-anywhere"),
    ],
)  # fmt: skip
def test_options_that_cannot_be_used_are_one_line_and_status_2(
    tmp_path: Path, arguments: list[str], text: str
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "config.json").write_text("{}")
    filled = [argument.format(tmp=tmp_path) for argument in arguments]
    if "--state-dir" not in filled:
        filled += ["--state-dir", str(tmp_path / "state")]
    assert text in only_line(refusal("serve", *filled))


def test_a_missing_package_is_one_line_with_the_command_that_installs_it(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    script = (
        "import sys\nsys.modules['uvicorn'] = None\nfrom mint_runtime.cli import main\nmain()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, "serve", "--base-model", f"x={tmp_path}"],
        env=environment(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert 'pip install "mint-migrate[runtime]"' in only_line(done.stderr)


def test_two_base_models_may_not_share_a_name() -> None:
    with pytest.raises(UserError, match="twice"):
        parse_base_models(["a", "a"])


def test_a_relative_folder_becomes_absolute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "config.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    assert parse_base_models(["a=m", "org/b"]) == (
        ("a", str(tmp_path / "m")),
        ("org/b", "org/b"),
    )


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the state directory of the file's server."""
    return tmp_path_factory.mktemp("state")


@pytest.fixture(scope="module")
def server(tiny_directory: Path, state: Path) -> Iterator[Server]:
    """Yield one server for the tests that leave it running."""
    with running_server(tiny_directory, state) as running:
        yield running


def test_a_second_server_on_the_same_state_is_refused(server: Server, state: Path) -> None:
    model = f"x={server.model}"
    line = only_line(refusal("serve", "--base-model", model, "--state-dir", str(state)))
    assert f"process id {server.process.pid}" in line
    assert "--state-dir" in line


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_server_cleanly(
    tiny_directory: Path, tmp_path: Path, number: signal.Signals
) -> None:
    server = start_server(tiny_directory, tmp_path, start=execute)
    assert server.stop(number) == 0
    assert "Traceback" not in server.log.read_text()


def test_the_server_says_where_it_listens_once_it_answers(
    tiny_directory: Path, tmp_path: Path
) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "mint_runtime", "serve", "--base-model", f"x={tiny_directory}",
         "--port", "0", "--state-dir", str(tmp_path), "--stop-with-stdin", "--log-format", "json"],
        env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line.startswith("listening on http://127.0.0.1:")
    url = line.split()[-1]
    with urllib.request.urlopen(f"{url}/health") as answer:
        assert json.load(answer) == {"status": "ok"}
    # Closing its standard input is how a parent that dies takes the server along.
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 0
    assert all(json.loads(line) for line in errors.splitlines())


def test_the_ready_file_names_the_process(server: Server, state: Path) -> None:
    ready = json.loads((state / "ready.json").read_text())
    assert ready == {"url": server.url, "pid": server.process.pid}


def test_tiny_model_writes_a_model(tmp_path: Path) -> None:
    target = tmp_path / "tiny"
    done = run_cli("tiny-model", str(target), "--architecture", "llama", "--vocab-size", "300")
    assert (done.returncode, done.stdout) == (0, f"wrote {target}\n")
    assert json.loads((target / "config.json").read_text())["model_type"] == "llama"
