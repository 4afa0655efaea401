"""The tables know every name of every recorded release, and nothing that no release has."""

from __future__ import annotations

import ast
import importlib.metadata
import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mint_migrate.resources import data_dir
from mint_migrate.tables.compile import load_records, recorded_names
from mint_migrate.tables.configs import PARTS
from mint_migrate.tables.lookup import Tables, load_tables
from mint_migrate.tables.rows import Row

UPSTREAM = Path(__file__).parents[2] / "mappings" / "_upstream"
RECORDS = load_records(UPSTREAM)
TABLES = load_tables()
CLASSES = {package: found for package, found in RECORDS.items() if package not in PARTS}
RELEASES = [(package, release) for package, found in CLASSES.items() for release in found]
OWNERS = sorted(
    {owner for found in CLASSES.values() for r in found.values() for owner in r["classes"]}
)
ROWS: dict[str, list[Row]] = defaultdict(list)
for _row in TABLES:
    ROWS[_row.id.rpartition(".")[0]].append(_row)
HAS_ATTRIBUTES = {"trl.SFTTrainer"}
"""Classes with rows for attributes and inherited methods, which no record holds."""


def recorded(package: str, release: str) -> Iterator[tuple[str, str, str | None]]:
    """Yield (class, name, default) of each field and argument of a release."""
    for owner, entry in RECORDS[package][release]["classes"].items():
        for name, default in {**entry.get("fields", {}), **entry.get("init", {})}.items():
            yield owner, name, default


def missing(tables: Tables, package: str, release: str) -> list[str]:
    """Return the classes, fields and arguments of a release that have no row."""
    ids = [f"{owner}.{name}" for owner, name, _ in recorded(package, release)]
    ids += RECORDS[package][release]["classes"]
    return [name for name in ids if tables.row(name, release) is None]


@pytest.mark.parametrize(("package", "release"), RELEASES)
def test_every_recorded_class_field_and_argument_has_a_row_in_its_release(package, release):
    assert missing(TABLES, package, release) == []


@pytest.mark.parametrize(
    "deleted",
    ["trl.GRPOConfig.beta", "trl.DPOTrainer.ref_model", "trl.ModelConfig.lora_r", "trl.TrlParser"],
)
def test_a_deleted_row_is_named(deleted):
    index: dict[str, Any] = json.loads((data_dir("mappings") / "index.json").read_bytes())
    del index["rows"][deleted]
    assert missing(Tables(index), "trl", "1.16.0") == [deleted]


@pytest.mark.parametrize("owner", OWNERS)
def test_no_row_claims_a_field_that_the_release_does_not_have(owner):
    wrong = {}
    for release, record in RECORDS[owner.partition(".")[0]].items():
        entry = record["classes"].get(owner, {})
        known = {*entry.get("fields", {}), *entry.get("init", {}), *entry.get("methods", ())}
        if owner.startswith("trl.") and owner.endswith("Config"):
            # What a configuration inherits may mean something of its own to its trainer.
            known |= TABLES.accepted(release, owner)
        claimed = {
            row.id.rpartition(".")[2]
            for row in ROWS[owner]
            if row.exists_in(release) and row.id not in OWNERS
        }
        if owner not in HAS_ATTRIBUTES and claimed - known:
            wrong[release] = sorted(claimed - known)
    assert not wrong


@pytest.mark.parametrize("release", RECORDS["trl"])
def test_every_public_name_of_trl_has_a_row_in_its_release(release):
    names = RECORDS["trl"][release]["names"]
    assert [name for name in names if TABLES.row(f"trl.{name}", release) is None] == []


@pytest.mark.parametrize("release", RECORDS["trl"])
def test_methods_of_trainers_have_a_row(release):
    classes = RECORDS["trl"][release]["classes"]
    assert [
        f"{owner}.{name}"
        for owner, entry in classes.items()
        for name in entry.get("methods", ())
        if TABLES.attribute_row(owner, name, release) is None
    ] == []


@pytest.mark.parametrize("release", RECORDS["trl"])
def test_a_configuration_inherits_the_rows_of_every_base(release):
    surface = RECORDS["trl"][release]["classes"]
    transformers = TABLES.nearest_release("transformers", TABLES.transformers_of(release))
    arguments = recorded_names(RECORDS["transformers"][transformers])
    inherited = arguments["transformers.TrainingArguments"]
    derived = [
        name for name in surface if _reaches(name, "transformers.TrainingArguments", surface)
    ]
    lacking = [
        f"{owner}.{field}"
        for owner in derived
        for field in inherited
        if TABLES.config_row(owner, field, release, transformers) is None
    ]
    assert lacking == []
    assert ("trl.DPOConfig" in derived) is ("trl.DPOConfig" in surface)


def _reaches(owner: str, wanted: str, classes: dict[str, Any]) -> bool:
    bases = classes.get(owner, {}).get("bases", ())
    return wanted in bases or any(_reaches(base, wanted, classes) for base in bases)


@pytest.mark.parametrize("release", RECORDS["trl"])
def test_every_option_of_the_command_line_has_a_row(release):
    classes = RECORDS["trl"][release]["classes"]
    owners = {command: set(found) & set(classes) for command, found in TABLES.commands.items()}
    assert [
        f"{command} --{name}"
        for command, found in owners.items()
        for owner, name, _ in recorded("trl", release)
        if owner in found and TABLES.flag_row(command, f"--{name}", release) is None
    ] == []


@pytest.mark.parametrize(("package", "release"), RELEASES)
def test_defaults_are_those_of_the_release(package, release):
    wrong = {}
    for owner, name, default in recorded(package, release):
        row = TABLES.row(f"{owner}.{name}", release)
        found = row.default_in(release) if row is not None else None
        if name != "optim" and found != _as_literal(default):
            wrong[f"{owner}.{name}"] = (default, found)
    assert not wrong


def _as_literal(default: str | None) -> str | None:
    """Return a recorded default as the tables write it; None for what is no literal."""
    if default is None:
        return None
    known = {
        "factory: dict": "{}",
        "factory: list": "[]",
        "FDivergenceType.REVERSE_KL": "'reverse_kl'",
    }
    text = known.get(default, default.removeprefix("factory: lambda: "))
    if "is_torch_available" in text:
        return "None"
    try:
        ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return None
    return text


@pytest.mark.parametrize(
    ("release", "expected"),
    [("4.31.0", "'adamw_hf'"), ("4.36.2", "'adamw_torch'"), ("5.23.0", "'adamw_torch_fused'")],
)
def test_the_computed_default_of_optim_follows_the_release(release, expected):
    assert (
        TABLES.row("transformers.TrainingArguments.optim", release).default_in(release) == expected
    )


def test_recorded_surfaces_match_the_installed_packages():
    installed = {name: importlib.metadata.version(name) for name in ("trl", "transformers", "peft")}
    assert all(version in RECORDS[name] for name, version in installed.items()), installed


def test_a_record_names_the_release_of_its_file():
    for path in UPSTREAM.rglob("[0-9]*.json"):
        record = json.loads(path.read_text())
        assert (record["package"], record["version"]) == (path.parent.name, path.stem)
