"""Which release of TRL a script was written for, and what says so."""

from __future__ import annotations

from mint_migrate.model.facts import Facts
from mint_migrate.model.source import Options
from mint_migrate.tables.lookup import TRAINING_ARGUMENTS, Tables


def infer_version(facts: Facts, tables: Tables, options: Options) -> tuple[str, tuple[str, ...]]:
    """Return a release and the evidence for it.

    A release given by the user or pinned by the project wins. Otherwise it is the newest recorded
    one that has every keyword the script passes to trainers and configurations; where no release
    has them all, the one with the most.
    """
    if options.source_version is not None:
        return options.source_version, ("given with --source-version",)
    if options.project_version is not None:
        version, evidence = options.project_version
        return version, (evidence,)
    used = keywords_used(facts, tables)
    releases = tables.versions
    newest = releases[-1]
    best, best_missing = newest, _missing(used, newest, tables)
    if all(keyword == "tokenizer" for _, keyword in best_missing) and _is_unsloth(facts):
        # Unsloth hands it on under the name that the installed release has.
        best_missing = frozenset()
    for release in reversed(releases[:-1]):
        if not best_missing:
            break
        missing = _missing(used, release, tables)
        if len(missing) < len(best_missing):
            best, best_missing = release, missing
    if best == newest:
        return newest, ("the newest recorded release has every keyword used",)
    gone = sorted(name for _, name in _missing(used, newest, tables) - best_missing)
    shown = ", ".join(f"`{name}`" for name in gone[:4])
    return best, (f"{shown} {'is' if len(gone) == 1 else 'are'} in no later release",)


def _is_unsloth(facts: Facts) -> bool:
    return any(item.qualified.split(".", 1)[0] == "unsloth" for item in facts.imports)


def keywords_used(facts: Facts, tables: Tables) -> frozenset[tuple[str, str]]:
    """Return (class, keyword) for each keyword passed to the classes that date a script."""
    found = set()
    for call in facts.calls:
        canonical = tables.canonical(call.qualified)
        if canonical != TRAINING_ARGUMENTS and not tables.is_recorded(canonical):
            continue
        for argument in call.arguments:
            if argument.keyword is not None:
                found.add((canonical, argument.keyword))
    return frozenset(found | _parsed_options(facts, tables))


def _parsed_options(facts: Facts, tables: Tables) -> set[tuple[str, str]]:
    """Return (class, option) for each option that the script reads of what a parser made."""
    owners: dict[str, set[str]] = {}
    for item in facts.parsed:
        if item.made.qualified is not None:
            owners.setdefault(item.name, set()).add(tables.canonical(item.made.qualified))
    return {
        (owner, attribute)
        for name, attribute in facts.attributes_read
        for owner in owners.get(name, ())
        if any(attribute in tables.accepted(release, owner) for release in tables.versions)
    }


def _missing(
    used: frozenset[tuple[str, str]], release: str, tables: Tables
) -> frozenset[tuple[str, str]]:
    return frozenset(
        (owner, keyword)
        for owner, keyword in used
        if keyword not in tables.accepted(release, owner)
    )
