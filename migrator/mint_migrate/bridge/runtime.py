"""The `mint-runtime` program: where it is, how it is started, and the tiny models it makes."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mint_migrate import __version__
from mint_migrate.bridge.errors import CannotRun, RuntimeFailed, RuntimeMissing
from mint_migrate.bridge.process import Tethered, start_tethered, tail
from mint_migrate.bridge.ready import wait_until_ready

MODULE = "mint_runtime"
PROFILE_VARIABLE = "MINT_RUNTIME_PROFILE"
"""Environment variable with the `--profile` of every server started here.

`hosted` leaves out what the hosted service lacks, so that a script which runs here runs there.
"""

_FAMILIES = tuple(
    (re.compile(pattern), architecture)
    for pattern, architecture in (
        (r"llama[-_]?3[._][1-9]", "llama3"),
        (r"llama|smollm2?-", "llama"),
        (r"qwen3.*(-a\d+b|moe)", "qwen3_moe"),
        (r"qwen3", "qwen3"),
        # DeepSeek distilled into Qwen2.5, and so named without a number.
        (r"qwen[12]|distill-qwen", "qwen2"),
        (r"gemma", "gemma3"),
        # Later releases of the same size have no window.
        (r"mistral-7b.*v0\.1|zephyr-7b", "mistral_sliding"),
        (r"[mn]istral", "mistral"),
    )
)
"""What the names of models look like, the first that fits counts, and the family they belong to."""
_UNNAMED = "qwen3"


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """A runtime that answers requests."""

    url: str
    api_key: str
    server: Tethered

    def client_environment(self) -> dict[str, str]:
        """Return the variables that lead `import mint` to this server."""
        return {"MINT_BASE_URL": self.url, "MINT_API_KEY": self.api_key, "TINKER_TELEMETRY": "0"}

    def is_alive(self) -> bool:
        """Tell whether the server's process still runs."""
        return self.server.process.poll() is None

    def failure(self) -> RuntimeFailed:
        """Return the error of a server that ended while it was needed."""
        status = self.server.process.poll()
        return RuntimeFailed(
            f"the runtime ended with status {status} while the script was running; it printed "
            f"last:\n{tail(self.server.log)}"
        )


def require_runtime() -> Path:
    """Return the folder of the runtime's package without importing it.

    Raises:
        RuntimeMissing: it, or torch, is not installed for this Python.
    """
    spec = importlib.util.find_spec(MODULE)
    missing = [name for name in ("torch", "transformers") if importlib.util.find_spec(name) is None]
    if spec is None or not spec.submodule_search_locations or missing:
        what = f"`{missing[0]}`, which the runtime needs," if missing else "the runtime"
        raise RuntimeMissing(
            f'{what} is not installed for {sys.executable}: pip install "mint-migrate[runtime]"'
        )
    return Path(spec.submodule_search_locations[0])


@contextlib.contextmanager
def serve(
    base_models: Mapping[str, Path | None],
    *,
    state_dir: Path,
    initial_adapter: Path | None = None,
    replay: Path | None = None,
    dtype: str | None = None,
    device: str | None = None,
    env: Mapping[str, str] | None = None,
) -> Iterator[Runtime]:
    """Run a server on a free loopback port for the length of the block.

    Args:
        base_models: name that clients ask for -> folder, or None for the name's own files from the
            hub or its cache.
        state_dir: where checkpoints and the catalogue are kept.
        initial_adapter: peft folder that the first model created starts from.
        replay: completions that requests for samples are answered with, once the file exists.
        dtype: of the base weights, such as `float32`; None leaves it to the server.
        device: such as `cpu`; None leaves it to the server.
        env: the server's environment; this process's own when absent. `PROFILE_VARIABLE` in it is
            handed on as the server's profile.

    Raises:
        RuntimeFailed: the server did not get ready.
    """
    require_runtime()
    state_dir.mkdir(parents=True, exist_ok=True)
    api_key = f"sk-{secrets.token_hex(16)}"
    with tempfile.TemporaryDirectory(prefix="mint-migrate-serve-") as name:
        folder = Path(name)
        ready_file = folder / "ready.json"
        args = _serve_arguments(base_models, state_dir, ready_file)
        if initial_adapter is not None:
            args += ["--initial-adapter", str(initial_adapter.resolve())]
        args += ["--replay", str(replay.resolve())] if replay else []
        args += ["--dtype", dtype] if dtype else []
        args += ["--device", device] if device else []
        environment = dict(os.environ if env is None else env) | {"MINT_RUNTIME_API_KEY": api_key}
        profile = environment.get(PROFILE_VARIABLE)
        args += ["--profile", profile] if profile else []
        log = state_dir / "runtime.log"
        with start_tethered(MODULE, args, log=log, env=environment, cwd=folder) as server:
            address = wait_until_ready(server, ready_file)
            yield Runtime(url=address.url, api_key=api_key, server=server)


def _serve_arguments(
    base_models: Mapping[str, Path | None],
    state_dir: Path,
    ready_file: Path,
) -> list[str]:
    args = ["serve", "--port", "0"]
    for name, folder in base_models.items():
        args += ["--base-model", name if folder is None else f"{name}={folder.resolve()}"]
    args += ["--state-dir", str(state_dir.resolve()), "--ready-file", str(ready_file)]
    return args


def architecture_for(name: str, *, with_experts: bool = True) -> str:
    """Return the family of the tiny model that stands for a name; Qwen3 where it is silent.

    The last part of the name is asked first, as an owner may publish models of several families.

    Args:
        name: as scripts write it.
        with_experts: whether a mixture of experts may stand for one; else its dense sibling does.
    """
    lowered = name.lower().rstrip("/")
    for text in (lowered.rpartition("/")[2], lowered):
        for pattern, architecture in _FAMILIES:
            if pattern.search(text):
                return architecture if with_experts else architecture.removesuffix("_moe")
    return _UNNAMED


def cache_dir() -> Path:
    """Return the folder for what can be made again."""
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "mint-migrate"


def tiny_model(architecture: str, *, cache: Path | None = None) -> Path:
    """Return the folder of a small random model of this architecture, made on the first call.

    The folder's name holds the version and the age of the generator, so that another generator
    makes another folder.

    Raises:
        RuntimeFailed: the generator failed.
    """
    generator = require_runtime() / "tiny_model.py"
    stamp = f"{generator.stat().st_mtime_ns:x}" if generator.is_file() else "0"
    root = (cache or cache_dir()) / "tiny"
    target = root / f"{architecture}-{__version__}-{stamp}"
    if (target / "config.json").is_file():
        return target
    root.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{architecture}-", dir=root))
    try:
        _make_tiny_model(scratch / "model", architecture)
        with contextlib.suppress(OSError):  # another process was faster
            (scratch / "model").rename(target)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return target


def _make_tiny_model(folder: Path, architecture: str) -> None:
    command: Sequence[str] = [
        *(sys.executable, "-P", "-m", MODULE),
        *("tiny-model", str(folder), "--architecture", architecture),
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        env=environment,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    if done.returncode != 0:
        raise RuntimeFailed(
            f"`mint-runtime tiny-model` ended with status {done.returncode}:\n{done.stderr.strip()}"
        )


def model_folder(text: str) -> Path:
    """Return the folder of a model given by the user.

    Raises:
        CannotRun: there is no `config.json` in it.
    """
    folder = Path(text).expanduser()
    if not (folder / "config.json").is_file():
        raise CannotRun(f"{folder} is not a model folder: it has no config.json")
    return folder.resolve()
