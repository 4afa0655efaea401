"""Loading the YAML tables: every fault is reported, with file and line."""

from __future__ import annotations

import textwrap

import pytest
from mint_migrate.tables.load import TableError, load_folder

LINK = "https://github.com/huggingface/trl/blob/" + "a" * 40 + "/trl/trainer/sft_config.py"
RULES = """
    rules:
      - code: MM211
        title: hardware
        finds: Options.
        writes: Nothing.
        fidelity: dropped
        lost: Nothing.
        before: "x = 1"
        after: "x = 1"
        source: {link}
        way_out: Nothing.
"""


@pytest.fixture
def folder(tmp_path):
    mappings = tmp_path / "mappings"
    mappings.mkdir()
    write(mappings, "rules.yaml", RULES)
    return mappings


def write(mappings, name, text):
    path = mappings / name
    path.write_text(textwrap.dedent(text).lstrip("\n").replace("{link}", LINK), encoding="utf-8")


def faults(mappings):
    with pytest.raises(TableError) as caught:
        load_folder(mappings)
    return caught.value.faults


def test_a_table_becomes_rows_with_full_links(folder):
    write(
        folder,
        "sft.yaml",
        """
        sources:
          v1: {link}
        rows:
          - id: trl.SFTConfig.bf16
            defaults: {"0.9.0": "False", "0.19.0": "None"}
            to: nothing
            fidelity: dropped
            code: MM211
            transform: drop
            note: The server decides.
            source: "v1#L12"
        """,
    )
    (row,) = load_folder(folder).rows
    assert row.source == f"{LINK}#L12"
    assert row.default_in("0.20.0") == "None"


def test_faults_of_all_files_are_reported_with_their_lines(folder):
    write(
        folder,
        "a.yaml",
        """
        rows:
          - id: trl.A
            to: x
            fidelity: exakt
            transform: keep
            source: {link}
        """,
    )
    write(
        folder,
        "b.yaml",
        """
        rows:
          - id: trl.B
            to: x
            fidelity: exact
            transform: keep
            source: {link}
            sauce: none
        """,
    )
    found = faults(folder)
    assert len(found) == 2
    assert found[0].startswith("mappings/a.yaml:4: rows.0.fidelity: ")
    assert found[1].startswith("mappings/b.yaml:7: rows.0.sauce: ")


def test_a_missing_key_is_reported_at_its_row(folder):
    first = f"  - {{id: trl.A, to: x, transform: keep, fidelity: exact, source: {LINK}}}\n"
    second = "  - {id: trl.B, to: x, transform: keep, fidelity: exact}\n"
    (folder / "a.yaml").write_text("rows:\n" + first + second, encoding="utf-8")
    assert faults(folder) == ["mappings/a.yaml:3: rows.1.source: Field required"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("fidelity: dropped\n    note: Why.", "needs a code"),
        ("fidelity: dropped\n    code: MM211", "needs a note"),
        ("fidelity: manual\n    code: MM211\n    note: Why.", "transform stop or rule"),
        ('fidelity: exact\n    since: "1.0"\n    until: "1.0.0"', "is not before until"),
        ('fidelity: exact\n    neutral: ["torch.bfloat16"]', "is not a Python literal"),
        ("fidelity: exact\n    code: X1", "is not a code"),
        ('fidelity: exact\n    defaults: {"1.0": "1", "0.9": "2"}', "order of their releases"),
        ('fidelity: exact\n    since: "new"', "is not a release number"),
    ],
)
def test_an_incoherent_row_is_refused(folder, line, message):
    text = f"rows:\n  - id: trl.A\n    to: x\n    transform: keep\n    source: {LINK}\n    {line}\n"
    (folder / "a.yaml").write_text(text, encoding="utf-8")
    (fault,) = faults(folder)
    assert message in fault
    assert fault.startswith("mappings/a.yaml:")


@pytest.mark.parametrize(
    "source",
    [
        "https://github.com/huggingface/trl/blob/main/trl/trainer/sft_config.py",
        "https://github.com/huggingface/trl/blob/v1.0.0/trl/trainer/sft_config.py",
        "https://huggingface.co/docs/trl",
        "docs",
    ],
)
def test_a_source_that_can_change_is_refused(folder, source):
    text = (
        f"rows:\n  - {{id: trl.A, to: x, transform: keep, fidelity: exact, source: '{source}'}}\n"
    )
    (folder / "a.yaml").write_text(text, encoding="utf-8")
    (fault,) = faults(folder)
    assert "is not pinned" in fault


def test_rows_of_one_name_may_not_share_a_release(folder):
    line = "  - {{id: trl.A, to: x, transform: keep, fidelity: exact, source: '{0}', {1}}}\n"
    text = "rows:\n" + line.format(LINK, "until: '0.12.0'") + line.format(LINK, "since: '0.11.0'")
    (folder / "a.yaml").write_text(text, encoding="utf-8")
    assert faults(folder) == ["trl.A: two rows for release 0.11.0"]


def test_unsorted_rows_unknown_codes_and_lost_aliases_are_refused(folder):
    line = "  - {{id: {0}, to: x, transform: keep, fidelity: exact, code: MM999, source: '{1}'}}\n"
    text = "rows:\n" + line.format("trl.B", LINK) + line.format("trl.A", LINK)
    (folder / "a.yaml").write_text(text, encoding="utf-8")
    write(folder, "aliases.yaml", "roots: [trl]\naliases: {trl.x.C: trl.C}\n")
    assert faults(folder) == [
        "a.yaml: rows are not sorted by id; the first is `trl.B`",
        "trl.B: code MM999 is not in rules.yaml",
        "trl.A: code MM999 is not in rules.yaml",
        "aliases.yaml: trl.x.C leads to `trl.C`, which has no row",
    ]


def test_text_that_is_not_yaml_is_named_with_its_line(folder):
    (folder / "a.yaml").write_text("rows:\n  - id: [\n", encoding="utf-8")
    (fault,) = faults(folder)
    assert fault.startswith("mappings/a.yaml:3: not YAML")


def test_ranges_of_a_fact_may_leave_no_gap(folder):
    write(
        folder,
        "sft_semantics.yaml",
        """
        facts:
          - fact: append_eos
            package: trl
            meaning: Whether the end is marked.
            ranges:
              - until: "0.15.0"
                value: false
                note: No.
                source: {link}
              - since: "0.16.0"
                value: true
                note: Yes.
                source: {link}
        """,
    )
    (fault,) = faults(folder)
    assert "append_eos: the ranges leave a gap or overlap" in fault
