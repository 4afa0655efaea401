"""Reads the YAML tables. Build time only: a command reads the compiled index instead."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from mint_migrate.model.plan import Fidelity
from mint_migrate.tables.concept_schema import ConceptsFile
from mint_migrate.tables.concepts import Concept, Guide
from mint_migrate.tables.records import Fact, Signature
from mint_migrate.tables.rows import Row, RuleDoc
from mint_migrate.tables.schema import (
    PINNED_LINK,
    RELEASE_LINK,
    AliasesFile,
    FactsFile,
    RenamesFile,
    RowEntry,
    RowsFile,
    RulesFile,
    TargetFile,
)

Model = TypeVar("Model", bound=BaseModel)
_LOADER: Any = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader


class TableError(ValueError):
    """Faults of the tables, one per line, each as `file:line: what is wrong`."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


@dataclass(slots=True)
class Loaded:
    """What the YAML files hold, in the order of the files."""

    rows: list[Row] = field(default_factory=list)
    rules: list[RuleDoc] = field(default_factory=list)
    roots: list[str] = field(default_factory=list)
    aliases: dict[str, str] = field(default_factory=dict)
    commands: dict[str, list[str]] = field(default_factory=dict)
    inherits: dict[str, str] = field(default_factory=dict)
    renames: dict[str, RenamesFile] = field(default_factory=dict)
    """By package."""
    facts: list[Fact] = field(default_factory=list)
    meanings: dict[str, str] = field(default_factory=dict)
    fact_packages: dict[str, str] = field(default_factory=dict)
    target: list[Signature] = field(default_factory=list)
    target_release: str = ""
    concepts: list[Concept] = field(default_factory=list)
    guides: list[Guide] = field(default_factory=list)
    synonyms: dict[str, str] = field(default_factory=dict)


class _Reader:
    """Reads table files and collects the faults of all of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.faults: list[str] = []

    def read(self, path: Path, model: type[Model]) -> Model | None:
        """Return the file as *model*; None, with its faults collected, where it is not valid."""
        name = path.relative_to(self.folder.parent).as_posix()
        text = path.read_text(encoding="utf-8")
        try:
            loader = _LOADER(text)
            node = loader.get_single_node()
            data = loader.construct_document(node) if node is not None else None
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            line = mark.line + 1 if mark is not None else 1
            self.faults.append(f"{name}:{line}: not YAML: {getattr(error, 'problem', error)}")
            return None
        try:
            return model.model_validate(data)
        except ValidationError as error:
            for item in error.errors():
                line = _line_of(node, item["loc"])
                where = ".".join(str(part) for part in item["loc"])
                self.faults.append(f"{name}:{line}: {where}: {item['msg']}")
            return None

    def link(self, name: str, source: str, sources: dict[str, str]) -> str:
        """Return *source* with its named prefix replaced; a fault where it is not pinned."""
        prefix, hash_mark, rest = source.partition("#")
        full = sources[prefix] + hash_mark + rest if prefix in sources else source
        if not (PINNED_LINK.match(full) or RELEASE_LINK.match(full)):
            self.faults.append(f"{name}: source `{full}` is not pinned to a commit or a release")
        return full


def _line_of(node: yaml.Node | None, location: tuple[Any, ...]) -> int:
    """Return the line of the innermost node on the way to *location*, counted from 1."""
    line = 1
    for part in location:
        if node is None:
            break
        line = node.start_mark.line + 1
        node = _child(node, part)
    return node.start_mark.line + 1 if node is not None else line


def _child(node: yaml.Node, part: str | int) -> yaml.Node | None:
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        child: yaml.Node = node.value[part]
        return child
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == part:
                found: yaml.Node = value
                return found
    return None


def load_folder(folder: Path) -> Loaded:
    """Read every table of *folder* (`mappings`).

    Raises:
        TableError: at least one file is not valid; the message names every fault.
    """
    reader = _Reader(folder)
    loaded = Loaded()
    for path in sorted(folder.rglob("*.yaml")):
        _reader_for(path.name)(reader, path, loaded)
    _check_names(reader, loaded)
    if reader.faults:
        raise TableError(reader.faults)
    return loaded


def _read_rows(reader: _Reader, path: Path, loaded: Loaded) -> None:
    table = reader.read(path, RowsFile)
    if table is not None:
        loaded.rows += [_row(reader, entry, table.sources) for entry in table.rows]
        names = [entry.id for entry in table.rows]
        if names != sorted(names):
            first = next(a for a, b in zip(names, sorted(names), strict=True) if a != b)
            reader.faults.append(f"{path.name}: rows are not sorted by id; the first is `{first}`")


def _row(reader: _Reader, entry: RowEntry, sources: dict[str, str]) -> Row:
    return Row(
        id=entry.id,
        since=entry.since,
        until=entry.until,
        defaults=tuple(entry.defaults.items()),
        to=entry.to,
        fidelity=Fidelity(entry.fidelity),
        code=entry.code,
        transform=entry.transform,
        neutral=tuple(entry.neutral),
        unit=entry.unit,
        note=entry.note,
        pitfall=entry.pitfall,
        source=reader.link(entry.id, entry.source, sources),
    )


def _read_rules(reader: _Reader, path: Path, loaded: Loaded) -> None:
    table = reader.read(path, RulesFile)
    for entry in table.rules if table is not None else ():
        values = entry.model_dump()
        values["fidelity"] = Fidelity(entry.fidelity)
        values["source"] = reader.link(entry.code, entry.source, table.sources if table else {})
        loaded.rules.append(RuleDoc(**values))


def _read_aliases(reader: _Reader, path: Path, loaded: Loaded) -> None:
    table = reader.read(path, AliasesFile)
    if table is not None:
        loaded.roots += table.roots
        loaded.aliases |= table.aliases
        loaded.commands |= table.commands
        loaded.inherits |= table.inherits


def _read_renames(reader: _Reader, path: Path, loaded: Loaded) -> None:
    table = reader.read(path, RenamesFile)
    if table is not None:
        loaded.renames[path.parent.name] = table


def _read_facts(reader: _Reader, path: Path, loaded: Loaded) -> None:
    table = reader.read(path, FactsFile)
    for entry in table.facts if table is not None else ():
        loaded.meanings[entry.fact] = entry.meaning
        loaded.fact_packages[entry.fact] = entry.package
        for item in entry.ranges:
            values = item.model_dump()
            values["source"] = reader.link(entry.fact, item.source, table.sources if table else {})
            loaded.facts.append(Fact(name=entry.fact, **values))


def _read_target(reader: _Reader, path: Path, loaded: Loaded) -> None:
    table = reader.read(path, TargetFile)
    if table is not None:
        loaded.target_release = table.release
        loaded.target += [
            Signature(
                id=entry.id,
                kind=entry.kind,
                parameters=tuple(entry.parameters.items()),
                returns=entry.returns,
                note=entry.note,
            )
            for entry in table.calls
        ]


def _read_concepts(reader: _Reader, path: Path, loaded: Loaded) -> None:
    table = reader.read(path, ConceptsFile)
    if table is None:
        return
    for entry in table.concepts:
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in entry.model_dump().items()
        }
        values["sources"] = tuple(
            reader.link(entry.id, source, table.sources) for source in entry.sources
        )
        loaded.concepts.append(Concept(**values))
    loaded.guides += [Guide(**entry.model_dump()) for entry in table.guides]
    loaded.synonyms |= table.synonyms


_READERS = {
    "aliases.yaml": _read_aliases,
    "concepts.yaml": _read_concepts,
    "mint.yaml": _read_target,
    "renames.yaml": _read_renames,
    "rules.yaml": _read_rules,
    "semantics.yaml": _read_facts,
}
"""Files that are no tables of rows, by name."""


def _reader_for(name: str) -> Callable[[_Reader, Path, Loaded], None]:
    """Return what reads a file: `*semantics.yaml` holds facts, most others rows."""
    if name.endswith("semantics.yaml"):
        return _read_facts
    return _READERS.get(name, _read_rows)


def _check_names(reader: _Reader, loaded: Loaded) -> None:
    """Collect rows that overlap, unknown codes, and aliases that lead nowhere."""
    codes = [rule.code for rule in loaded.rules]
    for code in sorted({code for code in codes if codes.count(code) > 1}):
        reader.faults.append(f"rules.yaml: {code} stands twice")
    ids = {row.id for row in loaded.rows}
    for row in loaded.rows:
        if row.code is not None and row.code not in codes:
            reader.faults.append(f"{row.id}: code {row.code} is not in rules.yaml")
    for alias, name in loaded.aliases.items():
        if name not in ids:
            reader.faults.append(f"aliases.yaml: {alias} leads to `{name}`, which has no row")
    _check_concepts(reader, loaded)
    by_id: dict[str, list[Row]] = {}
    for row in loaded.rows:
        for other in by_id.setdefault(row.id, []):
            start = row.since or other.since
            if start is None or (row.exists_in(start) and other.exists_in(start)):
                reader.faults.append(f"{row.id}: two rows for release {start or 'any'}")
        by_id[row.id].append(row)


def _check_concepts(reader: _Reader, loaded: Loaded) -> None:
    """Collect concepts that stand twice, and references to concepts that do not exist."""
    names = [concept.id for concept in loaded.concepts]
    for name in sorted({name for name in names if names.count(name) > 1}):
        reader.faults.append(f"concepts.yaml: {name} stands twice")
    wanted = [(concept.id, other) for concept in loaded.concepts for other in concept.see]
    wanted += [(f"guide {guide.framework}", guide.example) for guide in loaded.guides]
    for place, other in wanted:
        if other not in names:
            reader.faults.append(f"concepts.yaml: {place} names `{other}`, which is no concept")
