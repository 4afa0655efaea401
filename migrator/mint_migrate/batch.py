"""The files of one run: read each, migrate it, decide what is written, write it.

Everything a `migrate` command does except talking to the user. A file's failure is its own: the
others go on.
"""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import partial
from pathlib import Path

from mint_migrate import files, journal
from mint_migrate.dispatch import migrate_file, tables
from mint_migrate.errors import WriteError
from mint_migrate.gather import Script
from mint_migrate.model.outcome import Failed, Migrated, Outcome, Skipped
from mint_migrate.model.plan import Kind
from mint_migrate.model.source import Options, Source
from mint_migrate.outputs import is_our_output, is_same, markers, readable, stamp
from mint_migrate.pool import num_workers, ordered_map
from mint_migrate.report.diff import unified
from mint_migrate.todo import Todo


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
    num_jobs: int | None = None
    """Files migrated at the same time; None: as many as pay."""
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
    companions: tuple[Landing, ...] = ()
    """The other files of the same migration."""
    is_companion: bool = False
    """It is such another file: the first one stands for it in the report."""
    is_passed_over: bool = False
    """An output of ours found in a folder: searched for markers, left out of the report."""
    trace: str = ""
    """Python's account of a failure of ours."""


def run(
    scripts: Sequence[Script],
    job: Job,
    report: Callable[[Landing], None],
    advance: Callable[[], None] = lambda: None,
) -> list[Landing]:
    """Migrate *scripts*, call *report* with each in their order, and return them all.

    Args:
        scripts: the files.
        job: what to do with them.
        report: tells the user about one file.
        advance: called for each file that is done, in any order.

    Raises:
        WriteError: the journal cannot be written; no file has been replaced then.
    """
    landings: list[Landing] = []
    num_reported = 0
    is_held = job.mode is Mode.IN_PLACE
    for first in land(scripts, job, advance):
        landings += (first, *first.companions)
        # What becomes of a module is known when the scripts that import it are done.
        is_held |= len(scripts) > 1 and _is_left_alone(first)
        for landing in () if is_held else landings[num_reported:]:
            report(landing)
            num_reported += 1
    landings = _with_taken(landings)
    if job.mode is Mode.IN_PLACE:
        landings = _replace_sources(landings)
    for landing in landings[num_reported:]:
        report(landing)
    return landings


def _is_left_alone(landing: Landing) -> bool:
    """Say whether a script uses a framework and nothing is written for it."""
    outcome = landing.outcome
    return (
        isinstance(outcome, Migrated)
        and outcome.text is None
        and outcome.source.path.endswith(".py")
    )


def _with_taken(landings: list[Landing]) -> list[Landing]:
    """Say of modules whose every use of a framework is in the result of some script, that it is."""
    users: dict[tuple[str, int, int], str] = {}
    for outcome in (landing.outcome for landing in landings):
        if isinstance(outcome, Migrated) and outcome.text is not None:
            for found in (item.found for item in outcome.decisions if item.found.path):
                place = (os.path.realpath(found.path), found.span.line, found.span.column)
                users[place] = outcome.source.path
    return [_as_taken(each, users) if users else each for each in landings]


def _as_taken(landing: Landing, users: dict[tuple[str, int, int], str]) -> Landing:
    if not _is_left_alone(landing):
        return landing
    outcome = landing.outcome
    assert isinstance(outcome, Migrated)
    path = os.path.realpath(outcome.source.path)
    # An import that a script has as well is not taken a second time.
    spans = [item.found.span for item in outcome.decisions if item.found.kind is not Kind.IMPORT]
    takers = [users.get((path, span.line, span.column)) for span in spans]
    if not takers or None in takers:
        return landing
    shown = ", ".join(sorted({os.path.basename(taker) for taker in takers if taker is not None}))
    reason = f"what it defines is in the result of {shown}; the file stays as it is"
    return Landing(outcome=Skipped(path=outcome.source.path, code="MM115", reason=reason))


def land(
    scripts: Sequence[Script], job: Job, advance: Callable[[], None] = lambda: None
) -> Iterator[Landing]:
    """Yield what became of each script, in their order; sources are never replaced here."""
    sizes = [files.size_of(script.path) for script in scripts]
    landings = ordered_map(
        partial(_landed, job=job),
        scripts,
        sizes,
        workers=num_workers(sizes, job.num_jobs),
        prepare=_prepare,
        advance=advance,
    )
    # What is overwritten by force goes into the journal first, and one process keeps that.
    return (_written(landing, job) for landing in landings) if _is_kept(job) else landings


def _is_kept(job: Job) -> bool:
    return job.mode is Mode.WRITE and job.force


def _prepare() -> None:
    """Import what every migration needs, and read the tables."""
    import mint_migrate.pipeline
    import mint_migrate.render.script
    import mint_migrate.rewrite.module  # noqa: F401

    tables()


def _landed(script: Script, job: Job) -> Landing:
    """Migrate one script and write the result, where nothing has to be kept before."""
    outcome, trace = migrate_path(script.path, job.options, script.base)
    landing = replace(_land(script, outcome, job), trace=trace)
    landing = replace(landing, companions=tuple(_companions(landing, job)))
    return _written(landing, job) if job.mode is Mode.WRITE and not job.force else landing


def migrate_path(path: Path, options: Options, base: Path | None = None) -> tuple[Outcome, str]:
    """Return the outcome of one file, and the traceback where it ended in a failure of ours.

    *base* is the folder the file was found under, None when it was named.
    """
    source = files.read(path)
    if not isinstance(source, Source):
        return source, ""
    if is_our_output(source.text, path.suffix):
        reason = "mint-migrate wrote this script; it is not migrated again"
        return Skipped(path=source.path, code="MM111", reason=reason), ""
    try:
        return migrate_file(source, options, base), ""
    except Exception as error:
        # A bug of ours must not take the other files down with it.
        kind = type(error).__name__
        return Failed(
            path=source.path,
            code="MM901",
            reason=f"mint-migrate failed ({kind}: {error}); this is a bug of mint-migrate",
            hint="run it again with `--verbose` and report what it prints",
        ), traceback.format_exc()


def _land(script: Script, outcome: Outcome, job: Job) -> Landing:
    """Compare the result of *script* with what lies at its place."""
    if isinstance(outcome, Skipped) and outcome.code == "MM111":
        in_folder = script.base is not None
        todos = _todos_in(script.path)
        return Landing(outcome=outcome, todos=todos, is_passed_over=in_folder)
    if not isinstance(outcome, Migrated):
        return Landing(outcome=outcome)
    in_place = job.in_place
    if in_place and script.path.suffix in files.LAUNCHES:
        return Landing(outcome=_not_in_place(outcome))
    output = script.path if in_place else files.output_path(script.path, job.output, script.base)
    if outcome.suffix:
        # A shell script has a place of its own, and calls its scripts by their names.
        output = output.with_name(f"{_stem(script.path, output)}_mint{outcome.suffix}")
    if outcome.text is None:
        return Landing(outcome=outcome, output=output, change="unchanged")
    return _compare(outcome, outcome.text, output, job)


def _companions(landing: Landing, job: Job) -> list[Landing]:
    """Return the other files of a migration, beside its first one."""
    outcome, output = landing.outcome, landing.output
    if not isinstance(outcome, Migrated) or output is None:
        return []
    stem = _stem(Path(outcome.source.path), output)
    return [
        replace(
            _compare(outcome, each.text, output.with_name(f"{stem}{each.ending}"), job),
            is_companion=True,
        )
        for each in outcome.companions
    ]


def _stem(source: Path, output: Path) -> str:
    """Return what the names of all results of *source* begin with, *output* being one."""
    return output.stem.removesuffix("_mint").removesuffix(
        files.result_mark(source).removesuffix("_mint")
    )


def _compare(outcome: Migrated, text: str, output: Path, job: Job) -> Landing:
    """Compare a result with what lies at its place."""
    source = Path(outcome.source.path)
    text = stamp(text, output.suffix)
    is_another = source.suffix in files.LAUNCHES and output.suffix == ".py"
    before = "" if is_another else readable(outcome.source.text, source.suffix)
    landing = Landing(
        outcome=outcome,
        output=output,
        text=text,
        change=_change(output, files.encode(text, outcome.source)),
        todos=markers(text, output.suffix),
        diff=unified(
            before,
            readable(text, output.suffix),
            "/dev/null" if is_another else outcome.source.path,
            os.fspath(output),
        ),
    )
    if landing.change != "changed" or job.force:
        return landing
    if job.in_place:
        writes = job.mode is Mode.IN_PLACE
        return replace(landing, refusal=_uncommitted(output)) if writes else landing
    refusal = files.refusal(output)
    if refusal is not None:
        # What a person made of the result is what counts: `--check` looks for markers there.
        return replace(landing, change="edited", refusal=refusal, todos=_todos_in(output))
    return landing


def _not_in_place(outcome: Migrated) -> Failed:
    return Failed(
        path=outcome.source.path,
        code="MM120",
        reason="a launcher becomes a script, which cannot take its place",
        hint="leave out `--in-place`; the results are written beside it",
    )


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
    old = output.read_bytes()
    if old == content:
        return "unchanged"
    found = files.parse(os.fspath(output), old) if output.suffix == ".ipynb" else None
    # Running a notebook leaves outputs in it; they are not to be lost for the same cells.
    is_kept = isinstance(found, Source) and is_same(
        found.text, content.decode("utf-8-sig"), output.suffix
    )
    return "unchanged" if is_kept else "changed"


def _todos_in(path: Path) -> tuple[Todo, ...]:
    found = files.read(path)
    return markers(found.text, path.suffix) if isinstance(found, Source) else ()


def _written(landing: Landing, job: Job) -> Landing:
    """Write a result and its companions."""
    companions = tuple(_write(each, job) for each in landing.companions)
    return replace(_write(landing, job), companions=companions)


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
