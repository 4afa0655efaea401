"""The tables know every option of every recorded release of OpenRLHF, in both vocabularies."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from mint_migrate.tables.compile import load_records
from mint_migrate.tables.lookup import Tables, load_tables
from mint_migrate.tables.options import read_part

MAPPINGS = Path(__file__).parents[2] / "mappings"
RECORDS = load_records(MAPPINGS / "_upstream")["openrlhf"]
TABLES = load_tables()
RENAMES: dict[str, Any] = yaml.safe_load((MAPPINGS / "openrlhf" / "renames.yaml").read_text())
LAST_FLAT, FIRST_DOTTED = "0.10.0", "0.10.2"
PROGRAMS = [name.partition(".")[2] for name in RECORDS[FIRST_DOTTED]["classes"]]


def options(release: str) -> Iterator[tuple[str, str | None]]:
    """Yield (qualified name, default) of each option of a release."""
    for program, entry in RECORDS[release]["classes"].items():
        for name, default in entry["fields"].items():
            yield f"{program}.{name}", default


def fields(program: str, release: str) -> dict[str, str | None]:
    """Return the options of a program in a release, with their defaults."""
    found: dict[str, str | None] = RECORDS[release]["classes"][f"openrlhf.{program}"]["fields"]
    return found


def missing(tables: Tables, release: str) -> list[str]:
    """Return the programs and options of a release that have no row."""
    names = [*RECORDS[release]["classes"], *(name for name, _ in options(release))]
    return [name for name in names if tables.row(name, release) is None]


def test_both_vocabularies_are_recorded():
    assert len(RECORDS) == 12
    assert fields("train_ppo_ray", LAST_FLAT)["eps_clip"] == "0.2"
    assert fields("train_ppo_ray", FIRST_DOTTED)["actor.eps_clip"] == "0.2"


@pytest.mark.parametrize("release", RECORDS)
def test_every_program_and_option_has_a_row_in_its_release(release):
    assert missing(TABLES, release) == []


@pytest.mark.parametrize("release", RECORDS)
def test_defaults_are_those_of_the_release(release):
    rows = {name: TABLES.row(name, release) for name, _ in options(release)}
    found = {name: row.default_in(release) if row else "no row" for name, row in rows.items()}
    assert found == dict(options(release))


@pytest.mark.parametrize("release", RECORDS)
def test_a_release_without_an_option_has_no_row_for_it(release):
    here = {name for name, _ in options(release)}
    elsewhere = {name for other in RECORDS for name, _ in options(other)} - here
    assert [name for name in sorted(elsewhere) if TABLES.row(name, release) is not None] == []


@cache
def part() -> str:
    return json.dumps(read_part("openrlhf"))


def without(row: str) -> Tables:
    """Return the tables as they are when one row is not there."""
    found: dict[str, Any] = json.loads(part())
    del found["rows"][row]
    index = json.loads((MAPPINGS / "index.json").read_bytes())
    return Tables(index, lambda package: found if package == "openrlhf" else read_part(package))


@pytest.mark.parametrize(
    ("row", "release", "named"),
    [
        ("train_ppo_ray.eps_clip", "0.9.1", ["train_ppo_ray.eps_clip"]),
        ("train_ppo_ray.eps_clip", "0.11.2", ["train_ppo_ray.actor.eps_clip"]),
        ("train_ppo_ray.gamma", "0.3.8", ["train_ppo.gamma", "train_ppo_ray.gamma"]),
        ("train_dpo.ipo", "0.11.2", ["train_dpo.model.ipo_enable"]),
        ("train_kd", "0.9.1", ["train_kd"]),
        (
            "common.l2",
            "0.11.2",
            [
                *("train_dpo.adam.weight_decay", "train_ppo_ray.actor.adam.weight_decay"),
                *("train_rm.adam.weight_decay", "train_sft.adam.weight_decay"),
            ],
        ),
    ],
)
def test_a_deleted_row_is_named(row, release, named):
    assert missing(without(f"openrlhf.{row}"), release) == [f"openrlhf.{name}" for name in named]


def test_every_row_decides_an_option():
    found = {
        row.id
        for release in RECORDS
        for name in [*RECORDS[release]["classes"], *(name for name, _ in options(release))]
        if (row := TABLES.row(name, release)) is not None
    }
    python = yaml.safe_load((MAPPINGS / "openrlhf" / "python.yaml").read_text())
    beside = {row["id"] for row in python["rows"]}
    assert {row.id for row in TABLES.rows_for("openrlhf")} - beside == found


def listed(program: str, option: str) -> list[str]:
    """Return the lists of the renames in which an option of a program stands."""
    return [
        kind
        for kind in ("renamed", "replaced", "kept", "gone")
        for entry in RENAMES[kind]
        if entry["old"] == option and program in entry.get("programs", [program])
    ]


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_option_before_the_renaming_stands_in_one_list(program):
    lists = {name: listed(program, name) for name in fields(program, LAST_FLAT)}
    assert {name: kinds for name, kinds in lists.items() if len(kinds) != 1} == {}


def test_options_that_were_gone_before_the_renaming_are_listed_too():
    flat = list(RECORDS)[: list(RECORDS).index(FIRST_DOTTED)]
    trained = {
        name.split(".", 2)[2]
        for release in flat
        for name, _ in options(release)
        if name.startswith("openrlhf.train_")
    }
    known = {entry["old"] for kind in RENAMES if kind != "since" for entry in RENAMES[kind]}
    assert trained - known == set()


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_renamed_option_takes_over_its_default(program):
    before, after = fields(program, LAST_FLAT), fields(program, FIRST_DOTTED)
    renamed = {old: new for old, new in TABLES.renamed_flags(program).items() if old in before}
    assert renamed
    moved = {old: (as_number(before[old]), as_number(after[new])) for old, new in renamed.items()}
    assert {old: pair for old, pair in moved.items() if pair[0] != pair[1]} == {}


def as_number(default: str | None) -> float | str | None:
    """Return a default as a number where it is one, also as text; some changed their type only."""
    try:
        return float((default or "").strip("'"))
    except ValueError:
        return default


@pytest.mark.parametrize("program", PROGRAMS)
def test_what_the_renames_say_of_an_option_is_so(program):
    before, after = fields(program, LAST_FLAT), fields(program, FIRST_DOTTED)
    wrong = [name for name in before if (name in after) is not (listed(program, name) == ["kept"])]
    targets = {
        name
        for kind in ("renamed", "replaced")
        for entry in RENAMES[kind]
        if entry["old"] in before and program in entry.get("programs", [program])
        for name in entry["new"]
    }
    assert wrong == []
    assert targets <= set(after)
