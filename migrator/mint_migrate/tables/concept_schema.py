"""The shape of `mappings/concepts.yaml`, checked when the tables are compiled."""

from __future__ import annotations

import ast
from typing import Literal, Self

from pydantic import Field, model_validator

from mint_migrate.tables.schema import Line, Strict

FrameworkName = Literal["trl", "verl", "openrlhf", "torch", "tinker", "general"]
HAS_STATUS = frozenset({"mapping", "limit", "howto"})
"""Kinds that say what `mint-migrate` does with the construct."""


class ConceptEntry(Strict):
    """One concept, as `tables.concepts.Concept`."""

    id: Line
    framework: FrameworkName
    kind: Literal["mapping", "difference", "loss", "pitfall", "limit", "howto"]
    names: list[Line] = Field(min_length=1)
    keywords: list[Line] = Field(min_length=1)
    title: Line
    mint: Line
    explanation: Line
    language: Literal["python", "bash"] = "python"
    before: str = Field(min_length=1)
    after: str = Field(min_length=1)
    differences: list[Line] = Field(default_factory=list)
    pitfalls: list[Line] = Field(default_factory=list)
    status: Literal["converted", "on_request", "planned", "refused", ""] = ""
    sources: list[Line] = Field(min_length=1)
    see: list[Line] = Field(default_factory=list)

    @model_validator(mode="after")
    def _is_coherent(self) -> Self:
        prefix = "mint" if self.framework == "general" else self.framework
        if not self.id.startswith(f"{prefix}."):
            raise ValueError(f"{self.id}: an id of {self.framework} starts with `{prefix}.`")
        if self.kind in HAS_STATUS and not self.status:
            raise ValueError(f"{self.id}: a {self.kind} needs a status")
        parts = {"after": self.after}
        if self.language == "python":
            parts["before"] = self.before
        for part, code in parts.items():
            try:
                ast.parse(code)
            except SyntaxError as error:
                raise ValueError(f"{self.id}: `{part}` does not parse: {error}") from error
        return self


class GuideEntry(Strict):
    """The opening of a framework's guide, as `tables.concepts.Guide`."""

    framework: FrameworkName
    title: Line
    summary: Line
    example: Line


class ConceptsFile(Strict):
    """Concepts, guides, and words that mean the same in questions."""

    sources: dict[str, Line] = Field(default_factory=dict)
    guides: list[GuideEntry]
    synonyms: dict[Line, Line] = Field(default_factory=dict)
    """A word of a question, and the words to look for in its place."""
    concepts: list[ConceptEntry]
