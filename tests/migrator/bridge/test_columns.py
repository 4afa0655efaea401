"""Columns a script reads from its data."""

import pytest
from mint_migrate.bridge.columns import find_columns
from support.cases import FIXTURES, cases


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("trainer = SFTTrainer(train_dataset=d)", {"messages"}),
        ("SFTConfig(dataset_text_field='content')", {"content"}),
        ("SFTConfig(completion_only_loss=True)", {"prompt", "completion"}),
        ("d.filter(lambda r: len(r['body']) > 3)", {"body"}),
        ("d.map(lambda r: {'text': r['q'] + r['a']})", {"q", "a"}),
        ("def f(row):\n    return {'text': row.get('q')}\nd.map(f)\n", {"q"}),
        ("def f(row):\n    return f\"{row['q']}\"\nSFTTrainer(formatting_func=f)\n", {"q"}),
        ("d.rename_column('body', 'text')", {"body"}),
        ("d.map(f, remove_columns=['id', 'body'])", {"id", "body"}),
        ("def f(r):\n    r['text'] = r['q']\n    return tok(r['text'])\nd.map(f)\n", {"q"}),
        ("def f(r):\n    r['text'] = r['text'].strip()\n    return r\nd.map(f)\n", {"text"}),
        ("for row in dataset:\n    use(row['q'])\n", {"q"}),
        ("T = 'Q: {q} A: {a}'\nd.map(lambda r: {'text': T.format(**r)})", {"q", "a"}),
    ],
)  # fmt: skip
def test_columns_that_are_read_are_found(source, expected):
    assert set(find_columns(source).names) == expected


def test_column_made_by_an_earlier_function_is_not_in_the_source():
    columns = find_columns(
        "d = d.map(lambda r: {'text': r['q']})\nd = d.filter(lambda r: len(r['text']) > 1)\n"
    )
    assert columns.names == ("q",)


def test_column_under_a_chat_template_holds_messages():
    columns = find_columns(
        "d.map(lambda r: {'text': tokenizer.apply_chat_template(r['turns'], tokenize=False)})"
    )
    assert columns.conversational == {"turns"}


def test_constants_compared_with_a_column_are_kept_for_its_values():
    columns = find_columns("d.filter(lambda r: r['lang'] in ('en', 'de') and r['n'] == 3)")
    assert dict(columns.literals) == {"lang": ("en", "de"), "n": (3,)}


def hub_cases() -> list:
    """Return the fixtures that train on data from the hub, with the columns their notes declare."""
    return [
        pytest.param(FIXTURES / case["path"], data["columns"], id=case["id"])
        for case in cases()
        if case.get("trains")
        for data in case["data"]
        if data["kind"] == "hub"
    ]


UNREAD = {"source", "num_turns", "tags"}
"""Columns that fixtures declare and their scripts never name, so that nothing can tell of them."""


@pytest.mark.parametrize(("script", "declared"), hub_cases())
def test_every_column_a_fixture_names_is_found_with_its_kind(script, declared):
    columns = find_columns(script.read_text(encoding="utf-8"))
    assert set(declared) - UNREAD <= set(columns.names)
    assert {name for name, kind in declared.items() if kind == "messages"} == columns.conversational
