"""One tiny model folder per test process and architecture, made by the runtime's own program."""

import functools
import os
import tempfile
from pathlib import Path

from mint_migrate.bridge.runtime import tiny_model


def shared_cache() -> Path:
    """Return a folder for tiny models that outlives the process: they take seconds to make."""
    return Path(tempfile.gettempdir()) / f"mint-migrate-tests-{os.getuid()}"


@functools.cache
def tiny_folder(architecture: str = "qwen3") -> Path:
    """Return the folder of a tiny model."""
    return tiny_model(architecture, cache=shared_cache())
