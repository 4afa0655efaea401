"""Python files of verl that start a training by options of their own: converted like a launcher.

The file is read as the launch it stands for when everything that training depends on is in its
options: no trainer of the file's own, no function that is handed over, no value that only the
running script knows.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import replace

from mint_migrate.analyse.facts import collect
from mint_migrate.fronts.launched import migrate_launch
from mint_migrate.launches.commands import Launch, find_launches
from mint_migrate.launches.given import Given
from mint_migrate.launches.hydra import read_value
from mint_migrate.launches.places import Places
from mint_migrate.launches.processes import Read
from mint_migrate.launches.script import read_shell
from mint_migrate.model.facts import ConfigEntry, Facts
from mint_migrate.model.outcome import Migrated, Outcome
from mint_migrate.model.plan import Decision, Fidelity, Kind
from mint_migrate.model.source import Options, Source, contains
from mint_migrate.tables.lookup import Tables

COMMAND = "python -m verl.trainer.main_ppo\n"
STARTS = frozenset({"verl.run_ppo", "verl.RayPPOTrainer"})
PLACED = "MM368"
_HANDED = frozenset(
    {"reward_fn", "val_reward_fn", "train_dataset", "val_dataset", "collate_fn", "train_sampler"}
)
"""Arguments of the trainer that bring code of the user's into training."""


def as_launcher(
    source: Source, outcome: Migrated, options: Options, tables: Tables, read: Read
) -> Outcome:
    """Return the outcome of a file that starts a training by options of its own.

    Args:
        source: the file.
        outcome: what became of it on its own, which is the result where it is more than that.
        options: of the migration.
        tables: what is known of verl.
        read: finds the files that options name.
    """
    facts = collect(source.text, ast.parse(source.text))
    if not facts.entries or not any(
        tables.canonical(call.qualified) in STARTS for call in facts.calls
    ):
        return outcome
    obstacle = next(_obstacles(facts), None)
    if obstacle is not None:
        notice = f"MM365: its options are not read as a launcher's: {obstacle}"
        return replace(outcome, notices=(notice, *outcome.notices))
    return _launched(source, outcome, facts, options, tables, read)


def _obstacles(facts: Facts) -> Iterator[str]:
    """Yield why the file is more than its options."""
    if facts.overridden:
        yield f"`{facts.overridden[0].class_name}` is a trainer of its own"
    if facts.batches:
        yield f"line {facts.batches[0].found.span.line} works on batches itself"
    for call in facts.calls:
        for argument in call.arguments:
            if argument.keyword in _HANDED and argument.value.literal != "None":
                yield f"`{argument.keyword}` on line {argument.found.span.line} is code of its own"
    for entry in facts.entries:
        if entry.text is None and entry.literal is None:
            yield f"`{entry.key}` on line {entry.found.span.line} is known when the script runs"


def _launched(
    source: Source,
    planned: Migrated,
    facts: Facts,
    options: Options,
    tables: Tables,
    read: Read,
) -> Outcome:
    result = migrate_launch(
        _launch(facts), source, options, tables, read, read_shell(COMMAND), Places(COMMAND)
    ).outcome
    if not isinstance(result, Migrated):
        return result
    if result.text is None:
        reason = tuple(notice for notice in result.notices if notice not in planned.notices)
        of_options = {item.found.span: item for item in result.decisions}
        decisions = tuple(
            replace(
                item, code=of_options[item.found.span].code, note=of_options[item.found.span].note
            )
            if item.found.kind is Kind.CONFIG_KEY and item.found.span in of_options
            else item
            for item in planned.decisions
        )
        return replace(planned, decisions=decisions, notices=(*reason, *planned.notices))
    own = tuple(
        _taken_over(item, tables)
        for item in planned.decisions
        if item.found.kind is not Kind.CONFIG_KEY
    )
    left = _left(facts, planned)
    notices = (f"not taken over: {left}",) if left else ()
    return replace(
        result,
        decisions=(*result.decisions, *own),
        partial=bool(left),
        notices=(*notices, *result.notices),
    )


def _launch(facts: Facts) -> Launch:
    """Return the command that the file stands for."""
    (launch,) = find_launches(read_shell(COMMAND), Places(COMMAND))
    return replace(launch, flags=tuple(map(_given, facts.entries)))


def _given(entry: ConfigEntry) -> Given:
    if entry.text is not None:
        data = read_value(entry.text)
    else:
        assert entry.literal is not None, "an obstacle otherwise"
        data = ast.literal_eval(entry.literal)
    is_number = isinstance(data, int | float) and not isinstance(data, bool)
    return Given(
        name=entry.key,
        kind=Kind.CONFIG_KEY,
        span=entry.found.span,
        source_text=entry.found.source_text,
        data=data,
        number=(entry.text or entry.literal or "") if is_number else "",
    )


def _taken_over(item: Decision, tables: Tables) -> Decision:
    """Decide a name of verl in a file whose training is written whole."""
    row = tables.row(item.found.name)
    if row is None or row.fidelity is not Fidelity.MANUAL:
        note = "the script is written whole and needs it no more"
        return replace(item, fidelity=Fidelity.EXACT, code=None, target="train", note=note)
    if row.to == "nothing":
        return replace(item, fidelity=Fidelity.DROPPED, code=row.code or PLACED, target="")
    note = "its options decide what is written"
    return replace(item, fidelity=Fidelity.EXACT, code=None, target=row.to, note=note)


def _left(facts: Facts, planned: Migrated) -> str:
    """Return the lines of simple statements that are neither verl's nor its options'."""
    places = [item.found.span for item in planned.decisions]
    options = {entry.statement for entry in facts.entries}
    lines = []
    for item in facts.statements:
        text = facts.text.split("\n")[item.span.line - 1].strip()
        is_plain = item.is_compound or text.startswith(("import ", "from ", "ray.", '"', "'"))
        is_plain |= "compose(" in text or "OmegaConf." in text
        is_known = item.span in options or any(contains(item.span, place) for place in places)
        # `main()` starts what is looked at in its own right.
        if not (is_plain or is_known or text.endswith("()")):
            lines.append(f"line {item.span.line} `{text[:60]}`")
    return ", ".join(lines)
