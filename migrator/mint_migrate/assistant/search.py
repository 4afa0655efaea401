"""Finds the concepts a question is about, by its words.

A word weighs more the fewer concepts have it. A concept scores by where it has the words (its
keywords more than its prose) and by how much of one of its keyword phrases the question contains.
What decides between an answer and "not found" is the part of the question, by weight, that the best
concept covers.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from mint_migrate.assistant.words import name_words, stem, words
from mint_migrate.tables.concepts import Concept
from mint_migrate.tables.lookup import Tables

NAME, KEYWORD, PART, TITLE, PROSE = 3.0, 3.0, 1.0, 2.0, 0.5
"""Weights of a word by the place where a concept has it."""

ENOUGH_COVERED = 0.55
"""Part of a question, by weight of its words, that an answer must cover."""

PROSE_COVERS = 0.4
"""How much a word counts as covered that stands only in the explanation."""

FRAMEWORK_WORDS = {
    "trl": "trl",
    "transformers": "trl",
    "huggingface": "trl",
    "hf": "trl",
    "verl": "verl",
    "openrlhf": "openrlhf",
    "pytorch": "torch",
    "torch": "torch",
    "tinker": "tinker",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """A concept that shares words with a question."""

    concept: Concept
    score: float
    covered: float
    """Part of the question's weight, 0 to 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A question in comparable form."""

    groups: tuple[frozenset[str], ...]
    """For each word of the question, the stems that would do."""
    frameworks: frozenset[str]
    """Source frameworks it names."""


def parse(question: str, synonyms: dict[str, str]) -> Query:
    """Return *question* as groups of stems, the frameworks it names apart."""
    lowered = question.lower().replace("hugging face", "huggingface")
    frameworks = set()
    groups: dict[str, frozenset[str]] = {}
    stems = {stem(word): value for word, value in synonyms.items()}
    for word in words(lowered):
        if word in _FRAMEWORK_STEMS:
            frameworks.add(_FRAMEWORK_STEMS[word])
        else:
            groups[word] = frozenset([word, *words(stems.get(word, ""))])
    return Query(groups=tuple(groups.values()), frameworks=frozenset(frameworks))


_FRAMEWORK_STEMS = {stem(word): name for word, name in FRAMEWORK_WORDS.items()}


@lru_cache(maxsize=1)
def index_of(tables: Tables) -> Index:
    """Return the index of *tables*, made once for each."""
    return Index(tables)


class Index:
    """The words of all concepts."""

    def __init__(self, tables: Tables) -> None:
        """Read the concepts of *tables*."""
        self._synonyms = tables.synonyms
        self._concepts = list(tables.concepts.values())
        self._weights = [_weights(concept) for concept in self._concepts]
        self._phrases = [
            [phrase for text in concept.keywords if (phrase := frozenset(words(text)))]
            for concept in self._concepts
        ]
        self._rarest = math.log(1 + len(self._concepts))
        counts: dict[str, int] = {}
        for weights in self._weights:
            for word in weights:
                counts[word] = counts.get(word, 0) + 1
        self._rarity = {
            word: math.log(1 + len(self._concepts) / count) for word, count in counts.items()
        }

    def find(self, question: str) -> list[Hit]:
        """Return the concepts that share words with *question*, best first."""
        query = parse(question, self._synonyms)
        hits = [hit for hit in self._hits(query) if hit.score > 0]
        return sorted(hits, key=lambda hit: -hit.score)

    def knows(self, symbol: str) -> bool:
        """Say whether *symbol*, written as one word, stands anywhere in the concepts."""
        return name_words(symbol)[0] in self._rarity

    def _hits(self, query: Query) -> Iterator[Hit]:
        total = sum(self._group_rarity(group) for group in query.groups) or 1.0
        asked = frozenset().union(*query.groups)
        for concept, weights, phrases in zip(
            self._concepts, self._weights, self._phrases, strict=True
        ):
            score = covered = 0.0
            for group in query.groups:
                weight = max(weights.get(word, 0.0) for word in group)
                rarity = self._group_rarity(group)
                score += rarity * weight
                covered += rarity * (1.0 if weight > PROSE else PROSE_COVERS if weight else 0.0)
            score += max((self._phrase_score(phrase, asked) for phrase in phrases), default=0.0)
            yield Hit(
                concept=concept,
                score=score * _preference(concept, query.frameworks),
                covered=covered / total,
            )

    def _phrase_score(self, phrase: frozenset[str], asked: frozenset[str]) -> float:
        shared = sum(self._rarity[word] for word in phrase & asked)
        return 2.0 * shared * shared / sum(self._rarity[word] for word in phrase)

    def _group_rarity(self, group: frozenset[str]) -> float:
        return max((self._rarity[word] for word in group if word in self._rarity), default=0.0) or (
            self._rarest
        )


def _weights(concept: Concept) -> dict[str, float]:
    """Return each word of *concept* with the weight of the best place it stands in."""
    weights: dict[str, float] = {}

    def add(found: list[str], weight: float) -> None:
        for word in found:
            weights[word] = max(weights.get(word, 0.0), weight)

    for name in concept.names:
        whole, parts = name_words(name)
        add([whole], NAME)
        add(parts, PART)
    for keyword in concept.keywords:
        add(words(keyword), KEYWORD)
    add(words(concept.title), TITLE)
    for text in (concept.mint, concept.explanation, *concept.differences, *concept.pitfalls):
        add(words(text), PROSE)
    return weights


def _preference(concept: Concept, frameworks: frozenset[str]) -> float:
    """Return the factor for what a question says about the source framework.

    Where it says nothing, MinT itself and TRL come before the others.
    """
    if not frameworks:
        return {"general": 1.05, "trl": 1.0}.get(concept.framework, 0.8)
    if concept.framework in frameworks:
        return 1.5
    return 1.0 if concept.framework == "general" else 0.4
