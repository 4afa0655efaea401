"""Programs that do not outlive the process that started them."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from mint_migrate.bridge.process import (
    Interrupted,
    start_tethered,
    tail,
    termination_raises,
)

SLEEPER = "import os, sys, time\nprint(os.getpid(), flush=True)\ntime.sleep(600)\n"
STUBBORN = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + SLEEPER
WAIT_S = 30.0
"""Ends a test whose program never reacts; nothing is measured with it."""


def write_module(folder: Path, content: str) -> dict[str, str]:
    """Write a module called `napper` and return an environment that finds it."""
    (folder / "napper.py").write_text(content)
    return {**os.environ, "PYTHONPATH": str(folder)}


def is_running(pid: int) -> bool:
    """Tell whether a process exists and is not a zombie."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def wait_until(condition) -> bool:
    """Return whether the condition came true in time."""
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return False


def printed_pid(log: Path) -> int:
    """Return the number a sleeper prints first."""
    assert wait_until(lambda: log.is_file() and log.read_text().strip())
    return int(log.read_text().split()[0])


@pytest.mark.parametrize("content", [SLEEPER, STUBBORN], ids=["obedient", "ignores SIGTERM"])
def test_stop_ends_the_program(tmp_path, content, monkeypatch):
    monkeypatch.setattr("mint_migrate.bridge.process.STOP_TIMEOUT_S", 0.5)
    log = tmp_path / "log"
    env = write_module(tmp_path, content)
    program = start_tethered("napper", [], log=log, env=env, cwd=tmp_path)
    pid = printed_pid(log)
    program.stop()
    assert not is_running(pid)


def test_stop_ends_what_the_program_started(tmp_path):
    content = "import subprocess, sys\nsubprocess.Popen(['sleep', '600'])\n" + SLEEPER
    log = tmp_path / "log"
    env = write_module(tmp_path, content)
    with start_tethered("napper", [], log=log, env=env, cwd=tmp_path):
        group = printed_pid(log)
    assert wait_until(lambda: not members(group))


def members(group: int) -> list[int]:
    """Return the living processes of a process group."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and is_running(int(entry.name)):
            try:
                if os.getpgid(int(entry.name)) == group:
                    found.append(int(entry.name))
            except ProcessLookupError:
                continue
    return found


def test_program_ends_when_its_parent_is_killed(tmp_path):
    log = tmp_path / "log"
    write_module(tmp_path, SLEEPER)
    parent = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import os, sys, time\n"
            "from pathlib import Path\n"
            "from mint_migrate.bridge.process import start_tethered\n"
            "folder = Path(sys.argv[1])\n"
            "env = {**os.environ, 'PYTHONPATH': str(folder)}\n"
            "held = start_tethered('napper', [], log=folder / 'log', env=env, cwd=folder)\n"
            "time.sleep(600)\n",
            str(tmp_path),
        ]
    )
    pid = printed_pid(log)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    assert wait_until(lambda: not is_running(pid))


def test_module_in_the_working_directory_does_not_replace_a_library(tmp_path):
    (tmp_path / "json.py").write_text("raise SystemExit('the wrong json')\n")
    log = tmp_path / "log"
    modules = tmp_path / "modules"
    modules.mkdir()
    env = write_module(modules, "import json\nprint(json.dumps('right'))\n")
    program = start_tethered("napper", [], log=log, env=env, cwd=tmp_path)
    with program:
        assert program.process.wait(WAIT_S) == 0
    assert log.read_text().strip() == '"right"'


def test_termination_signal_runs_the_way_out_and_handlers_return():
    before = signal.getsignal(signal.SIGTERM)

    def wait_for_the_end():
        with termination_raises():
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(WAIT_S)

    with pytest.raises(Interrupted) as caught:
        wait_for_the_end()
    assert caught.value.signum == signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) == before


def test_tail_of_a_log_is_its_end_and_of_none_is_empty(tmp_path):
    log = tmp_path / "log"
    log.write_text("".join(f"{number}\n" for number in range(50)))
    assert tail(log, num_lines=2) == "48\n49"
    assert tail(tmp_path / "absent") == ""
