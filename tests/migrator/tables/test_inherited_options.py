"""Rows that several programs share, and rows of options that got another name."""

from __future__ import annotations

from typing import Any

import pytest
from mint_migrate.tables.configs import recorded_renames
from mint_migrate.tables.lookup import Tables
from mint_migrate.tables.schema import RenamesFile

LINK = "https://pypi.org/project/openrlhf/0.11.2/"
VERSIONS = ["0.9.1", "0.10.2"]
SURFACE = {
    "openrlhf.train_ppo": {"l2": [0, 1]},
    "openrlhf.train_ppo_ray": {"l2": [0, 1], "adam.decay": [1, 2], "eps_clip": [0, 2]},
    "openrlhf.train_sft": {"l2": [0, 1], "decay": [1, 2]},
}
RENAMED = [
    {"old": "l2", "new": ["adam.decay"], "programs": ["train_ppo_ray"]},
    {"old": "l2", "new": ["decay"]},
]


def row(to: str) -> list[Any]:
    return [None, None, [], to, "exact", None, "keep", [], "", "", "", LINK]


def tables(**rows: str) -> Tables:
    """Return tables with rows by name, dots written as `__`, and where each goes."""
    entries = {f"openrlhf.{name.replace('__', '.')}": [row(to)] for name, to in rows.items()}
    defaults = {
        owner: {option: [[VERSIONS[ranges[0]], "0.1"]] for option, ranges in options.items()}
        for owner, options in SURFACE.items()
    }
    part = {
        "rows": entries,
        "surface": SURFACE,
        "bases": {},
        "closed": {},
        "defaults": defaults,
        "variants": {},
        "rules": {},
        "inherits": {
            "openrlhf.train_ppo": "openrlhf.train_ppo_ray",
            "openrlhf.train_ppo_ray": "openrlhf.common",
            "openrlhf.train_sft": "openrlhf.common",
        },
        "renames": {
            "openrlhf.train_ppo_ray": {"l2": ["adam.decay"]},
            "openrlhf.train_sft": {"l2": ["decay"]},
        },
    }
    index = {
        "parts": ["openrlhf"],
        "rows": {},
        "aliases": {},
        "roots": [],
        "rules": {},
        "versions": {"openrlhf": VERSIONS},
        "surface": {},
        "bases": {},
        "closed": {},
    }
    return Tables(index, lambda _: part)


@pytest.mark.parametrize(
    ("name", "goes_to"),
    [
        ("train_sft.l2", "shared"),
        ("train_sft.decay", "shared"),
        ("train_ppo_ray.l2", "own"),
        ("train_ppo_ray.adam.decay", "own"),
        ("train_ppo.l2", "own"),
    ],
)
def test_the_nearest_row_decides(name, goes_to):
    found = tables(common__l2="shared", train_ppo_ray__l2="own").row(f"openrlhf.{name}")
    assert found is not None
    assert found.to == goes_to


def test_a_row_of_the_new_name_comes_before_that_of_the_old_one():
    both = tables(train_ppo_ray__l2="old", train_ppo_ray__adam__decay="new")
    assert both.row("openrlhf.train_ppo_ray.adam.decay").to == "new"
    assert both.row("openrlhf.train_ppo_ray.l2").to == "old"


def test_a_shared_row_has_the_releases_and_the_default_of_the_option():
    shared = tables(common__l2="shared")
    old, new = (shared.row(f"openrlhf.train_sft.{name}") for name in ("l2", "decay"))
    assert (old.since, old.until, old.default_in("0.9.1")) == (None, "0.10.2", "0.1")
    assert (new.since, new.until, new.default_in("0.10.2")) == ("0.10.2", None, "0.1")


def test_a_program_without_the_option_has_no_row_for_it():
    shared = tables(common__eps_clip="shared", common__l2="shared")
    assert shared.row("openrlhf.train_ppo_ray.eps_clip") is not None
    assert shared.row("openrlhf.train_sft.eps_clip") is None
    assert shared.row("openrlhf.train_sft.l2", "0.10.2") is None


def test_a_rename_holds_for_the_programs_that_have_both_names():
    records = {
        "openrlhf": {
            version: {
                "classes": {
                    owner: {
                        "fields": {
                            option: "0.1"
                            for option, (start, end) in options.items()
                            if start <= position < end
                        }
                    }
                    for owner, options in SURFACE.items()
                }
            }
            for position, version in enumerate(VERSIONS)
        }
    }
    table = RenamesFile.model_validate(
        {"since": "0.10.2", "renamed": RENAMED, "replaced": [], "kept": [], "gone": []}
    )
    assert recorded_renames(records, {"openrlhf": table}) == {
        "openrlhf.train_ppo_ray": {"l2": ["adam.decay"]},
        "openrlhf.train_sft": {"l2": ["decay"]},
    }
