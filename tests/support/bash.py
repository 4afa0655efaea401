"""What a real shell makes of a script, and what is read from its text."""

from __future__ import annotations

import subprocess

from mint_migrate.launches.script import read_shell

SHOW = "show() { (( $# )) && printf '%s\\0' \"$@\"; printf '\\n\\1'; }\n"
"""Prints its arguments, each ended by a zero character."""


def printed(script: str) -> list[list[str]]:
    """Return the words of each `show` command, as bash runs the script."""
    ran = subprocess.run(
        ["bash", "--norc", "-c", SHOW + script],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "/usr/bin:/bin", "HOME": "/home/ada", "LC_ALL": "C.UTF-8"},
        timeout=20,
    )
    lines = ran.stdout.split("\n\1")[:-1]
    return [line.split("\0")[:-1] for line in lines]


def read(script: str) -> list[list[str | None]]:
    """Return the words of each `show` command as the text shows them, None for an unknown one."""
    shell = read_shell(script)
    return [
        [word.text for word in shell.filled_in(command.words[1:], command)]
        for command in shell.commands
        if command.words[0].text == "show" and shell.is_reached(command)
    ]
