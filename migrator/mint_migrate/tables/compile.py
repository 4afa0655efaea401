"""Compiles the YAML tables to what the program and its readers use.

`python -m mint_migrate.tables.compile` writes `mappings/index.json` (read by every command),
`mappings/index_<package>.json` (what only names of that package need), `mappings/schema.json` (for
editors) and `docs/rules/*.md`; `--check` writes nothing and exits 1 where one of them is out of
date.
"""

from __future__ import annotations

import json
import sys
from dataclasses import astuple
from pathlib import Path
from typing import Any

from mint_migrate.resources import checkout_dir
from mint_migrate.tables.configs import (
    CODES,
    PARTS,
    recorded_defaults,
    recorded_renames,
    recorded_variants,
)
from mint_migrate.tables.load import Loaded, TableError, load_folder
from mint_migrate.tables.outputs import stale, write_atomic
from mint_migrate.tables.pages import rule_pages
from mint_migrate.tables.rows import Row
from mint_migrate.tables.schema import RowsFile, json_schema
from mint_migrate.tables.versions import version_key

INDEX_FORMAT = 2


def build_parts(loaded: Loaded, upstream: Path) -> dict[str, dict[str, Any]]:
    """Return by package what stands apart from the index: rows, recorded options, renamed flags."""
    records = load_records(upstream)
    parts: dict[str, dict[str, Any]] = {}
    for package in PARTS:
        found = {package: records.get(package, {})}
        inherits = {
            owner: base for owner, base in loaded.inherits.items() if _is_of(owner, package)
        }
        parts[package] = {
            "format": INDEX_FORMAT,
            **_rows([row for row in loaded.rows if _is_of(row.id, package)]),
            **_surface(found),
            "defaults": recorded_defaults(found),
            "variants": recorded_variants(found),
            "inherits": inherits,
            "renames": recorded_renames(found, loaded.renames),
            "rules": _rules(loaded, package),
        }
    return parts


def _is_of(name: str, package: str) -> bool:
    return name.partition(".")[0] == package


def _rows(rows: list[Row]) -> dict[str, Any]:
    """Return `rows` by id, and the `links` that the number before a source's `#` counts."""
    links: dict[str, int] = {}
    found: dict[str, list[list[Any]]] = {}
    for row in rows:
        link, mark, place = row.source.partition("#")
        number = links.setdefault(link, len(links))
        values = list(astuple(row))[1:-1]
        found.setdefault(row.id, []).append([*values, f"{number}{mark}{place}"])
    return {"links": list(links), "rows": found}


def _rules(loaded: Loaded, package: str | None) -> dict[str, list[Any]]:
    """Return the pages of the codes of one package, None: of all others."""
    return {
        rule.code: list(astuple(rule))[1:]
        for rule in loaded.rules
        if CODES.get(rule.code[2]) == package
    }


def build_index(loaded: Loaded, upstream: Path) -> dict[str, Any]:
    """Return the index: rows by id as lists, so that a reader builds only what it asks for."""
    rows = _rows([row for row in loaded.rows if row.id.partition(".")[0] not in PARTS])
    facts: dict[str, list[list[Any]]] = {}
    for fact in loaded.facts:
        values = [fact.value, fact.since, fact.until, fact.note, fact.source]
        facts.setdefault(fact.name, []).append(values)
    records = load_records(upstream)
    others = {package: found for package, found in records.items() if package not in PARTS}
    return {
        "format": INDEX_FORMAT,
        "parts": list(PARTS),
        **rows,
        "roots": loaded.roots,
        "aliases": loaded.aliases,
        "rules": _rules(loaded, None),
        "facts": facts,
        "fact_packages": loaded.fact_packages,
        "meanings": loaded.meanings,
        "target": {call.id: list(astuple(call))[1:] for call in loaded.target},
        "target_release": loaded.target_release,
        "versions": {package: list(releases) for package, releases in records.items()},
        "requires": {
            release: record["requires"].get("transformers", "")
            for release, record in records.get("trl", {}).items()
        },
        **_surface(others),
        "commands": loaded.commands,
        "concepts": {concept.id: list(astuple(concept))[1:] for concept in loaded.concepts},
        "guides": {guide.framework: list(astuple(guide))[1:] for guide in loaded.guides},
        "synonyms": loaded.synonyms,
    }


def load_records(upstream: Path) -> dict[str, dict[str, dict[str, Any]]]:
    """Return the recorded surfaces: package, release (in order), record."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for folder in sorted(path for path in upstream.iterdir() if path.is_dir()):
        paths = sorted(folder.glob("*.json"), key=lambda path: version_key(path.stem))
        found[folder.name] = {
            path.stem: json.loads(path.read_text(encoding="utf-8")) for path in paths
        }
    return found


def recorded_names(record: dict[str, Any]) -> dict[str, set[str]]:
    """Return, by class, the names a constructor takes."""
    return {
        name: set(entry.get("fields", {})) | set(entry.get("init", {}))
        for name, entry in record["classes"].items()
    }


Table = dict[str, dict[str, list[int]]]
"""By class and name, ranges of positions in the package's releases, as [start, end, start, ...]."""


def _surface(records: dict[str, dict[str, dict[str, Any]]]) -> dict[str, Any]:
    """Return which release has what: `surface` of constructors, `bases`, and `closed`.

    `closed` holds the classes whose constructor takes nothing that its bases take.
    """
    surface: Table = {}
    bases: Table = {}
    closed: dict[str, list[int]] = {}
    for releases in records.values():
        for position, record in enumerate(releases.values()):
            for name, arguments in recorded_names(record).items():
                entry = record["classes"][name]
                for argument in sorted(arguments):
                    _extend(surface.setdefault(name, {}).setdefault(argument, []), position)
                for base in entry.get("bases", ()):
                    _extend(bases.setdefault(name, {}).setdefault(base, []), position)
                if "init" in entry and not entry.get("forwards"):
                    _extend(closed.setdefault(name, []), position)
    return {"surface": surface, "bases": bases, "closed": closed}


def _extend(ranges: list[int], position: int) -> None:
    """Add *position*, the largest so far, to half-open *ranges*."""
    if ranges and ranges[-1] == position:
        ranges[-1] = position + 1
    else:
        ranges += [position, position + 1]


def outputs() -> dict[Path, str]:
    """Return every generated file with the text it should have.

    Raises:
        TableError: the tables are not valid.
    """
    mappings = checkout_dir("mappings")
    loaded = load_folder(mappings)
    index = build_index(loaded, mappings / "_upstream")
    pages = rule_pages(loaded)
    schema = json.dumps(json_schema(RowsFile), indent=2, sort_keys=True)
    return {
        mappings / "index.json": dump_index(index),
        **{
            mappings / f"index_{package}.json": dump_index(part)
            for package, part in build_parts(loaded, mappings / "_upstream").items()
        },
        mappings / "schema.json": schema + "\n",
    } | {mappings.parent / "docs" / "rules" / name: text for name, text in pages.items()}


def dump_index(index: dict[str, Any]) -> str:
    """Return the index as JSON with one entry a line, so that a difference can be read."""
    parts = []
    for key, value in index.items():
        if isinstance(value, dict) and value:
            lines = ",\n".join(f"{_json(name)}:{_json(entry)}" for name, entry in value.items())
            parts.append(f"{_json(key)}:{{\n{lines}\n}}")
        else:
            parts.append(f"{_json(key)}:{_json(value)}")
    return "{" + ",\n".join(parts) + "}\n"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def main(arguments: list[str]) -> int:
    """Write the generated files, or with `--check` compare them; return the exit status."""
    try:
        texts = outputs()
    except TableError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    extra = [path for path in _pages_on_disk(texts) if path not in texts]
    if "--check" in arguments:
        for path in stale(texts) + extra:
            sys.stderr.write(f"out of date: {path}; run python -m mint_migrate.tables.compile\n")
        return 1 if stale(texts) or extra else 0
    for path in extra:
        path.unlink()
    for path, text in texts.items():
        write_atomic(path, text)
    return 0


def _pages_on_disk(texts: dict[Path, str]) -> list[Path]:
    """Return the rule pages that exist, wherever they come from."""
    folders = {path.parent for path in texts if path.suffix == ".md"}
    return sorted(page for folder in folders for page in folder.glob("MM*.md"))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
