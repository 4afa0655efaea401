"""Which file of a project an import means.

Python asks `sys.path`, which nobody knows without running the project. Looked at are, in this
order: the folder of the importing script (what Python puts first when it runs the script), the
project's root, and its `src`. A file outside the project's root is never taken, and neither is one
that stands in for a source framework.
"""

from __future__ import annotations

import os

from mint_migrate.analyse.scopes import SOURCE_PACKAGES


def find_module(module: str, *, importer: str, root: str) -> str | None:
    """Return the file of *module* (dots in front for a relative import), or None.

    Args:
        module: `lib.configs`, `.configs`, `..`.
        importer: path of the importing file.
        root: the project's root.
    """
    name = module.lstrip(".")
    level = len(module) - len(name)
    here = os.path.dirname(os.path.abspath(importer))
    if level:
        for _ in range(level - 1):
            here = os.path.dirname(here)
        places = [here]
    elif name.partition(".")[0] in SOURCE_PACKAGES:
        return None
    else:
        places = [here, root, os.path.join(root, "src")]
    for place in places:
        found = _file_of(
            os.path.join(place, *name.split(".")) if name else place, is_name=bool(name)
        )
        if found is not None and _is_inside(found, root):
            return found
    return None


def module_name(path: str, root: str) -> str:
    """Return the dotted name of a file of the project, counted from its root or its `src`."""
    relative = os.path.relpath(os.path.splitext(path)[0], root)
    parts = [part for part in relative.split(os.sep) if part != "__init__"]
    return ".".join(parts[1:] if parts[:1] == ["src"] and len(parts) > 1 else parts)


def _file_of(stem: str, *, is_name: bool) -> str | None:
    package = os.path.join(stem, "__init__.py")
    candidates = [package, f"{stem}.py"] if is_name else [package]
    return next((each for each in candidates if os.path.isfile(each)), None)


def _is_inside(path: str, root: str) -> bool:
    return os.path.realpath(path).startswith(os.path.join(os.path.realpath(root), ""))
