"""The report as text, Markdown and JSON. The snapshots are read when they change."""

from __future__ import annotations

import dataclasses
import json

import jsonschema
import pytest
from mint_migrate.model.plan import Fidelity
from mint_migrate.report.as_json import as_json, schema_text
from mint_migrate.report.as_markdown import as_markdown
from mint_migrate.report.as_text import as_text
from mint_migrate.report.build import Entry, build
from mint_migrate.report.diff import colored, unified
from support.outcomes import FAILED, REFUSED, RESULT, SCRIPT, SKIPPED, decision, migrated


@pytest.fixture
def one():
    return build([Entry(outcome=migrated(), output="train_mint.py")], version="0.1.0")


@pytest.fixture
def several():
    entries = [
        Entry(outcome=migrated(partial=True), output="train_mint.py"),
        Entry(outcome=migrated(text=None)),
        Entry(outcome=migrated(), output="train_mint.py", refusal=REFUSED),
        Entry(outcome=SKIPPED),
        Entry(outcome=FAILED),
    ]
    return build(entries, version="0.1.0")


def test_text_of_one_script(one, snapshot):
    assert as_text(one) == snapshot


def test_text_with_exact_items(one, snapshot):
    assert as_text(one, verbose=True) == snapshot


def test_text_when_approximate_items_need_a_person(one, snapshot):
    assert as_text(one, strict=True) == snapshot


def test_text_of_several_scripts(several, snapshot):
    assert as_text(several) == snapshot


def test_markdown_of_one_script(one, snapshot):
    assert as_markdown(one) == snapshot


def test_markdown_of_several_scripts(several, snapshot):
    assert as_markdown(several, strict=True) == snapshot


def test_json_of_one_script(one, snapshot):
    assert as_json(one) == snapshot


def validator() -> jsonschema.Draft202012Validator:
    schema = json.loads(schema_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


@pytest.mark.parametrize("name", ["one", "several"])
def test_json_fits_its_schema(name, request):
    validator().validate(json.loads(as_json(request.getfixturevalue(name))))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("version",), 2),
        (("files", 0, "status"), "done"),
        (("files", 0, "output"), None),
        (("files", 0, "items", 0, "decision"), "lost"),
        (("files", 0, "items", 6, "code"), None),
        (("files", 0, "items", 0, "line"), 0),
        (("files", 0, "items", 0, "kind"), "comment"),
        (("totals", "manual"), -1),
    ],
)
def test_the_schema_refuses_what_is_not_version_1(one, path, value):
    record = json.loads(as_json(one))
    place = record
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    assert not validator().is_valid(record)


@pytest.mark.parametrize("key", ["version", "tool", "target", "files", "totals"])
def test_the_schema_misses_what_is_left_out(one, key):
    record = json.loads(as_json(one))
    del record[key]
    assert not validator().is_valid(record)


def test_no_line_of_the_tables_is_wider_than_the_terminal(one):
    lines = as_text(one, verbose=True).split("\n")
    counts = lines[-2]
    wide = [line for line in lines if len(line) > 80 and not line.startswith("train.py:")]
    assert wide in ([], [counts])


def test_a_finding_is_one_line_that_editors_can_jump_to(one):
    findings = [line for line in as_text(one).split("\n") if line.startswith("train.py:11:")]
    assert findings == [
        "train.py:11:52: MM226 `compute_metrics=my_metrics`: `my_metrics` reads logits, which MinT "
        "does not return; compute it from log-probabilities or from samples"
    ]


def of_one_reason(count: int):
    items = tuple(
        decision("bf16=True", Fidelity.MANUAL, name=f"trl.{n}", code="MM230", note="no way")
        for n in range(count)
    )
    return build([Entry(outcome=migrated(decisions=items))], version="0.1.0")


@pytest.mark.parametrize(("count", "shown"), [(3, 3), (4, 1)])
def test_many_findings_of_one_reason_are_one_line_and_a_count(count, shown):
    text = as_text(of_one_reason(count))
    assert text.count("MM230 `bf16=True`") == shown
    assert ("  and 3 more for that reason" in text) is (count == 4)


def test_verbose_shows_every_finding():
    assert as_text(of_one_reason(4), verbose=True).count("MM230 `bf16=True`") == 4


def test_many_files_skipped_for_one_reason_are_one_line_and_a_count():
    skipped = [dataclasses.replace(SKIPPED, path=f"lib/{number}.py") for number in range(9)]
    report = build([Entry(outcome=each) for each in skipped], version="0.1.0")
    assert "lib/0.py" in as_text(report)
    assert "lib/1.py" not in as_text(report)
    assert "and 8 more files for that reason" in as_text(report)
    assert all(each.path in as_text(report, verbose=True) for each in skipped)


def test_every_item_is_named_in_markdown(one):
    text = as_markdown(one)
    missing = [i.source_text for i in one.files[0].items if i.source_text.split("|")[0] not in text]
    assert missing == []


def test_text_from_the_script_cannot_break_a_markdown_table():
    nasty = 'dataset_kwargs={"skip_prepare_dataset": True | False}'
    item = decision(nasty, Fidelity.DROPPED, code="MM240", note="a | b\n| c <b>")
    report = build([Entry(outcome=migrated(decisions=(item,)))], version="0.1.0")
    row = next(line for line in as_markdown(report).split("\n") if line.startswith("| 9 |"))
    assert row.replace("\\|", "").count("|") == 5
    assert "\\<b\\>" in row


def test_text_from_the_script_is_not_read_as_markup():
    item = decision("bf16=True", Fidelity.MANUAL, code="MM240", note="[bold]no[/bold] [link=x]")
    report = build([Entry(outcome=migrated(decisions=(item,)))], version="0.1.0")
    assert "[bold]no[/bold] [link=x]" in as_text(report)


def test_counts_in_the_last_line_add_up(one):
    assert as_text(one).rstrip("\n").split("\n")[-1] == (
        "1 script, 7 arguments: 3 exact, 1 approximate, 1 dropped, 1 needs you, "
        "1 accepted by a comment"
    )


def test_a_diff_is_in_the_json_only_where_asked_for(one):
    asked = dataclasses.replace(
        one, files=(dataclasses.replace(one.files[0], diff="--- a\n"), *one.files[1:])
    )
    assert "diff" not in json.loads(as_json(one))["files"][0]
    assert json.loads(as_json(asked))["files"][0]["diff"] == "--- a\n"


def test_a_diff_of_equal_texts_is_empty():
    assert unified(SCRIPT, SCRIPT, "a", "b") == ""


def test_a_diff_has_no_dates():
    assert unified(SCRIPT, RESULT, "train.py", "train_mint.py").startswith(
        "--- train.py\n+++ train_mint.py\n@@ "
    )


def test_a_diff_says_where_the_last_newline_is_missing():
    assert unified("a\nb", "a\nb\n", "x", "y").endswith("-b\n\\ No newline at end of file\n+b\n")


def test_a_colored_diff_has_the_same_text_and_marks_both_sides():
    diff = unified("a = 1\nb = 2\n", "a = 1\nb = 3\n", "x", "y")
    text = colored(diff)
    styles = {text.plain[span.start : span.end]: span.style for span in text.spans}
    assert text.plain == diff
    assert styles["-b = 2\n"] == "red"
    assert styles["+b = 3\n"] == "green"
    assert styles["+++ y\n"] == "bold"


def test_only_newlines_end_a_line_of_a_diff():
    assert unified("a = '\x0c\u2028'\n", "b\n", "x", "y").count("\n") == 5
