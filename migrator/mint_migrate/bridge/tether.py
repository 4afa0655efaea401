"""Run a module as a program that ends when the process holding the other end of a pipe ends.

    python -P tether.py FD MODULE [ARGS...]

The parent keeps the write end of pipe `FD` open and never writes. However the parent ends, `kill
-9` included, the system closes that end; the read here returns and the program is terminated, with
its process group if it does not go by itself. Only the standard library is used, so the file runs
before anything is imported.
"""

from __future__ import annotations

import contextlib
import os
import runpy
import signal
import sys
import threading
import time

GRACE_S = 5.0
"""How long the program may take to stop by itself."""


def _end_with_parent(descriptor: int) -> None:
    """Block until the pipe closes, then end this program."""
    with contextlib.suppress(OSError):
        while os.read(descriptor, 4096):
            pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_S)
    if os.getpgrp() == os.getpid():
        os.killpg(os.getpid(), signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    """Watch the pipe in a daemon thread and run the module as `__main__`."""
    descriptor, module = int(sys.argv[1]), sys.argv[2]
    threading.Thread(target=_end_with_parent, args=(descriptor,), daemon=True).start()
    sys.argv = [module, *sys.argv[3:]]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
