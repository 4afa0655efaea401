"""Migrate one `trl` command: its options become a script, which goes through the usual stages.

What is decided about a line of that script is decided about the options that the line comes from.
Of several outcomes for one option the one that costs most counts.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from mint_migrate.fronts.draft import Draft, Request, write_draft
from mint_migrate.fronts.sourced import with_origins
from mint_migrate.launches.given import ConfigError, Given, literal, read_yaml
from mint_migrate.launches.options import (
    ADAPTER,
    Part,
    config_of,
    launcher_row,
    option_row,
    part_of,
)
from mint_migrate.launches.places import place_words
from mint_migrate.launches.processes import Launcher, Read, found_of
from mint_migrate.launches.values import Environment, is_true
from mint_migrate.model.outcome import Migrated, Outcome
from mint_migrate.model.plan import Decision, Fidelity, Found, Kind
from mint_migrate.model.source import Options, Source, Span
from mint_migrate.pipeline import Origin, migrate_source
from mint_migrate.tables.lookup import Tables
from mint_migrate.todo import marker

_COST = (Fidelity.EXACT, Fidelity.DROPPED, Fidelity.APPROXIMATE, Fidelity.MANUAL)
_LINE = re.compile(r"\bline (\d+)\b")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrlCommand:
    """One command, or one configuration file that is given alone."""

    method: str
    """A key of `METHODS`."""
    flags: Sequence[Given]
    span: Span
    """Where the command stands; for what no option answers for."""
    launcher: str | None = None
    launcher_flags: Sequence[Given] = ()
    strays: Sequence[Found] = ()
    """Words that belong to no option."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandResult:
    """The outcome of a command, and what its script reads from the environment."""

    outcome: Outcome
    environment: Environment


@dataclass(slots=True)
class _Work:
    """Everything given, and the decisions as they are made."""

    command: TrlCommand
    source: Source
    tables: Tables
    launcher: Launcher
    given: list[Given] = field(default_factory=list)
    """All options of the training script, those of the configuration file included."""
    options: dict[str, Given] = field(default_factory=dict)
    decided: dict[int, Decision] = field(default_factory=dict)
    """By identity of the option."""

    def part(self, given: Given) -> Part:
        """Return what reads an option."""
        return part_of(given.name, self.command.method, self.tables)

    def name_of(self, given: Given) -> str:
        """Return the qualified name under which reports show an option."""
        if self.part(given) is Part.LAUNCHER:
            return launcher_row("accelerate", given.name)
        row = option_row(given.name, self.command.method, self.tables)
        if row is not None and row.id.startswith("trl."):
            return row.id
        return f"{config_of(self.command.method)}.{given.name}"

    def put(
        self, given: Given, fidelity: Fidelity, code: str | None, target: str, note: str = ""
    ) -> None:
        """Decide an option that no line of the script stands for."""
        name = self.name_of(given)
        row = self.tables.row(name) or option_row(given.name, self.command.method, self.tables)
        self.decided[id(given)] = Decision(
            found=found_of(given, name),
            fidelity=fidelity,
            row=row.id if row is not None else None,
            code=code,
            target=target,
            note=note,
        )

    def put_row(self, given: Given) -> None:
        """Decide an option as its row says."""
        row = option_row(given.name, self.command.method, self.tables)
        assert row is not None, f"the part of {given.name} is that of its row"
        is_neutral = literal(given.data if given.kind is Kind.CONFIG_KEY else given.text)
        if is_neutral.replace('"', "'") in row.neutral:
            self.put(given, Fidelity.EXACT, None, row.to, "has no effect with this value")
        else:
            self.put(given, row.fidelity, row.code, row.to, row.note)


def migrate_command(
    command: TrlCommand, source: Source, options: Options, tables: Tables, read: Read
) -> CommandResult:
    """Migrate one command. Files that it names are read, nothing is executed."""
    work = _Work(
        command=command, source=source, tables=tables, launcher=Launcher(tables=tables, read=read)
    )
    _gather(work, read)
    work.launcher.decide(command.launcher or "accelerate", command.launcher_flags)
    _decide_apart(work)
    strays = _strays(work)
    request = Request(
        method=command.method,
        options=work.options,
        tables=tables,
        markers=_markers([*work.decided.values(), *work.launcher.decisions, *strays]),
    )
    draft, text = write_draft(request)
    origin = Origin(reword=lambda sentence: _reworded(sentence, draft, command.span))
    script = replace(source, content=text.encode(), text=text)
    outcome = migrate_source(script, _with_processes(work, options), tables, origin)
    if isinstance(outcome, Migrated):
        outcome = _put_back(work, draft, outcome, strays)
    return CommandResult(outcome=outcome, environment=draft.environment)


def _gather(work: _Work, read: Read) -> None:
    """Collect the options: the command line counts before its configuration file."""
    keys: list[Given] = []
    for flag in work.command.flags:
        if flag.name == "config" and flag.kind is Kind.FLAG:
            keys += _config_keys(work, flag, read)
    work.given = [*work.command.flags, *keys]
    for given in [*keys, *work.command.flags]:
        earlier = work.options.get(given.name)
        if earlier is not None:
            note = f"another value is given in {place_words(given.span, given.path)}"
            work.put(earlier, Fidelity.EXACT, None, "nothing", note)
        work.options[given.name] = given


def _config_keys(work: _Work, flag: Given, read: Read) -> list[Given]:
    path = flag.text or ""
    text = read(path)
    problem = f"`{path or flag.source_text}` is not here; its options are missing in the result"
    if text is not None:
        try:
            keys = read_yaml(text, path)
            work.put(flag, Fidelity.EXACT, None, "the script", "its keys are decided one by one")
            return keys
        except ConfigError as error:
            problem = f"`{path}` cannot be read: {error}"
    work.put(flag, Fidelity.MANUAL, "MM122", "", problem)
    return []


def _decide_apart(work: _Work) -> None:
    """Decide the options that are not part of a script."""
    switch = work.options.get("use_peft")
    has_adapter = switch is not None and is_true(switch)
    for given in work.options.values():
        part = work.part(given)
        if id(given) in work.decided:
            continue
        if part is Part.LAUNCHER:
            before = len(work.launcher.decisions)
            work.launcher.decide("accelerate", [given])
            work.decided[id(given)] = work.launcher.decisions.pop(_own(work, given, before))
        elif part in {Part.LOADING, Part.SCRIPT}:
            work.put_row(given)
        elif given.name in ADAPTER and not has_adapter:
            work.put(given, Fidelity.EXACT, None, "nothing", "has no effect without `use_peft`")
        elif part is Part.FILE:
            work.put(given, Fidelity.EXACT, None, "os.environ")
        elif given.name == "deepspeed" and given.text:
            work.launcher.deepspeed_file(given, work.name_of(given), decides_itself=False)


def _own(work: _Work, given: Given, start: int) -> int:
    """Return the index of the decision about *given* itself among those that a file added."""
    decisions = work.launcher.decisions
    return next(
        index
        for index in range(start, len(decisions))
        if (decisions[index].found.span, decisions[index].found.path) == (given.span, given.path)
    )


def _strays(work: _Work) -> list[Decision]:
    """Return one decision for each word that belongs to no option."""
    return [
        Decision(
            found=found,
            fidelity=Fidelity.MANUAL,
            code="MM123",
            note=f"`{found.source_text}` stands for options that the text does not show; "
            "write them out",
        )
        for found in work.command.strays
    ]


def _markers(decisions: Sequence[Decision]) -> list[str]:
    """Return the comments for what no line of the script shows and a person has to settle."""
    asking = [item for item in decisions if item.fidelity is Fidelity.MANUAL]
    texts = (f"`{' '.join(item.found.source_text.split())}`: {item.note}" for item in asking)
    marked = zip(asking, texts, strict=True)
    return list(dict.fromkeys(marker(item.code or "MM290", text) for item, text in marked))


def _with_processes(work: _Work, options: Options) -> Options:
    number = work.launcher.num_processes
    if number is None or options.num_processes != 1:
        return options
    noun = "process" if number == 1 else "processes"
    work.launcher.notices.append(f"the launcher starts {number} {noun}")
    return replace(options, num_processes=number)


def _reworded(sentence: str, draft: Draft, span: Span) -> str:
    """Name the option's line in place of the line of the draft."""

    def named(match: re.Match[str]) -> str:
        owners = draft.owners.get(int(match[1]))
        return place_words(owners[0].span, owners[0].path) if owners else place_words(span, "")

    return _LINE.sub(named, sentence)


def _as_counted(notice: str) -> str:
    """Name the launcher where the pipeline takes a number of processes for an option of ours."""
    return notice.replace("as given with --num-processes", "as the launcher starts them")


def _put_back(work: _Work, draft: Draft, outcome: Migrated, strays: list[Decision]) -> Migrated:
    """Return the outcome with its decisions about options instead of lines."""
    by_option: dict[int, list[Decision]] = {}
    rest = work.options.get("model_name_or_path") or next(iter(work.given), None)
    orphans: list[str] = []
    for decision in outcome.decisions:
        owners = draft.owners.get(decision.found.span.line, ())
        if not owners and decision.fidelity is not Fidelity.EXACT:
            if rest is None:
                orphans.append(f"{decision.code}: {decision.note}")
            else:
                owners = (rest,)
        for owner in owners:
            by_option.setdefault(id(owner), []).append(decision)
    decisions = [_of_option(work, given, by_option.get(id(given), [])) for given in work.given]
    decisions += [*work.launcher.decisions, *strays]
    if outcome.text is None:
        decisions = _not_converted(outcome, decisions)
    notices = outcome.notices
    if work.launcher.num_processes is not None:
        notices = tuple(map(_as_counted, notices))
    return replace(
        outcome,
        source=work.source,
        decisions=with_origins(decisions, [*work.given, *work.command.launcher_flags]),
        notices=(*notices, *work.launcher.notices, *dict.fromkeys(orphans)),
    )


def _not_converted(outcome: Migrated, decisions: Sequence[Decision]) -> list[Decision]:
    """Nothing is written, so every option of the command is for a person."""
    reason = next(item for item in outcome.decisions if item.fidelity is Fidelity.MANUAL)
    return [
        item
        if item.fidelity is Fidelity.MANUAL
        else replace(item, fidelity=Fidelity.MANUAL, code=reason.code, target="", note=reason.note)
        for item in decisions
    ]


def _of_option(work: _Work, given: Given, decisions: Sequence[Decision]) -> Decision:
    """Return the one decision about an option."""
    apart = work.decided.get(id(given))
    candidates = ([apart] if apart is not None else []) + list(decisions)
    found = found_of(given, work.name_of(given))
    if not candidates:
        target = "load_dataset" if given.name.startswith("dataset") else "the script"
        return Decision(found=found, fidelity=Fidelity.EXACT, target=target)
    worst = max(candidates, key=lambda item: _COST.index(item.fidelity))
    lost = [item for item in candidates if item.fidelity is not Fidelity.EXACT]
    further = dict.fromkeys(
        f"{item.code}: {item.note}"
        for item in lost
        if (item.code, item.note) != (worst.code, worst.note)
    )
    return replace(worst, found=found, note="; ".join([worst.note, *further]))
