"""The tables know every name of every recorded release, and nothing that no release has."""

from __future__ import annotations

import importlib.metadata
import json
from pathlib import Path

import pytest
from mint_migrate.tables.compile import load_records, recorded_names
from mint_migrate.tables.lookup import load_tables

UPSTREAM = Path(__file__).parents[2] / "mappings" / "_upstream"
RECORDS = load_records(UPSTREAM)
TABLES = load_tables()
SURFACES = [
    (package, release, owner)
    for package, releases in RECORDS.items()
    for release, record in releases.items()
    for owner in recorded_names(record)
]
NOT_FIELDS = {
    "trl.SFTTrainer": "methods and attributes share its prefix",
}


@pytest.mark.parametrize(("package", "release", "owner"), SURFACES)
def test_every_recorded_field_and_argument_has_a_row_in_its_release(package, release, owner):
    names = recorded_names(RECORDS[package][release])[owner]
    missing = [name for name in sorted(names) if TABLES.row(f"{owner}.{name}", release) is None]
    assert not missing


@pytest.mark.parametrize(
    ("package", "release", "owner"), [item for item in SURFACES if item[2] not in NOT_FIELDS]
)
def test_no_row_claims_a_field_that_the_release_does_not_have(package, release, owner):
    names = recorded_names(RECORDS[package][release])[owner]
    claimed = {
        row.id.removeprefix(f"{owner}.")
        for row in TABLES.rows_for(owner)
        if row.id != owner and row.exists_in(release)
    }
    assert claimed == names


@pytest.mark.parametrize("release", RECORDS["trl"])
def test_every_public_name_of_trl_has_a_row_in_its_release(release):
    names = RECORDS["trl"][release]["names"]
    assert [name for name in names if TABLES.row(f"trl.{name}", release) is None] == []


@pytest.mark.parametrize("release", RECORDS["trl"])
def test_methods_of_the_trainer_have_a_row(release):
    methods = RECORDS["trl"][release]["classes"]["trl.SFTTrainer"]["methods"]
    missing = [
        name for name in methods if TABLES.attribute_row("trl.SFTTrainer", name, release) is None
    ]
    assert not missing


@pytest.mark.parametrize(("package", "release", "owner"), SURFACES)
def test_defaults_are_those_of_the_release(package, release, owner):
    entry = RECORDS[package][release]["classes"][owner]
    recorded = {**entry.get("fields", {}), **entry.get("init", {})}
    wrong = {
        name: (default, found)
        for name, default in recorded.items()
        if name != "optim"
        and (found := TABLES.row(f"{owner}.{name}", release).default_in(release))
        != _as_literal(default)
    }
    assert not wrong


def _as_literal(default: str | None) -> str | None:
    """Return a recorded default as the tables write it; None for what is no literal."""
    if default in ("factory: dict", "factory: list"):
        return {"factory: dict": "{}", "factory: list": "[]"}[default]
    if default is not None and "is_torch_available" in default:
        return "None"
    return None if default == "factory: LoraRuntimeConfig" else default


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


@pytest.mark.parametrize("path", sorted(UPSTREAM.rglob("*.json")), ids=lambda path: path.stem)
def test_a_record_names_the_release_of_its_file(path):
    record = json.loads(path.read_text())
    assert (record["package"], record["version"]) == (path.parent.name, path.stem)
