"""A stand-in for the Hugging Face hub: a cache that answers the names a script asks for.

Models and tokenizers are found in the hub cache (`models--owner--name/snapshots/...`, links into
one folder), data sets in the `datasets` cache. Both are what the libraries themselves leave after a
download, so that scripts and libraries run unmodified, from any working directory, with the network
off.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from mint_migrate.bridge.errors import CannotRun
from mint_migrate.bridge.names import DatasetRequest
from mint_migrate.bridge.rows import Row, to_json_lines

SNAPSHOT = "0123456789abcdef0123456789abcdef01234567"
"""Name of the one revision of each model; the cache asks for forty hexadecimal digits."""

CACHE_VARIABLES = {
    "HF_HUB_CACHE": "hub",
    "HUGGINGFACE_HUB_CACHE": "hub",
    "TRANSFORMERS_CACHE": "hub",
    "HF_DATASETS_CACHE": "datasets",
    "HF_MODULES_CACHE": "modules",
}
"""Every variable that can move a cache away from `HF_HOME`, and the folder it must name instead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StandInHub:
    """A prepared cache."""

    root: Path

    def environment(self) -> dict[str, str]:
        """Return the variables that make a process use this cache and nothing else."""
        moved = {name: str(self.root / folder) for name, folder in CACHE_VARIABLES.items()}
        moved.pop("TRANSFORMERS_CACHE")  # deprecated, and warns when set
        return {
            "HF_HOME": str(self.root),
            **moved,
            "HF_HUB_OFFLINE": "1",
            "HF_DATASETS_OFFLINE": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        }

    def apply_to(self, environment: Mapping[str, str]) -> dict[str, str]:
        """Return a copy of an environment that uses this cache."""
        kept = {name: value for name, value in environment.items() if name not in CACHE_VARIABLES}
        return kept | self.environment()


def add_models(hub: StandInHub, models: Mapping[str, Path], revisions: Iterable[str] = ()) -> None:
    """Make each name resolve to a model folder, at `main` and at the given revisions."""
    for name, folder in models.items():
        repository = hub.root / "hub" / ("models--" + name.replace("/", "--"))
        snapshot = repository / "snapshots" / SNAPSHOT
        snapshot.mkdir(parents=True, exist_ok=True)
        for file in folder.iterdir():
            link = snapshot / file.name
            if not link.exists():
                link.symlink_to(file.resolve())
        for revision in ("main", *revisions):
            reference = repository / "refs" / revision
            reference.parent.mkdir(parents=True, exist_ok=True)
            reference.write_text(SNAPSHOT, encoding="ascii")


def add_datasets(
    hub: StandInHub, requests: Iterable[DatasetRequest], splits: Mapping[str, tuple[Row, ...]]
) -> None:
    """Make each request for a data set resolve to these splits.

    Raises:
        CannotRun: the `datasets` library could not write them; the text ends with its message.
    """
    wanted = tuple(requests)
    if not wanted:
        return
    folder = hub.root / "rows"
    folder.mkdir(parents=True, exist_ok=True)
    files: dict[str, str] = {}
    for split, rows in splits.items():
        file = folder / f"{split}.jsonl"
        file.write_text(to_json_lines(rows), encoding="utf-8")
        files[split] = str(file)
    spec = folder / "spec.json"
    requested = [asdict(request) for request in wanted]
    content = {"cache": str(hub.root / "datasets"), "splits": files, "requests": requested}
    spec.write_text(json.dumps(content), encoding="utf-8")
    _write(hub, spec)


def _write(hub: StandInHub, spec: Path) -> None:
    """Run the writer in a process of its own: this one never imports `datasets`."""
    done = subprocess.run(
        [sys.executable, "-P", "-m", "mint_migrate.bridge.hub_writer", str(spec)],
        env=hub.apply_to(os.environ),
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    if done.returncode != 0:
        last = "\n".join(done.stderr.strip().splitlines()[-12:])
        raise CannotRun(f"the stand-in data could not be written:\n{last}")
