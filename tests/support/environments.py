"""Virtual environments for packages that cannot share the test suite's own.

`tests/environments/<name>.txt` is a requirements file with three conventions:

- a line `torch==...` is installed before everything else, so that no other requirement chooses its
  version; `TORCH_INDEX` names the index it comes from, as for the Makefile;
- a line `--no-deps <requirement>` is installed after everything else, in a call of its own;
- the versions of `constraints.txt` apply, unless a line says `# no-constraints`.

An environment is built once, by the first caller, and kept outside the tree: in the folder that
`MINT_MIGRATE_ENVIRONMENTS` names, or in `~/.cache/mint-migrate/environments`. A change of the file
makes another one.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
REQUIREMENTS = ROOT / "tests" / "environments"
CONSTRAINTS = ROOT / "constraints.txt"
_NO_CONSTRAINTS = "# no-constraints"
_NO_DEPS = "--no-deps "


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirements:
    """One requirements file, split into the pip calls it takes."""

    first: tuple[str, ...]
    """`torch`, or nothing."""
    main: tuple[str, ...]
    bare: tuple[str, ...]
    """Installed one by one without what they depend on."""
    is_constrained: bool


def environment(name: str) -> Path:
    """Return the Python of the environment called `name`, which is built if it is missing.

    Raises:
        FileNotFoundError: there is no `tests/environments/<name>.txt`.
        RuntimeError: pip failed; the text holds the command and the end of its output.
    """
    text = (REQUIREMENTS / f"{name}.txt").read_text(encoding="utf-8")
    requirements = parse_requirements(text)
    folder = _cache() / f"{name}-{_digest(text, requirements)}"
    python = folder / "bin" / "python"
    # Scripts in a virtual environment hold its path, so it is built where it stays; the marker,
    # written last, tells a finished one from what an interrupted build has left.
    ready = folder / ".ready"
    if ready.exists():
        return python
    with _locked(folder.with_name(f"{folder.name}.lock")):
        if not ready.exists():
            shutil.rmtree(folder, ignore_errors=True)
            venv.create(folder, with_pip=True, symlinks=True)
            for arguments in pip_calls(requirements):
                _pip(python, arguments)
            ready.touch()
    return python


def beside(name: str, folder: Path) -> dict[str, str]:
    """Return what makes the packages of an environment importable behind those of this one.

    Args:
        name: of the environment.
        folder: for a file that Python reads when it starts; one for each environment.
    """
    (site,) = environment(name).parent.parent.glob("lib/python3*/site-packages")
    folder.mkdir(exist_ok=True)
    text = f"import sys\n\nsys.path.append({str(site)!r})\n"
    (folder / "sitecustomize.py").write_text(text, encoding="utf-8")
    return {"PYTHONPATH": str(folder)}


def parse_requirements(text: str) -> Requirements:
    """Return the requirements that `text` lists, in the order they are given."""
    lines = [line.strip() for line in text.splitlines()]
    wanted = [line for line in lines if line and not line.startswith("#")]
    bare = [line for line in wanted if line.startswith(_NO_DEPS)]
    first = [line for line in wanted if line.startswith("torch==")]
    return Requirements(
        first=tuple(first),
        main=tuple(line for line in wanted if line not in (*bare, *first)),
        bare=tuple(line.removeprefix(_NO_DEPS).strip() for line in bare),
        is_constrained=_NO_CONSTRAINTS not in lines,
    )


def pip_calls(requirements: Requirements) -> Iterator[list[str]]:
    """Yield the arguments of each `pip install`, in order.

    Torch is named again with the others: an unconstrained call must not replace it.
    """
    constraints = ["-c", str(CONSTRAINTS)] if requirements.is_constrained else []
    index = os.environ.get("TORCH_INDEX")
    if requirements.first:
        yield [*(["--index-url", index] if index else []), *requirements.first]
    if requirements.main:
        yield [*constraints, *requirements.first, *requirements.main]
    for requirement in requirements.bare:
        yield ["--no-deps", requirement]


def _cache() -> Path:
    chosen = os.environ.get("MINT_MIGRATE_ENVIRONMENTS")
    folder = Path(chosen) if chosen else Path.home() / ".cache" / "mint-migrate" / "environments"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _digest(text: str, requirements: Requirements) -> str:
    parts = [text, sys.version]
    if requirements.is_constrained:
        parts.append(CONSTRAINTS.read_text(encoding="utf-8"))
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the file at `path`; a second process waits. The lock ends with the process."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _pip(python: Path, arguments: Sequence[str]) -> None:
    command = [str(python), "-m", "pip", "install", "--quiet", *arguments]
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        command, env={**variables, "PIP_NO_CACHE_DIR": "1"}, capture_output=True, text=True
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{(done.stdout + done.stderr)[-4000:]}")
