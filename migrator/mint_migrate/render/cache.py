"""Keeps compiled templates between runs, in the user's cache folder.

Compiling costs more than rendering. What is kept holds for one release of Jinja, which names the
folder, and for one of Python and one text of a template, which each entry names.
"""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import jinja2


class TemplateCache(jinja2.FileSystemBytecodeCache):
    """Compiled templates in a folder that may be missing, full or not for writing."""

    def load_bytecode(self, bucket: jinja2.bccache.Bucket) -> None:
        """Fill *bucket* with what is kept; leave it empty where that cannot be read."""
        try:
            super().load_bytecode(bucket)
        except (OSError, EOFError, ValueError, pickle.UnpicklingError):
            bucket.reset()

    def dump_bytecode(self, bucket: jinja2.bccache.Bucket) -> None:
        """Keep what *bucket* holds where the folder can be written."""
        try:
            Path(self.directory).mkdir(mode=0o700, parents=True, exist_ok=True)
            super().dump_bytecode(bucket)
        except OSError:
            return


def cache_folder() -> Path:
    """Return the folder of compiled templates: in `$XDG_CACHE_HOME`, else in `~/.cache`."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    root = Path(base) if os.path.isabs(base) else Path(os.path.expanduser("~"), ".cache")
    return root / "mint-migrate" / f"templates-jinja{jinja2.__version__}"
