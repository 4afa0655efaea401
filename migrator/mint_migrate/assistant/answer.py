"""Answers a question from the tables: deterministic, without a network and without a model."""

from __future__ import annotations

import re

from mint_migrate.assistant import symbols
from mint_migrate.assistant.entries import concept_entry, row_entry, rule_entry
from mint_migrate.assistant.records import Answer, Entry, GuideText, Near
from mint_migrate.assistant.search import (
    ENOUGH_COVERED,
    FRAMEWORK_WORDS,
    Hit,
    Index,
    index_of,
    parse,
)
from mint_migrate.assistant.words import identifiers, words
from mint_migrate.tables.concepts import Concept
from mint_migrate.tables.lookup import Tables

MAX_ENTRIES = 3
MAX_NEAREST = 5
FULLY_COVERED = 0.8
"""Part of a question from which a concept comes before the symbols the question contains."""
NEARLY_AS_GOOD = 0.75
"""Share of the best score from which a second concept belongs to the answer."""


def answer(question: str, tables: Tables) -> Answer:
    """Return what the tables say to *question*: a framework, a symbol, a code, or free words."""
    asked = question.strip()
    if not asked:
        return Answer(question=question)
    guide = _guide(asked, tables)
    if guide is not None:
        return Answer(question=question, guide=guide)
    coded = _by_code(asked, tables)
    if coded:
        return Answer(question=question, entries=tuple(coded))
    index = index_of(tables)
    named = _by_symbol(asked, tables)
    if named:
        first = _subject(asked, index, tables)
        return Answer(question=question, entries=_unique([*first, *named]))
    # An answer about the other words of a question would mislead about a symbol no table has.
    unknown = [symbol for symbol in identifiers(asked) if not index.knows(symbol)]
    hits = index.find(asked)
    if unknown or not hits or hits[0].covered < ENOUGH_COVERED:
        rows = [] if unknown else _by_only_word(asked, tables)
        if rows:
            return Answer(question=question, entries=_unique(rows))
        return Answer(question=question, nearest=_nearest(unknown, hits, tables))
    best = [hit.concept for hit in hits if hit.score >= NEARLY_AS_GOOD * hits[0].score]
    return Answer(
        question=question,
        entries=tuple(concept_entry(concept, tables) for concept in best[:MAX_ENTRIES]),
    )


def explain(code: str, tables: Tables) -> Answer:
    """Return the page of a reason code, or the codes nearest to it."""
    wanted = code.strip().upper()
    if wanted in tables.codes:
        return Answer(question=code, entries=(rule_entry(wanted, tables),))
    near = symbols.nearest_codes(wanted, tables)
    return Answer(
        question=code or "?",
        nearest=tuple(Near(id=each, title=tables.rule(each).title) for each in near),
    )


def guides(tables: Tables) -> tuple[Near, ...]:
    """Return the frameworks that have a guide."""
    return tuple(Near(id=name, title=guide.title) for name, guide in tables.guides.items())


def _guide(question: str, tables: Tables) -> GuideText | None:
    """Return a framework's guide where the question names one and nothing else."""
    query = parse(question, tables.synonyms)
    if query.groups or len(query.frameworks) != 1:
        return None
    (framework,) = query.frameworks
    concepts = tables.concepts.values()

    def of(kind: str) -> tuple[Concept, ...]:
        return tuple(each for each in concepts if each.kind == kind)

    return GuideText(
        guide=tables.guides[framework],
        concepts=tuple(each for each in of("mapping") if each.framework == framework),
        differences=of("difference"),
        losses=of("loss"),
        pitfalls=of("pitfall"),
        limits=of("limit"),
    )


def _by_code(question: str, tables: Tables) -> list[Entry]:
    codes = dict.fromkeys(code.upper() for code in symbols.CODE.findall(question))
    return [rule_entry(code, tables) for code in codes if code in tables.codes][:MAX_ENTRIES]


def _by_symbol(question: str, tables: Tables) -> list[Entry]:
    """Return the entries of the symbols that the question contains, or is.

    Concepts come before rows, and those of a framework the question names before the others.
    """
    found = identifiers(question)
    if not found and len(question.split()) == 1:
        found = [question.strip("`'\"?.,!()")]
    frameworks = parse(question, tables.synonyms).frameworks
    entries: list[Entry] = []
    for symbol in found:
        concepts = symbols.concepts_named(symbol, tables)
        concepts.sort(key=lambda each: (each.framework not in frameworks, _rank(each)))
        told = [concept_entry(each, tables) for each in concepts]
        covered = {row for entry in told for row in entry.rows}
        names = [name for name in symbols.rows_named(symbol, tables) if name not in covered]
        rows = [row_entry(name, tables) for name in names]
        # A qualified name that is a row is asked for itself, not for the subject it belongs to.
        entries += [*rows, *told] if symbol in names else [*told, *rows]
    return entries


def _by_only_word(question: str, tables: Tables) -> list[Entry]:
    """Return the rows named like the only word of a question that says anything."""
    said = [word for word in re.findall(r"[A-Za-z]\w*", question) if words(word)]
    if len(said) != 1:
        return []
    return [row_entry(name, tables) for name in symbols.rows_named(said[0], tables)]


def _subject(question: str, index: Index, tables: Tables) -> list[Entry]:
    """Return the concept that covers a question with more in it than its symbols."""
    symbol_words = {word for symbol in identifiers(question) for word in words(symbol)}
    others = set(words(question)) - symbol_words - set(FRAMEWORK_WORDS)
    hits = index.find(question)
    if not symbol_words or not others or not hits or hits[0].covered < FULLY_COVERED:
        return []
    return [concept_entry(hits[0].concept, tables)]


def _unique(entries: list[Entry]) -> tuple[Entry, ...]:
    return tuple({entry.id: entry for entry in entries}.values())[:MAX_ENTRIES]


def _rank(concept: Concept) -> int:
    return ("trl", "verl", "openrlhf", "torch", "tinker", "general").index(concept.framework)


def _nearest(unknown: list[str], hits: list[Hit], tables: Tables) -> tuple[Near, ...]:
    names = [name for symbol in unknown for name in symbols.nearest_symbols(symbol, tables)]
    near = [Near(id=name, title=_row_title(name, tables)) for name in names]
    near += [Near(id=hit.concept.id, title=hit.concept.title) for hit in hits[:MAX_NEAREST]]
    return tuple(near[:MAX_NEAREST]) or guides(tables)


def _row_title(name: str, tables: Tables) -> str:
    row = tables.row(name)
    return "" if row is None else f"{row.fidelity}: {row.to}"
