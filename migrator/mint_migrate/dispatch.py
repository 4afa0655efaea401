"""Which way a file takes through the stages: a script, a notebook, a launcher, a configuration.

The one place that reads further files for a file: its project's release, modules and settings.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from mint_migrate import files, project
from mint_migrate.detect import LIBRARIES
from mint_migrate.model.outcome import Migrated, Outcome, Skipped
from mint_migrate.model.plan import Fidelity
from mint_migrate.model.source import Options, Source

if TYPE_CHECKING:
    from mint_migrate.tables.lookup import Tables

NO_FRAMEWORK = "MM107"
WHEN_IT_RUNS = "MM260"
"""Options that are known only when the script runs."""


@cache
def tables() -> Tables:
    """Return the tables, read once."""
    from mint_migrate.tables.lookup import load_tables

    return load_tables()


def migrate_file(source: Source, options: Options, base: Path | None) -> Outcome:
    """Migrate one file that has been read, with what it needs of the files around it.

    *base* is the folder it was found under, None when it was named.
    """
    suffix = Path(source.path).suffix
    options = _with_pins(source, options)
    if suffix == ".ipynb":
        from mint_migrate.fronts.notebooks import migrate_notebook

        return migrate_notebook(source, options, tables())
    if suffix in files.LAUNCHES:
        from mint_migrate.fronts.launchers import migrate_config, migrate_launcher

        read = _reader(Path(source.path))
        if suffix in (".yaml", ".yml"):
            return migrate_config(source, options, tables(), read)
        mark = files.result_mark(Path(source.path))
        return migrate_launcher(source, options, tables(), read, mark)
    return _migrate_script(source, options, base)


def _with_pins(source: Source, options: Options) -> Options:
    """Return the options with the releases that the project pins, where they are not given."""
    path = Path(source.path)
    names: tuple[str, ...] = () if options.source_version is not None else ("trl",)
    launches = path.suffix in files.LAUNCHES
    launches |= path.suffix == ".py" and any(name in source.content for name in LIBRARIES)
    if launches and options.launched_version is None:
        names += project.LAUNCHED
    pins = project.find_versions(path, source.text, names)
    return replace(
        options,
        project_version=pins.get("trl", options.project_version),
        launched_version=options.launched_version or project.launched(pins),
    )


def _migrate_script(source: Source, options: Options, base: Path | None) -> Outcome:
    """Migrate a script with what it needs of its project; alone where that brings no more."""
    from mint_migrate.pipeline import migrate_source

    copied = _copied_package(Path(source.path))
    if copied is not None:
        reason = f"it belongs to a copy of {copied} in the project, which stays as it is"
        return Skipped(path=source.path, code="MM360", reason=reason)

    outcome = migrate_source(source, options, tables())
    if isinstance(outcome, Migrated) and outcome.framework == "verl" and outcome.text is None:
        from mint_migrate.fronts.in_python import as_launcher

        return as_launcher(source, outcome, options, tables(), _reader(Path(source.path)))
    if isinstance(outcome, Skipped) and outcome.code == NO_FRAMEWORK:
        from mint_migrate.local.through import through_other_files

        outcome = through_other_files(source, _release(options), base) or outcome
    if not isinstance(outcome, Migrated) or outcome.framework != "trl":
        return outcome
    return _with_modules(source, options, base, outcome)


def _copied_package(path: Path) -> str | None:
    """Return the framework whose own source, copied into the project, a file is part of."""
    for folder in path.resolve().parents:
        if folder.name.encode() in LIBRARIES and (folder / "__init__.py").is_file():
            return folder.name
    return None


def _with_modules(source: Source, options: Options, base: Path | None, alone: Migrated) -> Outcome:
    """Return the outcome of a script with modules of its project where that leaves less to do.

    Modules that use a framework come first; all others only where that is not enough.
    """
    from mint_migrate.fronts.modules import migrate_joined, refusal_notice
    from mint_migrate.local.join import Joined, join_modules

    best = alone
    notices: dict[str, None] = {}
    for everything in (False, True):
        if everything and not _is_open(best):
            break
        joined = join_modules(source, base, everything=everything)
        if joined is None:
            continue
        if not isinstance(joined, Joined):
            notices[refusal_notice(joined, source.path)] = None
            continue
        outcome = migrate_joined(source, joined, options, tables())
        if not isinstance(outcome, Migrated):
            return outcome
        if outcome.text is None and best.text is None:
            # With the definitions that it imports, something else stands in the way.
            reasons = [item for item in outcome.notices if item.startswith("MM")]
            notices |= dict.fromkeys(f"with what it imports, {item}" for item in reasons[:1])
        is_first = not everything and outcome.text is not None
        if is_first or _left(outcome) < _left(best):
            best = outcome
    return replace(best, notices=(*best.notices, *notices))


def _is_open(outcome: Migrated) -> bool:
    """Say whether something is left for a person, or for when the script runs."""
    return outcome.text is None or _left(outcome) > (False, 0, 0)


def _left(outcome: Migrated) -> tuple[bool, int, int]:
    """Return whether nothing is written, and how much is left for a person and for the run."""
    if outcome.text is None:
        return True, 0, 0
    manual = sum(each.fidelity is Fidelity.MANUAL for each in outcome.decisions)
    return False, manual, sum(each.code == WHEN_IT_RUNS for each in outcome.decisions)


def _release(options: Options) -> tuple[str, str]:
    """Return the release that a script without a use of its own is taken to be written for."""
    if options.source_version is not None:
        return options.source_version, "given with --source-version"
    return options.project_version or (tables().versions[-1], "the newest recorded release")


def _reader(launcher: Path) -> Callable[[str], str | None]:
    """Return how *launcher* finds the files it names: from its folder, the root, or here."""
    folders = (launcher.parent, project.find_root(launcher), Path())

    def read(name: str) -> str | None:
        for folder in folders:
            found = (folder / name) if name else folder
            if found.is_file() and isinstance(source := files.read_any(found), Source):
                return source.text
        return None

    return read
