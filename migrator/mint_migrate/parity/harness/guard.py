"""Watch and limit what a script does, through the interpreter's audit events.

Audit hooks see every Python-level connection and file, and a script cannot remove them.
"""

from __future__ import annotations

import ipaddress
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

LOCAL_NAMES = frozenset({"", "localhost", "ip6-localhost"})


class NetworkOff(OSError):
    """A script tried to reach another machine while it was being compared."""


def is_local(host: object) -> bool:
    """Tell whether a host is this machine; `None` means any of its own addresses."""
    if host is None:
        return True
    text = host.decode("ascii", "replace") if isinstance(host, bytes) else str(host)
    if text.lower() in LOCAL_NAMES:
        return True
    try:
        address = ipaddress.ip_address(text.split("%")[0])
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def network_off() -> None:
    """Refuse connections to other machines, and the look-up of their names, from now on."""

    def hook(event: str, args: tuple[Any, ...]) -> None:
        if event == "socket.connect" and isinstance(args[1], tuple):
            host = args[1][0]
        elif event == "socket.getaddrinfo":
            host = args[0]
        else:
            return
        if not is_local(host):
            raise NetworkOff(
                f"the network is off while scripts are compared; {host!r} was asked for"
            )

    sys.addaudithook(hook)


def on_write(basename: str, notify: Callable[[str], None]) -> None:
    """Call `notify` with the path of every file of this name that is opened for writing."""

    def hook(event: str, args: tuple[Any, ...]) -> None:
        if event != "open" or not isinstance(args[0], str | bytes | os.PathLike):
            return
        path = os.fsdecode(args[0])
        writes = isinstance(args[1], str) and any(letter in args[1] for letter in "wax+")
        if writes and os.path.basename(path) == basename:
            notify(str(Path(path).absolute()))

    sys.addaudithook(hook)
