"""Migrate one launch of verl or OpenRLHF: its options become a whole script.

There is no module of the user's to start from. The rules of the framework fill a record, its
templates render all of the result.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from mint_migrate.check import check_text
from mint_migrate.fronts.sourced import with_origins
from mint_migrate.launches.commands import Launch, is_arguments
from mint_migrate.launches.composed import Composed, compose
from mint_migrate.launches.given import Given
from mint_migrate.launches.places import Places
from mint_migrate.launches.processes import Launcher, Read
from mint_migrate.launches.runtime_env import is_readable
from mint_migrate.launches.script import ShellScript
from mint_migrate.launches.values import Environment
from mint_migrate.model.launched_script import LaunchedScript
from mint_migrate.model.outcome import Failed, Migrated, Outcome
from mint_migrate.model.plan import Decision, Fidelity, Found, Kind
from mint_migrate.model.script import Plan
from mint_migrate.model.source import Options, Source, Span
from mint_migrate.render.imports import imports_of
from mint_migrate.render.script import render_functions
from mint_migrate.rewrite.module import rewrite_module
from mint_migrate.rules.base import Blocked
from mint_migrate.rules.launched.entries import Entry, entry_named
from mint_migrate.rules.launched.settings import NOT_FOLLOWED, Settings
from mint_migrate.shell.words import PartKind, Word
from mint_migrate.tables.lookup import Tables
from mint_migrate.tables.versions import version_key
from mint_migrate.todo import marker


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchResult:
    """The outcome of a launch, and what its script reads from the environment."""

    outcome: Outcome
    environment: Environment


@dataclass(slots=True)
class _Work:
    """One launch and what becomes of it."""

    launch: Launch
    entry: Entry
    source: Source
    options: Options
    tables: Tables
    read: Read
    shell: ShellScript
    places: Places
    composed: Composed
    environment: Environment = field(default_factory=Environment)


def migrate_launch(
    launch: Launch,
    source: Source,
    options: Options,
    tables: Tables,
    read: Read,
    shell: ShellScript,
    places: Places,
) -> LaunchResult:
    """Migrate one launch. Files that it names are read, nothing is executed."""
    assert launch.framework is not None
    assert launch.method is not None
    entry = entry_named(launch.framework, launch.method)
    work = _Work(
        launch=launch,
        entry=entry,
        source=source,
        options=options,
        tables=tables,
        read=read,
        shell=shell,
        places=places,
        composed=Composed(options=list(launch.flags)),
    )
    if launch.framework == "verl":
        work.composed = compose(launch.flags, launch.program, read)
    version, evidence = _version(work)
    launcher = Launcher(tables=tables, read=read)
    if launch.launcher is not None:
        launcher.decide(launch.launcher, launch.launcher_flags)
    launcher.decide("ray", launch.submission)
    settings = _settings(work, version, launcher)
    if launch.is_copy:
        settings.summary.append(_of_copy(launch))
    strays = list(_strays(work))
    apart = [*work.composed.decisions, *launcher.decisions, *strays]
    script: LaunchedScript | None = None
    problem: Blocked | None = None
    try:
        script = entry.plan(settings, read)
        decisions = settings.finish()
    except Blocked as blocked:
        problem = blocked
        decisions = _blocked(settings, blocked)
    text = None
    if script is not None:
        todos = _markers([*decisions, *apart])
        script = replace(script, fields=tuple(settings.fields.values()), todos=todos)
        text = _write(work, script, settings, version)
        problems = check_text(text, tables)
        if problems:
            return LaunchResult(outcome=_failed(source, problems), environment=work.environment)
    notices = (*settings.notices, *launcher.notices, *_about(work))
    if problem is not None:
        notices += (f"{problem.code}: {problem.note}",)
    options_given = [*launch.flags, *launch.launcher_flags, *launch.submission]
    outcome = Migrated(
        source=source,
        framework=launch.framework,
        version=version,
        evidence=evidence,
        decisions=with_origins((*decisions, *apart), options_given),
        text=text,
        notices=tuple(dict.fromkeys(notices)),
    )
    return LaunchResult(outcome=outcome, environment=work.environment)


def _about(work: _Work) -> Iterator[str]:
    """Yield what a reader should know of the command itself."""
    launch = work.launch
    line = work.places.span(launch.start, launch.end).line
    if launch.is_copy:
        yield _of_copy(launch)
    for word in launch.assumed:
        default = word.parts[0].default
        yield f"line {line}: `{word.source}` is taken as `{default}`, which is its default"
    if not launch.is_reached:
        yield f"line {line}: the script does not get to this command, as its text shows"
    if launch.cut_off:
        first = launch.cut_off[0]
        where = work.places.span(first.start, first.end).line
        yield (
            f"line {where}: a comment ends the command above, so `{first.source}` and what follows "
            "are not given to it"
        )
    yield from _about_ray(work)


def _of_copy(launch: Launch) -> str:
    """Return what is said of an entry point that the user copied and may have changed."""
    return (
        f"MM327: `{launch.program}` is a copy of `{launch.method}`; what it changes is not in the "
        "result"
    )


def _about_ray(work: _Work) -> Iterator[str]:
    """Yield what becomes of the cluster that the original runs on."""
    for command in work.shell.commands:
        texts = [word.text for word in command.words[:2]]
        if texts in (["ray", "start"], ["ray", "stop"]):
            line = work.places.span(command.start, command.end).line
            yield f"line {line}: the result needs no `{' '.join(map(str, texts))}`"
    for given in work.launch.submission:
        if "env_vars" in given.source_text and not is_readable(given):
            yield (
                f"line {given.span.line}: the variables in `--runtime-env-json` cannot be read; "
                "set them before the converted script"
            )


def _version(work: _Work) -> tuple[str, tuple[str, ...]]:
    """Return the release a launch was written for, and the evidence."""
    known = work.options.launched_version
    if known is not None and known[0] == work.launch.framework:
        oldest = work.tables.releases(known[0])[0]
        if version_key(known[1]) < version_key(oldest):
            return oldest, (f"{known[2]}; {oldest} is the oldest recorded release",)
        return known[1], (known[2],)
    keys = frozenset(flag.name for flag in work.composed.options)
    return work.entry.infer_version(keys, work.tables)


def _settings(work: _Work, version: str, launcher: Launcher) -> Settings:
    number = launcher.num_processes
    if work.options.num_processes != 1:
        number = work.options.num_processes
    given: dict[str, Given] = {}
    overridden: list[Given] = []
    for flag in work.composed.options:
        name = work.entry.canonical(flag.name, work.tables)
        if name in given:
            overridden.append(given[name])
        given[name] = flag if name == flag.name else replace(flag, name=name)
    return Settings(
        owner=work.entry.owner,
        version=version,
        tables=work.tables,
        given=given,
        environment=work.environment,
        num_processes=number,
        critic_free=work.options.ppo == "critic-free",
        headless=work.options.reward_model == "generative",
        candidates=work.shell.candidates,
        programs=tuple(_programs(work.shell)),
        overridden=tuple(overridden),
    )


def _programs(shell: ShellScript) -> Iterator[str]:
    """Yield the Python files that commands name, without what stands for a folder before them."""
    for command in shell.commands:
        for word in command.words:
            path = word.text or _end(word)
            if path.endswith(".py"):
                yield path


def _end(word: Word) -> str:
    """Return the text behind all that only the shell knows, as a path of its own."""
    texts = (part.text if part.kind is PartKind.TEXT else "\n" for part in word.parts)
    return "".join(texts).rpartition("\n")[2].lstrip("/")


def _strays(work: _Work) -> Iterator[Decision]:
    """Yield one decision for each word that belongs to no option."""
    for word in work.launch.strays:
        found = Found(
            kind=Kind.FLAG,
            name=f"{work.launch.framework}.{word.source}",
            span=work.places.span(word.start, word.end),
            source_text=word.source,
            path=work.places.path(word.start),
        )
        if is_arguments(word):
            yield Decision(
                found=found,
                fidelity=Fidelity.APPROXIMATE,
                code="MM380",
                target="parse_config",
                note="what the launcher is given goes to the result, which takes `--name value` "
                "for the fields of its `Config`",
            )
            continue
        yield Decision(
            found=found,
            fidelity=Fidelity.MANUAL,
            code="MM123",
            note=f"`{word.source}` stands for options that the text does not show; write them out",
        )


def _blocked(settings: Settings, problem: Blocked) -> tuple[Decision, ...]:
    """Nothing is written, so every option is for a person, with the reason."""
    return tuple(
        replace(item, fidelity=Fidelity.MANUAL, code=problem.code, target="", note=problem.note)
        if item.fidelity is not Fidelity.MANUAL or item.code == NOT_FOLLOWED
        else item
        for item in settings.finish()
    )


def _markers(decisions: Sequence[Decision]) -> tuple[str, ...]:
    """Return the comments for what a person has to settle."""
    asking = [item for item in decisions if item.fidelity is Fidelity.MANUAL]
    texts = (
        (item, f"`{' '.join(item.found.source_text.split())}`: {item.note}") for item in asking
    )
    return tuple(dict.fromkeys(marker(item.code or "MM290", text) for item, text in texts))


def _write(work: _Work, script: LaunchedScript, settings: Settings, version: str) -> str:
    body = render_functions(script)
    name = work.source.path.replace("\\", "/").rsplit("/", 1)[-1]
    title = {"verl": "verl", "openrlhf": "OpenRLHF"}[work.entry.owner.framework]
    headline = (
        f"{script.headline} on MinT, converted from {name} ({title} {version}, "
        f"{work.launch.method})."
    )
    plan = Plan(
        version=version,
        evidence=(),
        decisions=(),
        imports=imports_of(body),
        summary=tuple(settings.summary),
    )
    return rewrite_module("", ast.parse(""), plan, body, headline)


def _failed(source: Source, problems: Sequence[str]) -> Failed:
    return Failed(
        path=source.path,
        code="MM901",
        reason=f"the converted script fails its own checks ({'; '.join(problems[:5])}); nothing "
        "was written",
        hint="this is a bug of mint-migrate: please report it with the launcher",
        span=Span(line=1, column=1, end_line=1, end_column=1),
    )
