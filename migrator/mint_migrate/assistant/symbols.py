"""Finds symbols in the tables: classes, options and keys, qualified or bare, and reason codes."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass

from mint_migrate.tables.concepts import Concept
from mint_migrate.tables.lookup import Tables

CODE = re.compile(r"\bMM\d{3,4}\b", re.IGNORECASE)
PLACES = ("trl.SFTConfig", "transformers.TrainingArguments", "peft.LoraConfig", "trl.SFTTrainer")
"""Owners whose rows come first where several have a row of the same name."""
_OPTION = re.compile(r"^trl\s+(?P<command>[\w-]+)\s+(?P<flag>-{0,2}[\w-]+)$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """The rows that a symbol names."""

    ids: tuple[str, ...]
    """A class first, then what stands below it."""
    via: str = ""
    """How a row of another name answers, as a sentence: by inheritance, or as an option."""


def named(symbol: str, tables: Tables, version: str | None = None) -> Named | None:
    """Return the rows that *symbol* names, None where there are none.

    *symbol* is a class, a field or method of one, also one that it inherits; an option of TRL's
    command line such as `trl dpo --beta`; a key of verl or a flag of OpenRLHF, which several of
    their commands may have; or a bare name, which names all rows that end with it.

    Args:
        version: release of TRL, which decides from which class a name is inherited.
    """
    option = _OPTION.match(symbol.strip())
    if option is not None:
        row = tables.flag_row(option["command"], option["flag"], version)
        via = f"The option `--{option['flag'].lstrip('-')}` of `trl {option['command']}`."
        return Named(ids=(row.id,), via=via) if row is not None else None
    options = _options_named(symbol, tables)
    if options:
        return Named(ids=tuple(options))
    name = tables.canonical(symbol)
    below = dict.fromkeys(row.id for row in tables.rows_for(name))
    if below:
        return Named(ids=tuple(sorted(below)))
    owner, _, last = name.rpartition(".")
    if tables.bases_in(owner, version):
        row = tables.config_row(owner, last, version) or tables.attribute_row(owner, last, version)
        if row is not None:
            return Named(ids=(row.id,), via=f"`{owner}` inherits it.")
    ids = [
        row.id for each in rows_named(symbol, tables) for row in tables.rows_for(each)
    ]  # a bare class name brings its fields along
    return Named(ids=tuple(dict.fromkeys(ids))) if ids else None


def rows_named(symbol: str, tables: Tables) -> list[str]:
    """Return the ids of rows that *symbol* names: itself, or all that end with it.

    `max_length` names `trl.SFTConfig.max_length`; capitals do not matter unless some row has them.
    """
    options = _options_named(symbol, tables)
    if options:
        return options
    if symbol in tables and (row := tables.row(symbol)) is not None and "*" not in row.id:
        return [row.id]
    ids = list(dict.fromkeys(row.id for row in tables))
    exact = [name for name in ids if name.endswith(f".{symbol}")]
    lowered = symbol.lower()
    found = exact or [name for name in ids if f".{name}".lower().endswith(f".{lowered}")]
    return sorted(found, key=_place)


def _options_named(symbol: str, tables: Tables) -> list[str]:
    """Return the recorded options that *symbol* names in full: with points, dashes, or a `+`.

    A qualified one names itself; a bare word may be an option of any framework and is none here.
    """
    if tables.is_option(symbol):
        return [symbol]
    row = tables.row(symbol)
    if row is not None and row.id == tables.canonical(symbol):
        return []
    is_written = "." in symbol or symbol.startswith(("-", "+", "~"))
    return tables.options_named(symbol) if is_written else []


def concepts_named(symbol: str, tables: Tables) -> list[Concept]:
    """Return the concepts that *symbol* is a name of, qualified or bare, or the id."""
    lowered = symbol.lower()
    if lowered in tables.concepts:
        return [tables.concepts[lowered]]
    bare = lowered.rpartition(".")[2]
    return [
        concept
        for concept in tables.concepts.values()
        if any(name.lower() == lowered or _last(name) == bare for name in concept.names)
        and _same_package(lowered, concept)
    ]


def nearest_symbols(symbol: str, tables: Tables, limit: int = 5) -> list[str]:
    """Return row ids whose last part is spelled like that of *symbol*, of the same class first.

    For a key of several parts, options of a configuration that are spelled like it come first.
    """
    keys: dict[str, list[str]] = {}
    if symbol.count(".") > 1 or symbol.startswith("-"):
        for name in tables.option_names:
            keys.setdefault(name.split(".", 2)[2], []).append(name)
    like = difflib.get_close_matches(symbol.lstrip("+~-"), keys, n=limit, cutoff=0.8)
    first = [name for key in like for name in keys[key]]
    owner, _, last = tables.canonical(symbol).rpartition(".")
    by_last: dict[str, list[str]] = {}
    own: dict[str, list[str]] = {}
    owners = {owner, *_ancestors(owner, tables)} - {""}
    ids = (row.id for row in tables)
    for each in dict.fromkeys([*ids, *tables.option_names]):
        place, _, name = each.rpartition(".")
        by_last.setdefault(name.lower(), []).append(each)
        if place in owners:
            own.setdefault(name.lower(), []).append(each)
    found = [
        name
        for table in (own, by_last)
        for each in difflib.get_close_matches(last.lower(), table, n=limit, cutoff=0.7)
        for name in sorted(set(table[each]), key=_place)
    ]
    return list(dict.fromkeys([*first, *found]))[:limit]


def _ancestors(owner: str, tables: Tables) -> set[str]:
    """Return every recorded base of a class, and theirs."""
    bases = tables.bases_in(owner)
    return set(bases).union(*(_ancestors(base, tables) for base in bases))


def nearest_codes(code: str, tables: Tables, limit: int = 3) -> list[str]:
    """Return the reason codes whose numbers are nearest to that of *code*."""
    digits = re.sub(r"\D", "", code)
    if not digits:
        return list(tables.codes[:limit])
    number = int(digits)
    return sorted(sorted(tables.codes, key=lambda each: abs(int(each[2:]) - number))[:limit])


def _place(name: str) -> tuple[int, str]:
    owner = name.rpartition(".")[0]
    return (PLACES.index(owner) if owner in PLACES else len(PLACES), name)


def _last(name: str) -> str:
    return name.lower().rpartition(".")[2]


def _same_package(symbol: str, concept: Concept) -> bool:
    """Say whether a qualified *symbol* can be of the framework of *concept*."""
    package, dot, _ = symbol.partition(".")
    others = ("trl", "verl", "openrlhf", "tinker")
    return not dot or package not in others or package == concept.framework
