"""Finds symbols in the tables: classes, options and keys, qualified or bare, and reason codes."""

from __future__ import annotations

import difflib
import re

from mint_migrate.tables.concepts import Concept
from mint_migrate.tables.lookup import Tables

CODE = re.compile(r"\bMM\d{3,4}\b", re.IGNORECASE)
PLACES = ("trl.SFTConfig", "transformers.TrainingArguments", "peft.LoraConfig", "trl.SFTTrainer")
"""Owners whose rows come first where several have a row of the same name."""


def rows_named(symbol: str, tables: Tables) -> list[str]:
    """Return the ids of rows that *symbol* names: itself, or all that end with it.

    `max_length` names `trl.SFTConfig.max_length`; capitals do not matter unless some row has them.
    """
    if symbol in tables and (row := tables.row(symbol)) is not None and "*" not in row.id:
        return [row.id]
    ids = list(dict.fromkeys(row.id for row in tables))
    exact = [name for name in ids if name.endswith(f".{symbol}")]
    lowered = symbol.lower()
    found = exact or [name for name in ids if f".{name}".lower().endswith(f".{lowered}")]
    return sorted(found, key=_place)


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
    """Return row ids whose last part is spelled like that of *symbol*."""
    by_last: dict[str, list[str]] = {}
    for row in tables:
        by_last.setdefault(row.id.rpartition(".")[2].lower(), []).append(row.id)
    last = symbol.rpartition(".")[2].lower()
    close = difflib.get_close_matches(last, by_last, n=limit, cutoff=0.7)
    names = [name for each in close for name in sorted(set(by_last[each]), key=_place)]
    return list(dict.fromkeys(names))[:limit]


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
