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
from mint_migrate.model.outcome import Migrated, Outcome, Skipped
from mint_migrate.model.source import Options, Source

if TYPE_CHECKING:
    from mint_migrate.tables.lookup import Tables

NO_FRAMEWORK = "MM107"
THROUGH_OTHERS = "MM109"


@cache
def tables() -> Tables:
    """Return the tables, read once."""
    from mint_migrate.tables.lookup import load_tables

    return load_tables()


def migrate_file(source: Source, options: Options, base: Path | None) -> Outcome:
    """Migrate one file that has been read, with what it needs of the files around it.

    *base* is the folder it was found under, None when it was named.
    """
    if options.source_version is None:
        pinned = project.find_version(Path(source.path), source.text)
        options = replace(options, project_version=pinned)
    suffix = Path(source.path).suffix
    if suffix == ".ipynb":
        from mint_migrate.fronts.notebooks import migrate_notebook

        return migrate_notebook(source, options, tables())
    if suffix in files.LAUNCHES:
        from mint_migrate.fronts.launchers import migrate_config, migrate_launcher

        if options.launched_version is None:
            launched = project.launched_version(Path(source.path), source.text)
            options = replace(options, launched_version=launched)
        migrate = migrate_config if suffix in (".yaml", ".yml") else migrate_launcher
        return migrate(source, options, tables(), _reader(Path(source.path)))
    return _migrate_script(source, options, base)


def _migrate_script(source: Source, options: Options, base: Path | None) -> Outcome:
    """Migrate a script with what it needs of its project; alone where that brings no more."""
    from mint_migrate.pipeline import migrate_source

    outcome = migrate_source(source, options, tables())
    if isinstance(outcome, Skipped) and outcome.code == NO_FRAMEWORK:
        from mint_migrate.local.through import through_other_files

        through = through_other_files(source, _release(options), base)
        if through is None:
            return outcome
        outcome = through
    if not isinstance(outcome, Migrated):
        return outcome
    from mint_migrate.fronts.modules import migrate_joined, refusal_notice
    from mint_migrate.local.join import Joined, join_modules

    joined = join_modules(source, base)
    if joined is None:
        return outcome
    if not isinstance(joined, Joined):
        return replace(outcome, notices=(*outcome.notices, refusal_notice(joined, source.path)))
    together = migrate_joined(source, joined, options, tables())
    if isinstance(together, Migrated) and together.text is None:
        # What stays with a person is said where that is most to the point.
        is_through = any(each.code == THROUGH_OTHERS for each in outcome.decisions)
        return outcome if outcome.text is not None or is_through else together
    return together


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
