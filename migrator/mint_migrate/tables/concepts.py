"""Records of `mappings/concepts.yaml`: what the answers say beyond the rows and the codes."""

from __future__ import annotations

from dataclasses import dataclass

FRAMEWORKS = ("trl", "verl", "openrlhf", "torch", "tinker", "general")
"""Where a concept comes from; `general`: from MinT itself, whatever the source."""

KINDS = ("mapping", "difference", "loss", "pitfall", "limit", "howto")
"""What a concept is, in the order in which a guide lists them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Concept:
    """One thing a reader may ask about, and what MinT has in its place."""

    id: str
    framework: str
    """One of `FRAMEWORKS`."""
    kind: str
    """One of `KINDS`."""
    names: tuple[str, ...]
    """Symbols, options and keys that mean this concept, spelled as in code."""
    keywords: tuple[str, ...]
    """Words of a question that mean it."""
    title: str
    mint: str
    """What replaces it, in Markdown."""
    explanation: str
    language: str
    """Of `before`: `python` or `bash`."""
    before: str
    after: str
    """Python."""
    differences: tuple[str, ...]
    pitfalls: tuple[str, ...]
    status: str
    """`converted`, `on_request`, `planned` or `refused`; empty: nothing to do."""
    sources: tuple[str, ...]
    """Links pinned to a commit or a release."""
    see: tuple[str, ...]
    """Ids of related concepts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Guide:
    """The opening of the guide for one source framework."""

    framework: str
    title: str
    summary: str
    example: str
    """Id of the concept whose code the guide shows."""


def build_concept(name: str, values: list[object]) -> Concept:
    """Return the concept *name* from its values in the index, in the order of the fields."""
    fields = list(Concept.__dataclass_fields__)[1:]
    known = {
        field: tuple(value) if isinstance(value, list) else value
        for field, value in zip(fields, values, strict=True)
    }
    return Concept(id=name, **known)  # type: ignore[arg-type]
