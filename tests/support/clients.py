"""The published clients, each in its own environment, and a server for them.

The tokenizer of a sampling client is found by the name of the base model, so the environments see a
hub cache in which the names of the served models resolve.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from acceptance.programs.harness import MINT
from acceptance.programs.world import Target
from mint_migrate.bridge.hub import StandInHub, add_models

from support.environments import environment
from support.server import ROOT, running_server

BASE, OTHER_BASE = "acme/one", "acme/two"
_LOCKED_KEY = "tml-the-only-key-0123"
_KEYS = {True: "sk-test-0123456789", False: "tml-test-0123456789"}
# Of a whole program: far more than it takes, since every check has a limit of its own.
_LIMIT_S = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A running server and what clients need to use it."""

    url: str
    locked_url: str
    hub: StandInHub

    def command(self, client: str, program: str, *arguments: str) -> list[str]:
        """Return the command that runs a program with a client of this site."""
        target = Target(
            url=self.url,
            key=_KEYS[client in MINT],
            base=BASE,
            other_base=OTHER_BASE,
            locked_url=self.locked_url,
        )
        python = [str(environment(client)), "-P", "-W", "ignore"]
        module = f"acceptance.programs.{program}"
        return [*python, "-m", module, client, json.dumps(asdict(target)), *arguments]

    def variables(self) -> dict[str, str]:
        """Return the environment of a client: of this repository only the tests, no network."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("MINT_", "TINKER_", "PYTHON", "HF_"))
        }
        return self.hub.apply_to(kept) | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT / "tests")}

    def start(self, client: str, program: str, *arguments: str) -> subprocess.Popen[str]:
        """Start a program with a client of this site."""
        return subprocess.Popen(
            self.command(client, program, *arguments),
            env=self.variables(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


@contextmanager
def running_site(folder: Path) -> Iterator[Site]:
    """Yield a server with two base models, beside one that accepts a single key."""
    # Imports torch, which test collection should not wait for.
    from mint_runtime.tiny_model import build_tiny_model

    one, two = folder / "one", folder / "two"
    build_tiny_model(one, vocab_size=512)
    build_tiny_model(two, vocab_size=512, architecture="llama", seed=1)
    hub = StandInHub(root=folder / "hub")
    add_models(hub, {BASE: one, OTHER_BASE: two})
    more = ("--base-model", f"{OTHER_BASE}={two}")
    with (
        running_server(one, folder / "open", *more, name=BASE) as server,
        running_server(one, folder / "locked", "--api-key", _LOCKED_KEY, name=BASE) as locked,
    ):
        yield Site(url=server.url, locked_url=locked.url, hub=hub)


def finish(process: subprocess.Popen[str]) -> tuple[str, str]:
    """Wait for a program and return its output and its errors, the end of them."""
    try:
        output, errors = process.communicate(timeout=_LIMIT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        output, errors = process.communicate()
    return output, errors[-6000:]
