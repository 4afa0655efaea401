"""Programs that try to get out of the sandbox, in the real sandbox."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from sandbox import Limits, SandboxUnavailable, run_program

try:
    run_program("")
except SandboxUnavailable as error:  # pragma: no cover
    pytest.skip(f"nothing to test: {error}", allow_module_level=True)

QUICK = Limits(wall_s=20.0, cpu_s=1)
"""The wall time is for a busy machine; what a test waits for is the processor time."""


def test_a_program_reads_its_input_and_prints():
    outcome = run_program("a, b = map(int, input().split())\nprint(a + b)", "3 4\n")
    assert (outcome.status, outcome.stdout) == ("ok", "7\n")


@pytest.mark.parametrize("module", ["math", "re", "collections", "itertools", "random", "json"])
def test_the_standard_library_can_be_imported(module):
    assert run_program(f"import {module}").status == "ok"


@pytest.mark.parametrize(
    "program",
    [
        "while True: pass",
        "x = 0\nwhile True:\n    try:\n        x = 1 // x\n    except BaseException: pass",
    ],
)
def test_an_endless_loop_ends(program):
    assert run_program(program, limits=QUICK).status == "timeout"


def test_a_sleeper_is_ended_by_the_wall_time():
    limits = Limits(wall_s=1.0)
    assert run_program("import time\ntime.sleep(600)", limits=limits).status == "timeout"


FORBIDDEN = {
    "fork": "import os; os.fork()",
    "fork bomb": "import os\nwhile True: os.fork()",
    "thread": "import threading; threading.Thread(target=print).start()",
    "subprocess": "import subprocess; subprocess.run(['true'])",
    "exec": "import os; os.execv('/bin/true', ['true'])",
    "signal": "import os; os.kill(os.getppid(), 9)",
    "limits of the parent": (
        "import os, resource; resource.prlimit(os.getppid(), resource.RLIMIT_NOFILE, (1, 1))"
    ),
    "higher limits": (
        "import resource; resource.setrlimit(resource.RLIMIT_CPU, (9, resource.RLIM_INFINITY))"
    ),
    "socket": "import socket; socket.socket()",
    "datagram": "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM)",
    "local socket": "import socket; socket.socketpair()",
    "write here": "open('file', 'w')",
    "remove program": "import os; os.remove('program.py')",
    "new folder": "import os; os.mkdir('folder')",
    "users": "open('/etc/passwd').read()",
    "list": "import os; os.listdir('/')",
    "own environment": "open('/proc/self/environ').read()",
    "parent's environment": "import os; open(f'/proc/{os.getppid()}/environ').read()",
    "parent's memory": "import os; open(f'/proc/{os.getppid()}/mem', 'rb')",
}


@pytest.mark.parametrize("program", FORBIDDEN.values(), ids=FORBIDDEN.keys())
def test_what_is_forbidden_fails(program):
    outcome = run_program(program, limits=QUICK)
    assert outcome.status == "error"
    assert any(
        reason in outcome.stderr
        for reason in ("PermissionError", "can't start new thread", "not allowed to raise")
    )


OUTSIDE = {
    "write": "open({path!r}, 'w').write('changed')",
    "append": "open({path!r}, 'a').write('changed')",
    "truncate": "import os; os.truncate({path!r}, 0)",
    "remove": "import os; os.remove({path!r})",
    "rename": "import os; os.rename({path!r}, {path!r} + '2')",
    "mode": "import os; os.chmod({path!r}, 0)",
    "owner": "import os; os.chown({path!r}, 1, 1)",
    "time": "import os; os.utime({path!r}, (0, 0))",
    "attribute": "import os; os.setxattr({path!r}, 'user.x', b'x')",
    "link": "import os; os.link({path!r}, 'mine')",
    "read": "print(open({path!r}).read())",
}


@pytest.mark.parametrize("program", OUTSIDE.values(), ids=OUTSIDE.keys())
def test_a_file_outside_is_out_of_reach(program, tmp_path: Path):
    path = tmp_path / "precious"
    path.write_text("precious")
    before = path.stat()
    outcome = run_program(program.format(path=str(path)))
    after = path.stat()
    assert (outcome.status, outcome.stdout) == ("error", "")
    assert path.read_text() == "precious"
    assert list(tmp_path.iterdir()) == [path]
    assert (after.st_mode, after.st_uid, after.st_mtime) == (
        before.st_mode,
        before.st_uid,
        before.st_mtime,
    )


def test_memory_is_limited():
    outcome = run_program("x = bytearray(10**9)\nprint(len(x))")
    assert outcome.status == "error"
    assert "MemoryError" in outcome.stderr


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_output_is_limited(stream):
    limits = Limits(output_bytes=10_000)
    program = f"import sys\nwhile True: sys.{stream}.write('x' * 1000)"
    outcome = run_program(program, limits=limits)
    assert outcome.status == "error"
    assert len(getattr(outcome, stream)) <= 10_000


def test_the_environment_holds_no_secret(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PRECIOUS_KEY", "sk-precious")
    outcome = run_program("import os; print(sorted(os.environ))")
    assert "PRECIOUS_KEY" not in outcome.stdout
    # Python itself sets this one where there is no other locale.
    assert outcome.stdout in ("[]\n", "['LC_CTYPE']\n")


def test_the_users_modules_are_not_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "mine.py").write_text("")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert "ModuleNotFoundError" in run_program("import mine").stderr


@pytest.mark.skipif(os.getuid() != 0, reason="only root has rights to lose")
def test_root_has_no_capability_left():
    program = "import socket; socket.sethostname('other')"
    assert "PermissionError" in run_program(program).stderr


def test_nothing_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    run_program("print(1)")
    assert list(tmp_path.iterdir()) == []


def test_a_failing_program_is_an_error():
    assert run_program("raise SystemExit(3)").status == "error"


def test_source_that_does_not_parse_is_an_error():
    assert "SyntaxError" in run_program("print(").stderr
