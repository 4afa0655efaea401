"""The files of one run: read each, migrate it, decide what is written, write it.

Everything a `migrate` command does except talking to the user. A file's failure is its own: the
others go on.
"""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path

from mint_migrate import files, journal, project
from mint_migrate.errors import WriteError
from mint_migrate.gather import Script
from mint_migrate.model.outcome import Failed, Migrated, Outcome, Skipped
from mint_migrate.model.source import Options, Source
from mint_migrate.report.diff import unified
from mint_migrate.stamp import is_our_output, stamp
from mint_migrate.todo import Todo, find_todos


class Mode(StrEnum):
    """What happens to the results."""

    WRITE = "write"
    IN_PLACE = "in-place"
    PRINT = "print"
    """Nothing is written: `--diff` and `-o -`."""
    CHECK = "check"


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What the command line asked for."""

    mode: Mode = Mode.WRITE
    output: Path | None = None
    in_place: bool = False
    """The result replaces its source; also set for a `--diff` or `--check` of that."""
    force: bool = False
    num_jobs: int = 1
    options: Options = field(default_factory=Options)


@dataclass(frozen=True, slots=True, kw_only=True)
class Landing:
    """One file of the run, done."""

    outcome: Outcome
    output: Path | None = None
    """Where the result belongs; None where there is none."""
    text: str = ""
    """The result with its stamp."""
    change: str = ""
    """new | changed | unchanged, or edited: somebody's work is there and is left alone."""
    refusal: Failed | None = None
    todos: tuple[Todo, ...] = ()
    """Markers in the result, or in the edited file that stands in its place."""
    diff: str = ""
    is_passed_over: bool = False
    """An output of ours found in a folder: searched for markers, left out of the report."""
    trace: str = ""
    """Python's account of a failure of ours."""


def run(scripts: Sequence[Script], job: Job, report: Callable[[Landing], None]) -> list[Landing]:
    """Migrate *scripts* in order, call *report* with each as it is done, and return them all.

    Raises:
        WriteError: the journal cannot be written; no file has been replaced then.
    """
    landings: list[Landing] = []
    for script, (outcome, trace) in zip(scripts, _migrate_all(scripts, job), strict=True):
        landing = _land(script, outcome, job)
        landings.append(_write(landing, job) if job.mode is Mode.WRITE else landing)
        landings[-1] = replace(landings[-1], trace=trace)
        if job.mode is not Mode.IN_PLACE:
            report(landings[-1])
    if job.mode is Mode.IN_PLACE:
        landings = _replace_sources(landings)
        for landing in landings:
            report(landing)
    return landings


def migrate_path(path: Path, options: Options) -> tuple[Outcome, str]:
    """Return the outcome of one file, and the traceback where it ended in a failure of ours."""
    source = files.read(path)
    if not isinstance(source, Source):
        return source, ""
    if is_our_output(source.text):
        reason = "mint-migrate wrote this script; it is not migrated again"
        return Skipped(path=source.path, code="MM111", reason=reason), ""
    try:
        return _migrate(source, options), ""
    except Exception as error:
        # A bug of ours must not take the other files down with it.
        kind = type(error).__name__
        return Failed(
            path=source.path,
            code="MM901",
            reason=f"mint-migrate failed ({kind}: {error}); this is a bug of mint-migrate",
            hint="run it again with `--verbose` and report what it prints",
        ), traceback.format_exc()


def _migrate(source: Source, options: Options) -> Outcome:
    from mint_migrate.pipeline import migrate_source
    from mint_migrate.tables.lookup import load_tables

    if options.source_version is None:
        pinned = project.find_version(Path(source.path), source.text)
        options = replace(options, project_version=pinned)
    return migrate_source(source, options, load_tables())


def _migrate_all(scripts: Sequence[Script], job: Job) -> Iterable[tuple[Outcome, str]]:
    paths = [script.path for script in scripts]
    if job.num_jobs == 1 or len(paths) < 2:
        return (migrate_path(path, job.options) for path in paths)
    from concurrent.futures import ProcessPoolExecutor

    with ProcessPoolExecutor(max_workers=min(job.num_jobs, len(paths))) as pool:
        return list(pool.map(migrate_path, paths, [job.options] * len(paths)))


def _land(script: Script, outcome: Outcome, job: Job) -> Landing:
    """Compare the result of *script* with what lies at its place."""
    if isinstance(outcome, Skipped) and outcome.code == "MM111":
        in_folder = script.base is not None
        todos = _todos_in(script.path)
        return Landing(outcome=outcome, todos=todos, is_passed_over=in_folder)
    if not isinstance(outcome, Migrated):
        return Landing(outcome=outcome)
    in_place = job.in_place
    output = script.path if in_place else files.output_path(script.path, job.output, script.base)
    if outcome.text is None:
        return Landing(outcome=outcome, output=output, change="unchanged")
    text = stamp(outcome.text)
    landing = Landing(
        outcome=outcome,
        output=output,
        text=text,
        change=_change(output, files.encode(text, outcome.source)),
        todos=find_todos(text),
        diff=unified(outcome.source.text, text, os.fspath(script.path), os.fspath(output)),
    )
    if landing.change != "changed" or job.force:
        return landing
    if in_place:
        writes = job.mode is Mode.IN_PLACE
        return replace(landing, refusal=_uncommitted(output)) if writes else landing
    refusal = files.refusal(output)
    if refusal is not None:
        # What a person made of the result is what counts: `--check` looks for markers there.
        return replace(landing, change="edited", refusal=refusal, todos=_todos_in(output))
    return landing


def _uncommitted(path: Path) -> Failed | None:
    reason = journal.uncommitted(path)
    if not reason:
        return None
    return Failed(
        path=os.fspath(path),
        code="MM112",
        reason=f"`--in-place` would replace work that git cannot bring back: {reason}",
        hint="commit it, or use `--force`; `mint-migrate undo` can restore it either way",
    )


def _change(output: Path, content: bytes) -> str:
    if not output.is_file():
        return "new"
    return "unchanged" if output.read_bytes() == content else "changed"


def _todos_in(path: Path) -> tuple[Todo, ...]:
    found = files.read(path)
    return find_todos(found.text) if isinstance(found, Source) else ()


def _write(landing: Landing, job: Job) -> Landing:
    outcome = landing.outcome
    if landing.refusal or landing.change == "unchanged" or not isinstance(outcome, Migrated):
        return landing
    assert landing.output is not None
    content = files.encode(landing.text, outcome.source)
    try:
        if job.force and files.refusal(landing.output):
            _keep(landing.output, content)
        files.write(landing.output, content, mode=_mode(landing.output, outcome.source))
    except WriteError as error:
        return _with_refusal(landing, error)
    return landing


def _keep(path: Path, after: bytes) -> None:
    """Record an edited output before it is overwritten, so that `undo` can bring it back."""
    if path.is_file():
        journal.record([journal.Replacement(path=path, before=path.read_bytes(), after=after)])


def _mode(output: Path, source: Source) -> int | None:
    """Return the permissions of a new output: those of its source, so a script stays executable."""
    return files.mode_of(output) or files.mode_of(Path(source.path))


def _replace_sources(landings: Sequence[Landing]) -> list[Landing]:
    replacements = {
        index: journal.Replacement(
            path=landing.output,
            before=landing.outcome.source.content,
            after=files.encode(landing.text, landing.outcome.source),
        )
        for index, landing in enumerate(landings)
        if isinstance(landing.outcome, Migrated)
        and landing.output is not None
        and landing.change == "changed"
        and landing.refusal is None
    }
    if replacements:
        journal.record(list(replacements.values()))
    result = list(landings)
    for index, replacement in replacements.items():
        try:
            files.write(replacement.path, replacement.after)
        except WriteError as error:
            result[index] = _with_refusal(result[index], error)
    return result


def _with_refusal(landing: Landing, error: WriteError) -> Landing:
    return replace(
        landing,
        refusal=Failed(path=error.path, code=error.code, reason=error.message, hint=error.hint),
    )
