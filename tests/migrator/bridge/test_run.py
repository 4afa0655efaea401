"""`run`: a real runtime for the length of a script."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from mint_migrate.bridge import runtime as runtime_module
from mint_migrate.bridge.commands import run_command
from mint_migrate.bridge.errors import CannotRun, RuntimeFailed, RuntimeMissing
from mint_migrate.bridge.run import run_child
from mint_migrate.bridge.runtime import architecture_for, require_runtime, serve
from mint_runtime.cli import Architecture
from support.tiny_folder import shared_cache, tiny_folder

NAME = "acme/tiny"
WAIT_S = 60.0
"""Ends a test whose processes never react; nothing is measured with it."""

TRAIN = """
import mint
from mint import types

client = mint.ServiceClient().create_lora_training_client(base_model="acme/tiny", rank=4)
datum = types.Datum(
    model_input=types.ModelInput.from_ints(tokens=[5, 6, 7]),
    loss_fn_inputs={"target_tokens": [6, 7, 8], "weights": [1.0, 1.0, 1.0]},
)
result = client.forward_backward([datum], loss_fn="cross_entropy").result()
print("loss", result.metrics["loss:sum"])
"""
ANNOUNCE = """
import json, os, sys, time
from pathlib import Path
Path("announced.json.part").write_text(json.dumps(
    {"url": os.environ["MINT_BASE_URL"], "pid": os.getpid(), "key": os.environ["MINT_API_KEY"]}))
os.replace("announced.json.part", "announced.json")
BASE_MODEL = dict(base_model="acme/tiny")
time.sleep(float(sys.argv[1]))
"""
DRIVER = """
import sys
from pathlib import Path
from mint_migrate.bridge.commands import run_command
sys.exit(run_command(Path(sys.argv[1]), sys.argv[3:], base_models=[sys.argv[2]]))
"""


def start(folder: Path, script: str, *args: str) -> subprocess.Popen:
    """Start `run` on a script as a process of its own."""
    (folder / "script.py").write_text(script)
    command = [sys.executable, "-c", DRIVER, "script.py", f"{NAME}={tiny_folder()}", *args]
    return subprocess.Popen(
        command,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        # A suite started in the background of a shell ignores Ctrl-C, and so would its children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def announced(folder: Path) -> dict:
    """Return what the script wrote about its surroundings, once it has."""
    file = folder / "announced.json"
    deadline = time.monotonic() + WAIT_S
    while not file.exists():
        assert time.monotonic() < deadline, "the script was not started"
        time.sleep(0.05)
    return json.loads(file.read_text())


def answers(url: str) -> bool:
    """Tell whether a server still answers."""
    try:
        with urllib.request.urlopen(f"{url}/api/v1/healthz", timeout=5):
            return True
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False


def exists(pid: int) -> bool:
    """Tell whether a process runs."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def gone(url: str, pid: int) -> bool:
    """Wait until neither the server nor the script is left."""
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        if not answers(url) and not exists(pid):
            return True
        time.sleep(0.1)
    return False


@pytest.fixture(scope="module")
def runtime(tmp_path_factory):
    """Return one server for the tests that do not look at its life."""
    with serve({NAME: tiny_folder()}, state_dir=tmp_path_factory.mktemp("state")) as running:
        yield running


@pytest.mark.parametrize(
    ("body", "status"),
    [("raise SystemExit(7)", 7), ("1 / 0", 1), ("import os; os.kill(os.getpid(), 9)", 137)],
    ids=["exit 7", "exception", "killed"],
)
def test_exit_status_of_the_script_is_passed_on(tmp_path, body, status, runtime, capfd):
    script = tmp_path / "script.py"
    script.write_text(body)
    assert run_child(script, [], os.environ, runtime) == status


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGKILL, signal.SIGINT])
def test_server_and_script_end_with_the_command_however_it_ends(tmp_path, signum):
    process = start(tmp_path, ANNOUNCE, "600")
    try:
        told = announced(tmp_path)
        assert answers(told["url"])
        process.send_signal(signum)
        if signum == signal.SIGINT:  # a terminal sends it to the whole foreground group
            os.kill(told["pid"], signum)
        process.communicate(timeout=WAIT_S)
    finally:
        process.kill()
    assert process.returncode in {128 + signum, -signum}
    assert gone(told["url"], told["pid"])


def test_script_trains_through_the_published_client_and_its_output_streams_through(
    tmp_path, monkeypatch, capfd
):
    """The server ends with the script and keeps its state where that was asked."""
    script = tmp_path / "script.py"
    script.write_text(TRAIN + ANNOUNCE)
    monkeypatch.chdir(tmp_path)
    models, state = [f"{NAME}={tiny_folder()}"], tmp_path / "state"
    assert run_command(script, ["0"], base_models=models, state_dir=state) == 0
    assert float(capfd.readouterr().out.split("loss")[1].split()[0]) > 0
    told = announced(tmp_path)
    assert told["key"].startswith("sk-")
    assert gone(told["url"], told["pid"])
    assert any(state.iterdir())


def test_script_is_ended_with_a_reason_when_the_server_dies(tmp_path, monkeypatch, capfd):
    script = tmp_path / "script.py"
    script.write_text(ANNOUNCE)
    monkeypatch.chdir(tmp_path)
    real = runtime_module.wait_until_ready

    def kill_soon(server, ready_file):
        address = real(server, ready_file)
        os.kill(address.pid, signal.SIGKILL)
        return address

    monkeypatch.setattr(runtime_module, "wait_until_ready", kill_soon)
    with pytest.raises(RuntimeFailed, match="ended with status -9 while the script was running"):
        run_command(script, ["600"], base_models=[f"{NAME}={tiny_folder()}"])


def test_tiny_serves_stand_ins_for_the_names_in_the_script(tmp_path, monkeypatch, capfd):
    script = tmp_path / "script.py"
    lines = [TRAIN, "from transformers import AutoTokenizer", "from datasets import load_dataset"]
    lines += ["print(len(AutoTokenizer.from_pretrained('acme/tiny')))"]
    lines += ["print(load_dataset('acme/rows', split='train')[0])"]
    script.write_text("\n".join(lines))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(runtime_module, "cache_dir", shared_cache)
    told: list[str] = []
    assert run_command(script, tiny=True, notify=told.append) == 0
    assert "messages" in capfd.readouterr().out
    assert any("tiny random model" in line for line in told)


def test_server_that_cannot_start_is_reported_with_its_own_words(tmp_path):
    empty = tmp_path / "model"
    empty.mkdir()
    (empty / "config.json").write_text("{}")
    with (
        pytest.raises(RuntimeFailed, match=r"before it was ready; it printed:\n.+"),
        serve({NAME: empty}, state_dir=tmp_path / "state"),
    ):
        pass


def test_missing_runtime_is_one_sentence_with_the_command(monkeypatch):
    monkeypatch.setattr(runtime_module, "MODULE", "mint_runtime_is_not_here")
    with pytest.raises(RuntimeMissing, match=r'pip install "mint-migrate\[runtime\]"'):
        require_runtime()


@pytest.mark.parametrize("text", ["acme/tiny", "=dir", "acme/tiny="])
def test_base_model_without_both_parts_is_refused(tmp_path, text):
    with pytest.raises(CannotRun, match="NAME=DIR"):
        run_command(tmp_path / "script.py", base_models=[text])


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "cannot be read"),
        (b"def", "is not Python"),
        (b"x = '\xff'", "is not UTF-8"),
        (b"print(1)", "which base model"),
    ],
    ids=["missing", "does not parse", "latin-1", "no base model"],
)
def test_script_that_cannot_run_is_refused_before_anything_starts(tmp_path, content, reason):
    script = tmp_path / "script.py"
    if content is not None:
        script.write_bytes(content)
    with pytest.raises(CannotRun, match=reason):
        run_command(script)


@pytest.mark.parametrize(
    ("name", "architecture"),
    [
        ("meta-llama/Llama-3.2-1B", "llama3"),
        ("meta-llama/Meta-Llama-3.1-8B-Instruct", "llama3"),
        ("meta-llama/Meta-Llama-3-8B", "llama"),
        ("meta-llama/Llama-2-7b-hf", "llama"),
        ("HuggingFaceTB/SmolLM2-135M", "llama"),
        ("Qwen/Qwen2.5-0.5B", "qwen2"),
        ("deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B", "qwen2"),
        ("Qwen/Qwen3-0.6B", "qwen3"),
        ("Qwen/Qwen3-30B-A3B-Instruct-2507", "qwen3_moe"),
        ("Qwen/Qwen3-Coder-480B-A35B-Instruct", "qwen3_moe"),
        ("google/gemma-3-1b-it", "gemma3"),
        ("mistralai/Mistral-7B-v0.1", "mistral_sliding"),
        ("mistralai/Mistral-7B-Instruct-v0.3", "mistral"),
        ("mistralai/Ministral-8B-Instruct-2410", "mistral"),
        ("mistralai/Codestral-22B-v0.1", "mistral"),
        ("models/Qwen3-0.6B/", "qwen3"),
        ("someone/a-model", "qwen3"),
    ],
)
def test_stand_in_has_the_family_that_the_name_tells(name, architecture):
    assert architecture_for(name) == architecture


def test_a_dense_sibling_stands_for_experts_where_they_cannot_be_compared():
    assert architecture_for("Qwen/Qwen3-30B-A3B", with_experts=False) == "qwen3"


def test_the_runtime_can_make_every_family_and_a_name_leads_to_each():
    named = {architecture for _pattern, architecture in runtime_module._FAMILIES}
    assert named == {each.value for each in Architecture}


def test_profile_of_the_environment_reaches_the_server(tmp_path):
    environment = os.environ | {runtime_module.PROFILE_VARIABLE: "no-such-profile"}
    with (
        pytest.raises(RuntimeFailed, match="no-such-profile"),
        serve({NAME: tiny_folder()}, state_dir=tmp_path / "state", env=environment),
    ):
        pass
