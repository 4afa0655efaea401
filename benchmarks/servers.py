"""Servers that speak the client's protocol: ours, ours over an engine that computes nothing, a
stub without any server logic, and SkyRL's.

`SkyRL` is the registry package 0.3.0 with its JAX backend, in the environment that
`tests/environments/skyrl.txt` lists. Two things keep it from starting as published, both mended
here without a change to what it computes: its types use `typing.TypedDict`, which pydantic refuses
below Python 3.12, and it starts its engine through the program `uv`, for which a script that starts
the same module stands in.
"""

from __future__ import annotations

import json
import os
import shlex
import socket
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp

from benchmarks.processes import python_of, running_process
from benchmarks.setting import Setting

KEY = "tml-benchmark"
"""A key all of the servers take."""
_SKYRL_TYPES = "from typing import Annotated, Any, Literal, TypedDict"
_SKYRL_TYPES_MENDED = (
    "from typing import Annotated, Any, Literal\n\nfrom typing_extensions import TypedDict"
)
_UV = """#!{python}
import os, signal, subprocess, sys
command = [sys.executable, *sys.argv[sys.argv.index("-m"):]]
if "skyrl.tinker.engine" in command:
    os.execv(sys.executable, command)
child = subprocess.Popen(command)
signal.signal(signal.SIGTERM, lambda *_: child.terminate())
sys.exit(child.wait())
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A server that answers, and the name it gives its base model."""

    url: str
    base_model: str
    pid: int


@contextmanager
def runtime(setting: Setting, *options: str) -> Iterator[Server]:
    """Yield our server, with the options it has by default and `options`."""
    serving = ["serve", "--base-model", f"base={setting.folder}"]
    serving += ["--device", setting.device, "--dtype", setting.dtype]
    command = [sys.executable, "-m", "mint_runtime", *serving, "--port", "0"]
    with _ready_file(setting, "runtime", [*command, *options]) as server:
        yield server


@contextmanager
def idle_runtime(setting: Setting) -> Iterator[Server]:
    """Yield our server over an engine that answers at once without computing."""
    with _ready_file(setting, "idle", [sys.executable, "-m", "benchmarks.idle_server"]) as server:
        yield server


@contextmanager
def stub(setting: Setting) -> Iterator[Server]:
    """Yield a server that says the least the client accepts, at once."""
    port = _free_port()
    command = [sys.executable, "-m", "benchmarks.stub_server", str(port)]
    folder = _folder(setting, "stub")
    with _http(command, folder, port, {}) as pid:
        yield Server(url=f"http://127.0.0.1:{port}", base_model="base", pid=pid)


@contextmanager
def skyrl(setting: Setting, *, adapters: int = 4) -> Iterator[Server]:
    """Yield SkyRL's server with slots for `adapters` models."""
    python, port, folder = skyrl_python(), _free_port(), _folder(setting, "skyrl")
    shim = folder / "uv"
    shim.write_text(_UV.format(python=python))
    shim.chmod(0o755)
    backend = {"max_lora_adapters": adapters, "max_lora_rank": setting.rank}
    command = [str(shim), "-m", "skyrl.tinker.api", "--base-model", str(setting.folder)]
    command += ["--backend", "jax", "--backend-config", json.dumps(backend)]
    command += ["--checkpoints-base", str(folder / "checkpoints")]
    command += ["--database-url", f"sqlite:///{folder / 'tinker.db'}"]
    command += ["--host", "127.0.0.1", "--port", str(port)]
    path = f"{folder}{os.pathsep}{os.environ['PATH']}"
    with _http(command, folder, port, {"PATH": path, "JAX_PLATFORMS": setting.device}) as pid:
        yield Server(url=f"http://127.0.0.1:{port}", base_model=str(setting.folder), pid=pid)


def skyrl_python() -> Path:
    """Return the Python that has SkyRL, mended; the environment is built the first time."""
    python = python_of("skyrl")
    for types in python.parents[1].glob("lib/python*/site-packages/skyrl/tinker/types.py"):
        text = types.read_text(encoding="utf-8")
        types.write_text(text.replace(_SKYRL_TYPES, _SKYRL_TYPES_MENDED), encoding="utf-8")
    return python


@contextmanager
def _ready_file(setting: Setting, name: str, command: Sequence[str]) -> Iterator[Server]:
    folder = _folder(setting, name)
    ready = folder / "ready.json"
    arguments = [*command, "--state-dir", str(folder / "state"), "--ready-file", str(ready)]
    with running_process(
        arguments,
        log=folder / "log.txt",
        is_ready=ready.exists,
        variables={"OMP_NUM_THREADS": str(setting.threads)},
    ) as process:
        url = json.loads(ready.read_text())["url"]
        yield Server(url=url, base_model="base", pid=process.pid)


@contextmanager
def _http(
    command: Sequence[str], folder: Path, port: int, variables: Mapping[str, str]
) -> Iterator[int]:
    url = f"http://127.0.0.1:{port}/api/v1/healthz"
    (folder / "command.txt").write_text(shlex.join(command) + "\n")
    with running_process(
        command,
        log=folder / "log.txt",
        is_ready=lambda: _answers(url),
        variables=variables,
    ) as process:
        yield process.pid


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _folder(setting: Setting, name: str) -> Path:
    return Path(mkdtemp(prefix=f"{name}-", dir=setting.scratch))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
