"""What a real shell makes of a script, and what is read from its text."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from mint_migrate.launches.script import read_shell

SHOW = "show() { (( $# )) && printf '%s\\0' \"$@\"; printf '\\n\\1'; }\n"
"""Prints its arguments, each ended by a zero character."""


def printed(script: str, files: Mapping[str, str] | None = None) -> list[list[str]]:
    """Return the words of each `show` command, as bash runs the script.

    Args:
        script: lies in an empty folder, and starts there.
        files: what lies below that folder, by path.
    """
    with TemporaryDirectory() as folder:
        for path, text in {"script.sh": SHOW + script, **(files or {})}.items():
            file = Path(folder, path)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
        ran = subprocess.run(
            ["bash", "--norc", "script.sh"],
            capture_output=True,
            text=True,
            check=False,
            cwd=folder,
            env={"PATH": "/usr/bin:/bin", "HOME": "/home/ada", "LC_ALL": "C.UTF-8"},
            timeout=20,
        )
    lines = ran.stdout.split("\n\1")[:-1]
    return [line.split("\0")[:-1] for line in lines]


def read(script: str, files: Mapping[str, str] | None = None) -> list[list[str | None]]:
    """Return the words of each `show` command as the text shows them, None for an unknown one."""
    shell = read_shell(script, (files or {}).get)
    return [
        [word.text for word in shell.filled_in(command.words[1:], command)]
        for command in shell.commands
        if command.words[0].text == "show" and shell.is_reached(command)
    ]
