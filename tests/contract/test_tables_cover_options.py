"""Every option of every recorded release of verl and OpenRLHF has a row, and nothing else has."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from mint_migrate.resources import data_dir
from mint_migrate.tables.compile import load_records
from mint_migrate.tables.configs import PARTS
from mint_migrate.tables.lookup import Tables, load_tables
from mint_migrate.tables.options import read_part

MAPPINGS = Path(__file__).parents[2] / "mappings"
RECORDS = {
    package: releases
    for package, releases in load_records(MAPPINGS / "_upstream").items()
    if package in PARTS
}
TABLES = load_tables()
RELEASES = [(package, release) for package, found in RECORDS.items() for release in found]


def recorded(package: str, release: str) -> Iterator[tuple[str, str | None]]:
    """Yield (qualified name, default) of each option of a release."""
    for owner, entry in RECORDS[package][release]["classes"].items():
        for name, default in entry["fields"].items():
            yield f"{owner}.{name}", default


def missing(tables: Tables, package: str, release: str) -> list[str]:
    """Return the options of a release that have no row."""
    names = (name for name, _ in recorded(package, release))
    return [name for name in names if tables.row(name, release) is None]


def without(package: str, *ids: str) -> Tables:
    """Return the tables without the rows *ids*."""

    def read(name: str) -> dict[str, Any]:
        part = read_part(name)
        if name == package:
            for each in ids:
                del part["rows"][each]
        return part

    return Tables(json.loads((data_dir("mappings") / "index.json").read_bytes()), read)


@pytest.mark.parametrize(("package", "release"), RELEASES)
def test_every_recorded_option_has_a_row_in_its_release(package, release):
    assert missing(TABLES, package, release) == []


@pytest.mark.parametrize(
    ("deleted", "named"),
    [
        (
            "verl.config.actor_rollout_ref.actor.clip_ratio_c",
            "verl.config.actor_rollout_ref.actor.clip_ratio_c",
        ),
        ("verl.sft_config.optim.lr", "verl.sft_config.optim.lr"),
        (
            "verl.config.actor_rollout_ref.actor.fsdp_config.**",
            "verl.config.actor_rollout_ref.actor.fsdp_config.param_offload",
        ),
    ],
)
def test_a_deleted_row_leaves_its_options_missing(deleted, named):
    assert named in missing(without("verl", deleted), "verl", "0.9.1")


@pytest.mark.parametrize(("package", "release"), RELEASES)
def test_defaults_are_those_of_the_release(package, release):
    wrong = {}
    for name, default in recorded(package, release):
        row = TABLES.row(name, release)
        found = row.default_in(release) if row is not None else None
        if found != default:
            wrong[name] = (default, found)
    assert not wrong


def test_an_option_that_no_release_lists_stands_in_a_table_of_such_options():
    listed = {name for package, release in RELEASES for name, _ in recorded(package, release)}
    others = {
        entry["id"]
        for path in MAPPINGS.glob("*/unlisted.yaml")
        for entry in yaml.safe_load(path.read_text(encoding="utf-8"))["rows"]
    }
    options = {row.id for row in TABLES if TABLES.is_option(row.id) and "*" not in row.id}
    assert options - listed - others == set()
    assert others & listed == set()


def test_a_family_has_a_recorded_option_or_is_unlisted():
    names = [name for package, release in RELEASES for name, _ in recorded(package, release)]
    unlisted = {
        entry["id"]
        for path in MAPPINGS.glob("*/unlisted.yaml")
        for entry in yaml.safe_load(path.read_text(encoding="utf-8"))["rows"]
    }
    families = {row.id for row in TABLES if row.id.endswith("*") and TABLES.is_option(row.id)}
    empty = {
        family
        for family in families - unlisted
        if not any(name.startswith(family.rstrip("*")) for name in names)
    }
    assert empty == {name for name in empty if name.removesuffix(".**") in names}


@pytest.mark.parametrize("package", RECORDS)
def test_options_are_recorded_with_the_entry_point_that_takes_them(package):
    for release in RECORDS[package]:
        for owner, entry in RECORDS[package][release]["classes"].items():
            entry_point = {"verl.config": "main_ppo", "verl.sft_config": "sft_trainer"}.get(
                owner, "main_generation" if package == "verl" else owner.rpartition(".")[2]
            )
            assert TABLES.config_keys(package, entry_point, release) == set(entry["fields"])
