"""Migrate shell scripts that start training, and configuration files of `trl` commands.

A `trl` command becomes a Python script. Where the shell script does more than that one command, it
gets a copy in which the command starts the result; everything else in the copy keeps its bytes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from mint_migrate.detect import mentions_source_package
from mint_migrate.fronts.launched import LaunchResult, migrate_launch
from mint_migrate.fronts.sourced import about_sourced, is_placed, launches_in_files, with_edits
from mint_migrate.fronts.trl_command import CommandResult, TrlCommand, migrate_command
from mint_migrate.launches.commands import Launch, find_launches, hidden_commands
from mint_migrate.launches.given import ConfigError, read_yaml
from mint_migrate.launches.methods import METHODS
from mint_migrate.launches.places import Places
from mint_migrate.launches.processes import Launcher, Read
from mint_migrate.launches.script import ShellScript, read_shell
from mint_migrate.model.outcome import Companion, Failed, Migrated, Outcome, Skipped
from mint_migrate.model.plan import Decision, Fidelity, Found, Kind
from mint_migrate.model.source import Options, Source, Span
from mint_migrate.shell.words import Word
from mint_migrate.tables.lookup import Tables
from mint_migrate.todo import marker

_WORTH = re.compile(
    r"(?<![\w.-])(?:trl|verl|openrlhf)(?![\w-])|\.py\b|recipe\."
    r"|actor_rollout_ref\.|data\.train_files|micro_train_batch_size"
)
_SOURCES = re.compile(r"(?:^|[\s;&|])(?:source|\.)[ \t]")
_MODEL_KEYS = frozenset({"model_name_or_path", "dataset_name", "datasets"})


@dataclass(slots=True)
class _Work:
    """One shell script and what becomes of its commands."""

    source: Source
    shell: ShellScript
    options: Options
    tables: Tables
    read: Read
    places: Places
    mark: str
    """What stands behind the stem in the names of the results."""
    edits: list[tuple[int, int, str]] = field(default_factory=list)
    """(start, end, text) of the script."""
    marks: list[tuple[int, int, str]] = field(default_factory=list)
    """The same for comments that ask a person to act."""
    done: list[Migrated] = field(default_factory=list)
    scripts: list[tuple[str, str]] = field(default_factory=list)
    """(what stands between stem and `.py`, text) of the scripts written."""
    read_names: set[str] = field(default_factory=set)
    """Variables that the scripts find in their environment."""


def migrate_launcher(
    source: Source, options: Options, tables: Tables, read: Read, mark: str = "_mint"
) -> Outcome:
    """Migrate a shell script. Files that it names are read, nothing is executed.

    *mark* stands behind the stem in the names of its results.
    """
    if not _WORTH.search(source.text) and not _SOURCES.search(source.text):
        return _no_training(source)
    shell = read_shell(source.text, read)
    places = Places(source.text, shell.pages)
    launches = [*find_launches(shell, places), *launches_in_files(shell, places)]
    all_of_them = [launch for launch in launches if launch.method or _is_trl_script(launch, read)]
    mine = [launch for launch in all_of_them if is_placed(launch, shell)]
    elsewhere = [launch for launch in all_of_them if launch not in mine]
    hidden = hidden_commands(shell, launches)
    if not all_of_them and not hidden:
        return _no_training(source)
    work = _Work(
        source=source,
        shell=shell,
        options=options,
        tables=tables,
        read=read,
        places=places,
        mark=mark,
    )
    if hidden:
        _in_strings(work, hidden)
    if elsewhere:
        _in_files(work, elsewhere)
    own = [launch for launch in mine if launch.method]
    for launch in mine:
        if launch.method is None:
            _user_script(work, launch)
        elif (failed := _training(work, launch, own)) is not None:
            return failed
    outcome = _joined(work, mine)
    return replace(outcome, notices=(*outcome.notices, *about_sourced(shell, places)))


def migrate_config(source: Source, options: Options, tables: Tables, read: Read) -> Outcome:
    """Migrate a configuration file of a `trl` command that is given alone."""
    try:
        keys = read_yaml(source.text)
    except ConfigError as error:
        return Failed(path=source.path, code="MM101", reason=str(error), hint="save it as YAML")
    names = {key.name for key in keys}
    if not names & _MODEL_KEYS:
        reason = "this configuration names neither a model nor a data set"
        return Skipped(path=source.path, code="MM107", reason=reason)
    method = _method_of(source, names, tables)
    if method is None:
        return Failed(
            path=source.path,
            code="MM121",
            reason="the configuration does not say which trainer it is for",
            hint="name the file after it, such as `sft.yaml`, or give the script with the command",
        )
    start = Span(line=1, column=1, end_line=1, end_column=2)
    command = TrlCommand(method=method, flags=keys, span=start)
    return migrate_command(command, source, options, tables, read).outcome


def _no_training(source: Source) -> Skipped:
    reason = "no command here trains with a framework that can be migrated"
    return Skipped(path=source.path, code="MM107", reason=reason)


def _in_strings(work: _Work, words: Sequence[Word]) -> None:
    """Commands that another shell reads, here or elsewhere, are for a person."""
    note = "the command stands inside a string; put it into a script of its own"
    decisions = [
        Decision(found=_found(work, "trl", word), fidelity=Fidelity.MANUAL, code="MM123", note=note)
        for word in words
    ]
    work.marks += [
        (start, start, f"{marker('MM123', note)}\n")
        for start in dict.fromkeys(work.places.line_start(word.start) for word in words)
    ]
    work.done.append(_outcome(work, decisions, text=None))


def _in_files(work: _Work, launches: Sequence[Launch]) -> None:
    """Commands that run while their file is sourced, or in one sourced twice, are for a person."""
    note = "the command stands in a file that is sourced, not in a function; put it into the script"
    decisions = [
        Decision(
            found=Found(
                kind=Kind.FLAG,
                name=launch.framework or "trl",
                span=work.places.span(launch.start, launch.script_end),
                source_text=launch.program,
                path=work.places.path(launch.start),
            ),
            fidelity=Fidelity.MANUAL,
            code="MM123",
            note=note,
        )
        for launch in launches
    ]
    outcome = _outcome(work, decisions, text=None)
    framework = launches[0].framework
    if framework in {"verl", "openrlhf"}:
        version = work.tables.releases(framework)[-1]
        outcome = replace(outcome, framework=framework, version=version)
    work.done.append(outcome)


def _found(work: _Work, name: str, word: Word) -> Found:
    return Found(
        kind=Kind.FLAG,
        name=name,
        span=work.places.span(word.start, word.end),
        source_text=word.source,
        path=work.places.path(word.start),
    )


def _outcome(
    work: _Work, decisions: Sequence[Decision], *, text: str | None, notices: tuple[str, ...] = ()
) -> Migrated:
    """Return the outcome of a command that is not a script's."""
    version = work.options.source_version or (work.options.project_version or ("", ""))[0]
    return Migrated(
        source=work.source,
        framework="trl",
        version=version or work.tables.versions[-1],
        evidence=(),
        decisions=tuple(decisions),
        text=text,
        notices=notices,
    )


def _is_trl_script(launch: Launch, read: Read) -> bool:
    """Say whether a command starts a script that uses a source framework, as its text shows."""
    if launch.script is None or launch.script.endswith("_mint.py"):
        return False
    text = read(launch.script)
    return text is not None and mentions_source_package(text.encode())


def _training(work: _Work, launch: Launch, own: Sequence[Launch]) -> Failed | None:
    """Migrate one command that trains; return why that failed, if it did."""
    if launch.framework == "trl":
        result: CommandResult | LaunchResult = _trl_command(work, launch)
    else:
        result = migrate_launch(
            launch,
            work.source,
            work.options,
            work.tables,
            work.read,
            work.shell,
            work.places,
        )
    if isinstance(result.outcome, Failed):
        return result.outcome
    assert isinstance(result.outcome, Migrated), "a command of the framework is not skipped"
    work.done.append(result.outcome)
    if result.outcome.text is None:
        reason = result.outcome.decisions[0]
        line = marker(reason.code or "MM201", reason.note)
        work.marks.append((launch.line, launch.line, f"{line}\n"))
    else:
        infix = _infix(launch, own, work.mark)
        work.scripts.append((infix, result.outcome.text))
        work.edits.append((launch.start, launch.end, _call(work, infix, result, launch)))
        work.read_names |= result.environment.inherited.keys()
    return None


def _trl_command(work: _Work, launch: Launch) -> CommandResult:
    assert launch.method is not None
    command = TrlCommand(
        method=launch.method,
        flags=launch.flags,
        span=work.places.span(launch.start, launch.script_end),
        launcher=launch.launcher,
        launcher_flags=launch.launcher_flags,
        strays=[_found(work, f"trl.{word.source}", word) for word in launch.strays],
    )
    return migrate_command(command, work.source, work.options, work.tables, work.read)


def _infix(launch: Launch, own: Sequence[Launch], mark: str) -> str:
    """Return what tells the script of a command from those of the others."""
    if len(own) == 1:
        return mark
    same = [other for other in own if other.method == launch.method]
    number = f"_{same.index(launch) + 1}" if len(same) > 1 else ""
    return f"_{launch.method}{number}_mint"


def _call(work: _Work, infix: str, result: CommandResult | LaunchResult, launch: Launch) -> str:
    """Return the command that starts a converted script, with what it needs to be told."""
    stem = work.source.path.replace("\\", "/").rsplit("/", 1)[-1].rpartition(".")[0]
    passed = [f"{name}={source}" for name, source in launch.variables]
    passed += [f"{name}={source}" for name, source in result.environment.sources.items()]
    lead = f"env {' '.join(passed)} " if passed else ""
    # TRL's options have no counterpart on the result's command line.
    handed = ' "$@"' if launch.framework != "trl" and launch.hands_arguments_on else ""
    script = f'"$(dirname "$0")/{stem}{infix}.py"'
    if "#SBATCH" in work.source.text or launch.nested is not None:
        # Elsewhere `$0` is another program: the command runs in the folder of the launcher.
        script = f"{stem}{infix}.py"
    call = f"{lead}python {script}{handed}"
    return call if launch.nested is None else launch.nested.written(call, launch.inner_names)


def _user_script(work: _Work, launch: Launch) -> None:
    """Start the converted script of the user's instead, in one process."""
    assert launch.script is not None
    launcher = Launcher(tables=work.tables, read=work.read)
    launcher.decide(launch.launcher or "accelerate", launch.launcher_flags)
    number = launcher.num_processes or 1
    decisions = [_counted(item, number, launch.script) for item in launcher.decisions]
    converted = f"{launch.script.removesuffix('.py')}_mint.py"
    notice = f"`{launch.script}` is migrated on its own"
    if number != 1:
        notice += f", with `--num-processes {number}`"
    arguments = work.source.text[launch.script_end : launch.end]
    work.edits.append((launch.start, launch.end, f"python {converted}{arguments}"))
    manual = [item for item in decisions if item.fidelity is Fidelity.MANUAL]
    markers = dict.fromkeys(marker(item.code or "MM290", item.note) for item in manual)
    if markers:
        work.marks.append((launch.line, launch.line, "".join(f"{line}\n" for line in markers)))
    work.done.append(_outcome(work, decisions, text="", notices=(notice,)))


def _counted(decision: Decision, number: int, script: str) -> Decision:
    """A number of processes is for a person: the user's script is migrated by another run."""
    if decision.target != "batch_size" or number == 1 or "gradient" in decision.found.name:
        return decision
    return replace(
        decision,
        fidelity=Fidelity.MANUAL,
        code="MM223",
        target="",
        note=f"migrate `{script}` with `--num-processes {number}`",
    )


def _joined(work: _Work, launches: Sequence[Launch]) -> Migrated:
    """Return the outcomes of all commands as one."""
    first = work.done[0]
    decisions = tuple(item for outcome in work.done for item in outcome.decisions)
    notices = dict.fromkeys(item for outcome in work.done for item in outcome.notices)
    evidence = dict.fromkeys(item for outcome in work.done for item in outcome.evidence)
    joined = replace(
        first,
        source=work.source,
        decisions=decisions,
        notices=tuple(notices),
        evidence=tuple(evidence),
        partial=any(outcome.partial or outcome.text is None for outcome in work.done),
        text=None,
    )
    if not work.edits:
        return joined
    shell = _edited(work)
    has_own = any(launch.method is None for launch in launches)
    needs_shell = len(work.done) > 1 or has_own or not work.shell.only_sets_up
    needs_shell |= any("env " in text for _, _, text in work.edits)
    needs_shell |= any(launch.nested is not None for launch in launches)
    needs_shell |= any(launch.sets_more for launch in launches)
    needs_shell |= not work.read_names.isdisjoint(work.shell.sets)
    if len(work.scripts) == 1 and not has_own and len(work.done) == 1:
        beside = (Companion(ending="_mint.sh", text=shell),) if needs_shell else ()
        return replace(joined, text=work.scripts[0][1], companions=beside)
    companions = tuple(Companion(ending=f"{infix}.py", text=text) for infix, text in work.scripts)
    return replace(joined, text=shell, suffix=".sh", companions=companions)


def _edited(work: _Work) -> str:
    return with_edits(work.shell, [*work.edits, *work.marks])


def _method_of(source: Source, names: set[str], tables: Tables) -> str | None:
    """Return the method a configuration is for: by its name, a comment in it, or its keys."""
    name = source.path.replace("\\", "/").rsplit("/", 1)[-1].lower()
    words = [word for word in re.split(r"[^a-z]+", name) if word in METHODS]
    commented = re.findall(r"^\s*#.*\btrl\s+(\w+)", source.text, re.MULTILINE)
    found = dict.fromkeys([*words, *(word for word in commented if word in METHODS)])
    if found:
        return next(iter(found)) if len(found) == 1 else None
    fitting = [
        method
        for method, trainer in METHODS.items()
        if any(f"trl.{trainer}Config.{name}" in tables for name in names)
    ]
    return fitting[0] if len(fitting) == 1 else None
