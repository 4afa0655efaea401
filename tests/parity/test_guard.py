"""What a compared script may reach, and what is seen of it."""

import subprocess
import sys

import pytest
from mint_migrate.parity.harness.guard import is_local

GUARDED = "from mint_migrate.parity.harness import guard\nguard.network_off()\nimport socket\n"


def run(code: str, cwd=None) -> subprocess.CompletedProcess:
    """Run a program: audit hooks cannot be taken out of a process again."""
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=cwd
    )


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.8.0.9", "::1", "localhost", "", None, "0.0.0.0", b"::1"]
)
def test_own_machine_is_local(host):
    assert is_local(host)


@pytest.mark.parametrize(
    "host", ["10.0.0.1", "192.0.2.1", "example.org", "2001:db8::1", b"example.org"]
)
def test_other_machines_are_not_local(host):
    assert not is_local(host)


@pytest.mark.parametrize(
    "call",
    [
        "socket.create_connection(('192.0.2.1', 80), timeout=5)",
        "socket.getaddrinfo('example.org', 80)",
        "socket.socket(socket.AF_INET6).connect(('2001:db8::1', 80))",
        "__import__('urllib.request').request.urlopen('http://example.org')",
    ],
)
def test_other_machines_are_refused_by_name(call):
    done = run(GUARDED + call)
    assert done.returncode == 1
    assert "the network is off" in done.stderr


def test_own_machine_is_reached():
    done = run(
        GUARDED
        + "server = socket.create_server(('127.0.0.1', 0))\n"
        + "socket.create_connection(server.getsockname(), timeout=5)\n"
        + "socket.getaddrinfo('localhost', 80)\n"
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("statement", "is_seen"),
    [
        ("open('out/metrics.jsonl', 'w')", True),
        ("open('out/metrics.jsonl', 'a')", True),
        ("Path('out/metrics.jsonl').write_text('x')", True),
        ("open(Path('out') / 'metrics.jsonl', 'w')", True),
        ("open('old/metrics.jsonl')", False),
        ("open('out/other.jsonl', 'w')", False),
    ],
)
def test_only_the_metrics_file_that_is_written_is_seen(tmp_path, statement, is_seen):
    (tmp_path / "out").mkdir()
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "metrics.jsonl").touch()
    done = run(
        "from pathlib import Path\nfrom mint_migrate.parity.harness import guard\n"
        f"guard.on_write('metrics.jsonl', print)\n{statement}\n",
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    expected = str(tmp_path / "out" / "metrics.jsonl") if is_seen else ""
    assert done.stdout.strip() == expected
