"""What a launcher of ours really starts: it is run by bash, with stand-ins for every program.

Only for scripts of `fixtures/`: the program itself never runs a launcher.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

_NOTED = ("python", "python3", "torchrun", "deepspeed", "ray", "srun")
_SILENT = ("nvidia-smi", "git", "sleep", "module", "nohup")
_REAL = ("bash", "basename", "cat", "date", "dirname", "env", "mkdir", "tee", "true", "wc")
_NOTE = """#!/bin/bash
{ printf '%s\\0' "${0##*/}" "$@"; printf '\\n\\0'; } >> "$STARTED"
"""
_CONVERTED = """#!/bin/bash
case "$1" in
  *_mint.py) mapfile -t more < "$1.arguments"; exec {python} "$@" "${{more[@]}}" ;;
esac
"""
_PASSES_ON = """#!/bin/bash
while [ $# -gt 0 ]; do
  case "$1" in
    env|python*) exec "$@" ;;
  esac
  shift
done
"""
_QUIET = "#!/bin/bash\nexit 0\n"
_SECONDS = 20


def programs(folder: Path, *, python: str = "") -> Path:
    """Fill a folder with all programs that a launcher of ours may start; return it.

    Args:
        folder: does not exist yet.
        python: what runs converted scripts, with the lines of `<script>.arguments` behind their
            own arguments; other Python programs do nothing. Empty: each program notes its command
            line in the file that `$STARTED` names.
    """
    folder.mkdir()
    for name in _NOTED:
        _program(folder / name, _NOTE if not python else _QUIET)
    for name in _SILENT:
        _program(folder / name, _QUIET)
    for name in ("python", "python3") if python else ():
        _program(folder / name, _CONVERTED.format(python=python))
    if python:
        _program(folder / "srun", _PASSES_ON)
    _program(folder / "scontrol", "#!/bin/bash\necho node-1\n")
    for name in _REAL:
        found = shutil.which(name)
        assert found is not None, name
        (folder / name).symlink_to(found)
    return folder


def started(
    script: Path, folder: Path, *, arguments: Sequence[str] = (), environment: Mapping[str, str]
) -> list[list[str]]:
    """Return the command lines that a launcher starts, in order.

    Args:
        script: the launcher; the folder it lies in is copied, and it runs there.
        folder: an empty folder.
        arguments: its own arguments.
        environment: variables it finds, besides a home folder.
    """
    place, note = folder / "tree", folder / "started"
    note.touch()
    shutil.copytree(script.parent, place)
    subprocess.run(
        ["/bin/bash", script.name, *arguments],
        cwd=place,
        env={
            "PATH": str(programs(folder / "bin")),
            "HOME": str(folder),
            "STARTED": str(note),
            **environment,
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        timeout=_SECONDS,
        check=False,
    )
    commands = note.read_text(encoding="utf-8").split("\n\0")
    return [command.rstrip("\0").split("\0") for command in commands if command]


def _program(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
    os.chmod(path, 0o755)
