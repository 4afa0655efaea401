"""The `migrate` command: options checked, files migrated, results shown, exit status chosen."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mint_migrate import __version__, batch, console, files
from mint_migrate.batch import Job, Landing, Mode
from mint_migrate.errors import UsageError
from mint_migrate.gather import Gathered, gather
from mint_migrate.model.outcome import Failed, Migrated, Skipped
from mint_migrate.model.plan import Fidelity
from mint_migrate.model.report import Report
from mint_migrate.model.source import Options, shown_place
from mint_migrate.report.build import Entry, build, exit_status
from mint_migrate.suppress import suppressions
from mint_migrate.tables.versions import version_key

REPORTS = ("md", "json")
_LATER_REPORTS = ("html", "sarif")


@dataclass(frozen=True, slots=True, kw_only=True)
class Arguments:
    """The command line of `migrate`, as typed."""

    paths: tuple[Path, ...]
    diff: bool = False
    check: bool = False
    in_place: bool = False
    force: bool = False
    reports: tuple[str, ...] = ()
    format: str = "text"
    source_version: str | None = None
    num_processes: int = 1
    base_model: str | None = None
    scale_lr: bool = False
    ppo: str | None = None
    reward_model: str | None = None
    distillation: str | None = None
    strict: bool = False
    num_jobs: int | None = None
    output: str | None = None
    verbose: bool = False

    @property
    def to_stdout(self) -> bool:
        """Whether the script itself goes to stdout."""
        return self.output == "-"


def migrate(arguments: Arguments) -> int:
    """Migrate what the command line names and return the exit status.

    Raises:
        MigrateError: the options do not fit together, or the journal cannot be written.
    """
    check_arguments(arguments)
    job = _job(arguments)
    gathered = gather(arguments.paths)
    _check_single_output(arguments, gathered)
    for failed in gathered.failures:
        console.err_failed(failed)
    landings = _run(gathered, job, arguments)
    if gathered.num_passed_over:
        noun = "script uses" if gathered.num_passed_over == 1 else "scripts use"
        console.err(f"{gathered.num_passed_over} {noun} no source framework")
    if num_ours := sum(landing.is_passed_over for landing in landings):
        console.err(f"{num_ours} already written by mint-migrate")
    report = _report(arguments, gathered.failures, landings)
    status = _write_reports(arguments, landings, report) if arguments.reports else 0
    _show(report, arguments)
    return max(status, _status(arguments, gathered, landings, report))


def _run(gathered: Gathered, job: Job, arguments: Arguments) -> list[Landing]:
    """Migrate the scripts and tell of each; a progress bar shows first where there are many."""
    scripts = gathered.scripts
    if not console.shows_progress(len(scripts)):
        return batch.run(scripts, job, lambda landing: _tell(landing, arguments))
    with console.progress("migrating", len(scripts)) as advance:
        landings = batch.run(scripts, job, lambda _landing: None, advance)
    for landing in landings:
        _tell(landing, arguments)
    return landings


def check_arguments(arguments: Arguments) -> None:
    """Refuse options that contradict each other or have values that are not accepted.

    Raises:
        UsageError: the first contradiction found, with the way out.
    """
    for present, message in (
        (arguments.diff and arguments.check, "`--diff` and `--check` exclude each other"),
        (arguments.in_place and arguments.output, "`--in-place` and `-o` exclude each other"),
        (
            arguments.to_stdout and (arguments.check or arguments.diff),
            "`-o -` prints the script; `--diff` and `--check` print something else",
        ),
        (
            arguments.to_stdout and arguments.format == "json",
            "`-o -` and `--format json` both want stdout",
        ),
        (
            arguments.reports and (arguments.check or arguments.diff or arguments.to_stdout),
            "`--report` writes a file; `--diff`, `--check` and `-o -` write none",
        ),
    ):
        if present:
            raise UsageError(message)
    for kind in arguments.reports:
        _check_report(kind)
    console.check_format(arguments.format)


def parse_source_version(text: str) -> tuple[str, str]:
    """Return package and release of `trl==0.19.1` or `verl==0.5.0`; a bare number is TRL's.

    Raises:
        UsageError: another package, or not a release number.
    """
    package, _, version = text.rpartition("==")
    accepted = (
        "expected the release the script was written for, such as `trl==0.19.1`, `verl==0.5.0` "
        "or `openrlhf==0.9.1`"
    )
    if package.strip() not in ("", "trl", "verl", "openrlhf"):
        raise UsageError(f"`--source-version {text}`: {accepted}")
    try:
        version_key(version.strip())
    except ValueError as error:
        raise UsageError(f"`--source-version {text}`: {accepted}") from error
    return package.strip() or "trl", version.strip()


def _check_report(kind: str) -> None:
    if kind in REPORTS:
        return
    exists = "there are `md` and `json`"
    if kind in _LATER_REPORTS:
        raise UsageError(f"`--report {kind}` does not exist in this release; {exists}")
    raise UsageError(f"`--report {kind}` is not known; {exists}")


def _check_single_output(arguments: Arguments, gathered: Gathered) -> None:
    """Refuse one output for several scripts."""
    single = arguments.to_stdout or (
        arguments.output is not None and files.names_a_script(Path(arguments.output))
    )
    if single and len(gathered.scripts) > 1:
        raise UsageError(
            f"`-o {arguments.output}` holds one script, and {len(gathered.scripts)} are given",
            hint="name a folder with `-o`",
        )
    if arguments.in_place or arguments.output is None or single:
        return
    sources: dict[Path, Path] = {}
    for script in gathered.scripts:
        place = files.output_path(script.path, Path(arguments.output), script.base)
        other = sources.setdefault(place, script.path)
        if other != script.path:
            raise UsageError(
                f"{other} and {script.path} would both be written to {place}",
                hint="give the folder that holds both, or migrate them one by one",
            )


def _job(arguments: Arguments) -> Job:
    if arguments.diff or arguments.to_stdout:
        mode = Mode.PRINT
    elif arguments.check:
        mode = Mode.CHECK
    else:
        mode = Mode.IN_PLACE if arguments.in_place else Mode.WRITE
    package, version = None, None
    if arguments.source_version is not None:
        package, version = parse_source_version(arguments.source_version)
    launched = None
    if package not in (None, "trl") and version is not None:
        launched = (package, version, "given with --source-version")
    return Job(
        mode=mode,
        output=None if arguments.output in (None, "-") else Path(arguments.output),
        in_place=arguments.in_place,
        force=arguments.force,
        num_jobs=arguments.num_jobs,
        options=Options(
            source_version=version if package == "trl" else None,
            launched_version=launched,
            num_processes=arguments.num_processes,
            base_model=arguments.base_model,
            scale_lr=arguments.scale_lr,
            ppo=arguments.ppo,
            reward_model=arguments.reward_model,
            distillation=arguments.distillation,
            strict=arguments.strict,
        ),
    )


def _tell(landing: Landing, arguments: Arguments) -> None:
    """Say what became of one file, as soon as it is known."""
    if isinstance(landing.outcome, Failed):
        console.err_failed(landing.outcome)
        if landing.trace and arguments.verbose:
            console.err(landing.trace.rstrip())
        return
    if isinstance(landing.outcome, Migrated):
        _tell_suppressions(landing.outcome, verbose=arguments.verbose)
    if arguments.check:
        _tell_check(landing)
    elif arguments.to_stdout:
        if isinstance(landing.outcome, Migrated) and landing.text and not landing.is_companion:
            console.out_bytes(files.encode(landing.text, landing.outcome.source))
    elif arguments.diff:
        _out_diff(landing, arguments)
    else:
        _tell_written(landing, arguments)


def _tell_written(landing: Landing, arguments: Arguments) -> None:
    if landing.refusal is not None:
        console.err_failed(landing.refusal)
    elif landing.change == "unchanged" and landing.text:
        console.err(f"unchanged: {landing.output}")
    elif landing.text:
        _out_diff(landing, arguments)
        console.err(f"wrote {landing.output}")


def _out_diff(landing: Landing, arguments: Arguments) -> None:
    if arguments.format == "text" and landing.diff:
        console.out_diff(landing.diff)


def _tell_suppressions(migrated: Migrated, *, verbose: bool) -> None:
    """Warn of `mint-migrate:` comments that cannot be read; list the unused ones when asked to."""
    comments = suppressions(migrated.source.text)
    path = migrated.source.path
    for misread in comments.misread:
        console.err(
            f"{path}:{misread.line}:{misread.column}: comment not understood: {misread.message}"
        )
    if not verbose:
        return
    items = [(each.code, each.found.span) for each in migrated.decisions if each.code]
    for unused in comments.unused(items):
        listed = ",".join(unused.codes)
        console.err(f"{path}:{unused.line}:1: `ignore[{listed}]` accepts nothing and can go")


def _tell_check(landing: Landing) -> None:
    source = landing.outcome.source.path if isinstance(landing.outcome, Migrated) else ""
    if landing.change in ("new", "changed"):
        verb = "write" if landing.change == "new" else "change"
        console.err(f"{source}: would {verb} {landing.output}")
    if isinstance(landing.outcome, Migrated) and landing.outcome.text is None:
        asking = [i for i in landing.outcome.decisions if i.fidelity is Fidelity.MANUAL]
        for first in asking[:1]:
            place = f"{source}:{first.found.span.start}"
            console.err(f"{place}: {first.code} nothing can be written: {first.note}")
    if landing.change == "edited":
        console.err(f"{source}: {landing.output} was edited since it was written; not compared")
    skipped = landing.outcome.path if isinstance(landing.outcome, Skipped) else ""
    where = landing.output or skipped
    if landing.change in ("", "edited", "unchanged"):
        for todo in landing.todos:
            at = shown_place(todo.line, todo.column, todo.cell)
            console.err(f"{where}:{at}: {todo.code} {todo.message}")


def _report(
    arguments: Arguments, failures: Sequence[Failed], landings: Sequence[Landing]
) -> Report:
    entries = [Entry(outcome=failed) for failed in failures]
    entries += [_entry(arguments, landing) for landing in landings if _is_reported(landing)]
    return build(entries, version=__version__)


def _is_reported(landing: Landing) -> bool:
    return not landing.is_passed_over and (not landing.is_companion or landing.refusal is not None)


def _entry(arguments: Arguments, landing: Landing) -> Entry:
    writes = not (arguments.check or arguments.diff or arguments.to_stdout)
    return Entry(
        outcome=landing.outcome,
        output=_place(arguments, landing),
        diff=landing.diff if arguments.diff else "",
        refusal=landing.refusal if writes else None,
    )


def _place(arguments: Arguments, landing: Landing) -> str | None:
    if arguments.to_stdout:
        return "standard output"
    return None if landing.output is None else os.fspath(landing.output)


def _show(report: Report, arguments: Arguments) -> None:
    if arguments.format == "json":
        from mint_migrate.report.as_json import as_json

        console.out(as_json(report))
    if arguments.check and not arguments.verbose:
        return
    if arguments.diff:
        console.err("nothing was written")
    from mint_migrate.report.as_text import show

    show(console.err_console(), report, verbose=arguments.verbose, strict=arguments.strict)


def _write_reports(arguments: Arguments, landings: Sequence[Landing], report: Report) -> int:
    """Write the report of each file, and an index where a folder was given."""
    from mint_migrate.cli_reports import write_index, write_reports

    alone = [
        (landing.output, build([_entry(arguments, landing)], version=__version__))
        for landing in landings
        if landing.output is not None and not landing.is_companion
    ]
    folder = next((path for path in arguments.paths if path.is_dir()), None)
    status = write_reports(alone, arguments.reports, strict=arguments.strict)
    if folder is None:
        return status
    place = folder if arguments.output is None else Path(arguments.output)
    return max(status, write_index(report, place, arguments.reports, strict=arguments.strict))


def _status(
    arguments: Arguments, gathered: Gathered, landings: Sequence[Landing], report: Report
) -> int:
    if not arguments.check:
        return exit_status(report, strict=arguments.strict)
    status = 2 if gathered.failures else 0
    for landing in landings:
        alone = build([_entry(arguments, landing)], version=__version__)
        # A person has taken over an edited output: only the markers left in it count.
        asks = 0 if landing.change == "edited" else exit_status(alone, strict=arguments.strict)
        would_change = landing.change in ("new", "changed")
        status = max(status, asks, int(would_change or bool(landing.todos)))
    return status
