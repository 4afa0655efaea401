"""From outcomes to the report: order, counts, status, exit status."""

from __future__ import annotations

import dataclasses

import pytest
from mint_migrate.model.plan import Fidelity
from mint_migrate.model.report import Counts
from mint_migrate.report.build import Entry, build, exit_status
from support.outcomes import FAILED, REFUSED, SKIPPED, decision, decisions, migrated


def report(*entries: Entry):
    return build(entries, version="0.1.0")


def entry(**changes: object) -> Entry:
    return Entry(outcome=migrated(**changes), output="train_mint.py")


def test_every_decision_is_one_item_in_the_order_of_the_script():
    items = report(entry()).files[0].items
    assert [item.line for item in items] == [4, 5, 6, 7, 8, 9, 11]
    assert {item.name for item in items} == {each.found.name for each in decisions()}


def test_counts_cover_every_item_and_totals_add_up():
    built = report(entry(), entry(), Entry(outcome=FAILED))
    assert built.files[0].counts == Counts(exact=3, approximate=1, dropped=1, manual=2)
    assert built.totals == Counts(exact=6, approximate=2, dropped=2, manual=4)


@pytest.mark.parametrize(
    ("given", "status", "output"),
    [
        (entry(), "converted", "train_mint.py"),
        (entry(partial=True), "partial", "train_mint.py"),
        (entry(text=None), "unchanged", None),
        (dataclasses.replace(entry(), refusal=REFUSED), "failed", None),
        (Entry(outcome=SKIPPED), "unchanged", None),
        (Entry(outcome=FAILED), "failed", None),
    ],
)
def test_the_status_of_a_file(given, status, output):
    file = report(given).files[0]
    assert (file.status, file.output) == (status, output)


@pytest.mark.parametrize(
    ("outcome", "message"),
    [
        (SKIPPED, "MM107 no source framework is used"),
        (FAILED, "MM101 this does not parse: '(' was never closed"),
    ],
)
def test_a_file_without_result_says_why(outcome, message):
    assert report(Entry(outcome=outcome)).files[0].message == message


def only(fidelity: Fidelity, *, suppressed: bool = False) -> Entry:
    return entry(decisions=(decision("bf16=True", fidelity, code="MM1", suppressed=suppressed),))


@pytest.mark.parametrize(
    ("entries", "strict", "expected"),
    [
        ([], False, 0),
        ([only(Fidelity.EXACT)], True, 0),
        ([only(Fidelity.DROPPED)], True, 0),
        ([only(Fidelity.APPROXIMATE)], False, 0),
        ([only(Fidelity.APPROXIMATE)], True, 1),
        ([only(Fidelity.APPROXIMATE, suppressed=True)], True, 0),
        ([only(Fidelity.MANUAL)], False, 1),
        ([only(Fidelity.MANUAL, suppressed=True)], False, 0),
        ([Entry(outcome=SKIPPED)], False, 0),
        ([only(Fidelity.MANUAL), Entry(outcome=FAILED)], False, 2),
    ],
)
def test_the_exit_status_is_the_highest_of_the_files(entries, strict, expected):
    assert exit_status(report(*entries), strict=strict) == expected
