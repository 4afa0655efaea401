"""The shape of the YAML tables, checked when they are compiled.

All faults of all files are reported together, each with its file and line.
"""

from __future__ import annotations

import ast
import re
from itertools import pairwise
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from mint_migrate.model.plan import Fidelity
from mint_migrate.tables.rows import TRANSFORMS
from mint_migrate.tables.versions import version_key

PINNED_LINK = re.compile(
    r"^https://github\.com/[\w.-]+/[\w.-]+/(blob|tree)/[0-9a-f]{40}(/[^\s#]*)?(#L\d+(-L\d+)?)?$"
)
"""A file or folder of a repository at a commit. Installed packages are cited as `pypi:` links."""
RELEASE_LINK = re.compile(r"^https://pypi\.org/project/[\w.-]+/\d[\w.]*/(#[\w./-]+)?$")
"""A file of a published release, for a repository that is not public or whose tag is unknown."""
_CODE = re.compile(r"^MM\d{3,4}$")


def _literal(text: str) -> str:
    try:
        ast.literal_eval(text)
    except (ValueError, SyntaxError) as error:
        raise ValueError(f"`{text}` is not a Python literal") from error
    return text


def _release(text: str) -> str:
    version_key(text)
    return text


def _code(text: str) -> str:
    if not _CODE.match(text):
        raise ValueError(f"`{text}` is not a code such as MM203")
    return text


def _link(text: str) -> str:
    if not (PINNED_LINK.match(text) or RELEASE_LINK.match(text)):
        raise ValueError(f"`{text}` is not a link to a commit or to a published release")
    return text


def _one_line(text: str) -> str:
    if "\n" in text or text != text.strip():
        raise ValueError("must be one line without surrounding blanks")
    return text


Literally = Annotated[str, AfterValidator(_literal)]
Release = Annotated[str, AfterValidator(_release)]
Code = Annotated[str, AfterValidator(_code)]
Link = Annotated[str, AfterValidator(_link)]
Line = Annotated[str, AfterValidator(_one_line)]


class Strict(BaseModel):
    """A model that rejects unknown keys and converts nothing."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class RowEntry(Strict):
    """One row, as `tables.rows.Row`."""

    id: Line
    since: Release | None = None
    until: Release | None = None
    defaults: dict[Release, Literally] = Field(default_factory=dict)
    to: Line
    fidelity: Literal["exact", "approximate", "dropped", "manual"]
    code: Code | None = None
    transform: Literal["keep", "drop", "rename", "rule", "stop"]
    neutral: list[Literally] = Field(default_factory=list)
    unit: Line = ""
    note: Line = ""
    pitfall: Line = ""
    source: Line

    @model_validator(mode="after")
    def _is_coherent(self) -> Self:
        fidelity = Fidelity(self.fidelity)
        if fidelity is not Fidelity.EXACT and not self.note:
            raise ValueError(f"{self.id}: a row that is not exact needs a note")
        if fidelity is not Fidelity.EXACT and self.code is None:
            raise ValueError(f"{self.id}: a row that is not exact needs a code")
        if fidelity is Fidelity.MANUAL and self.transform not in ("stop", "rule"):
            raise ValueError(f"{self.id}: what needs a person has transform stop or rule")
        if self.since and self.until and version_key(self.since) >= version_key(self.until):
            raise ValueError(f"{self.id}: since {self.since} is not before until {self.until}")
        keys = [version_key(release) for release in self.defaults]
        if keys != sorted(keys):
            raise ValueError(f"{self.id}: defaults are not in the order of their releases")
        return self


class RowsFile(Strict):
    """A table of rows. `sources` names the prefixes that rows' sources start with."""

    sources: dict[str, Line] = Field(default_factory=dict)
    rows: list[RowEntry]


class RuleEntry(Strict):
    """A reason code, as `tables.rows.RuleDoc`."""

    code: Code
    title: Line
    finds: Line
    writes: Line
    fidelity: Literal["exact", "approximate", "dropped", "manual"]
    lost: Line
    before: str
    after: str
    source: Line
    way_out: Line


class RulesFile(Strict):
    """The catalogue of reason codes."""

    sources: dict[str, Line] = Field(default_factory=dict)
    rules: list[RuleEntry]


class AliasesFile(Strict):
    """Other ways to the same names.

    `roots`: packages whose submodules re-export upwards; `commands`: the classes whose fields are
    the options of a command of TRL, in the order in which they are looked up; `inherits`: by owner
    of recorded options, the owner whose rows it has where it lacks one of its own.
    """

    roots: list[Line]
    aliases: dict[Line, Line]
    commands: dict[Line, list[Line]] = Field(default_factory=dict)
    inherits: dict[Line, Line] = Field(default_factory=dict)


class RangeEntry(Strict):
    """A value of a fact in some range of releases."""

    since: Release | None = None
    until: Release | None = None
    value: str | bool | int | None
    note: Line
    source: Line


class FactEntry(Strict):
    """A fact and its values, first range first."""

    fact: Line
    package: Literal["trl", "transformers", "verl", "openrlhf"]
    """Whose releases the ranges are."""
    meaning: Line
    ranges: list[RangeEntry]

    @model_validator(mode="after")
    def _is_unbroken(self) -> Self:
        borders = [(entry.since, entry.until) for entry in self.ranges]
        joined = all(left[1] == right[0] for left, right in pairwise(borders))
        if not borders or borders[0][0] is not None or borders[-1][1] is not None or not joined:
            raise ValueError(f"{self.fact}: the ranges leave a gap or overlap: {borders}")
        return self


class FactsFile(Strict):
    """Version facts of one source framework."""

    sources: dict[str, Line] = Field(default_factory=dict)
    facts: list[FactEntry]


class RenamedEntry(Strict):
    """An option and its names in the new vocabulary."""

    old: Line
    new: list[Line]
    programs: list[Line] = Field(default_factory=list)
    """Programs it holds for; empty: every one."""
    note: Line = ""


class RemainingEntry(Strict):
    """An option that has no new name."""

    old: Line
    programs: list[Line] = Field(default_factory=list)
    note: Line = ""


class RenamesFile(Strict):
    """What became of every option when a framework renamed all of them."""

    since: Release
    renamed: list[RenamedEntry]
    """Same meaning: the row of the old name is also that of the new ones without one."""
    replaced: list[RenamedEntry]
    """Said in another way, as the note tells."""
    kept: list[RemainingEntry]
    gone: list[RemainingEntry]


class SignatureEntry(Strict):
    """A call of the client, as `tables.records.Signature`."""

    id: Line
    kind: Literal["class", "method", "function", "model", "attribute"]
    parameters: dict[str, Literally | None] = Field(default_factory=dict)
    returns: Line = ""
    note: Line = ""


class TargetFile(Strict):
    """What emitted scripts may call."""

    package: Line
    release: Release
    calls: list[SignatureEntry]


def json_schema(model: type[BaseModel]) -> dict[str, Any]:
    """Return the JSON Schema of a table file, for editors."""
    return model.model_json_schema()


assert set(TRANSFORMS) == {"keep", "drop", "rename", "rule", "stop"}
