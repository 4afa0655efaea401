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
_SECONDS = 20


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
    programs, place, note = folder / "bin", folder / "tree", folder / "started"
    programs.mkdir()
    note.touch()
    for name in _NOTED:
        _program(programs / name, _NOTE)
    for name in _SILENT:
        _program(programs / name, "#!/bin/bash\nexit 0\n")
    _program(programs / "scontrol", "#!/bin/bash\necho node-1\n")
    for name in _REAL:
        found = shutil.which(name)
        assert found is not None, name
        (programs / name).symlink_to(found)
    shutil.copytree(script.parent, place)
    subprocess.run(
        ["/bin/bash", script.name, *arguments],
        cwd=place,
        env={"PATH": str(programs), "HOME": str(folder), "STARTED": str(note), **environment},
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
