"""Synthetic rows."""

import json
import re

import pytest
from mint_migrate.bridge.columns import Columns
from mint_migrate.bridge.rows import LONG_ROW_EVERY, RowPlan, make_rows, read_rows


def test_same_plan_gives_the_same_rows_and_another_split_others():
    columns, plan = Columns(names=("text",)), RowPlan(num_rows=20)
    rows = make_rows(columns, plan, split="train")
    assert rows == make_rows(columns, plan, split="train")
    assert rows != make_rows(columns, plan, split="test")


def test_rows_have_uneven_lengths_and_some_pass_the_limit():
    rows = make_rows(
        Columns(names=("text",)),
        RowPlan(num_rows=LONG_ROW_EVERY + 1, long_row_words=300),
        split="train",
    )
    words = [len(row["text"].split()) for row in rows]
    assert max(words) == 300
    assert words.count(300) == 1
    assert len(set(words)) > 3


def test_conversations_alternate_and_end_with_the_assistant():
    columns = Columns(names=("messages",), conversational=frozenset({"messages"}))
    for row in make_rows(columns, RowPlan(num_rows=30), split="train"):
        roles = [message["role"] for message in row["messages"]]
        spoken = [role for role in roles if role != "system"]
        assert spoken == ["user", "assistant"] * (len(spoken) // 2)
        assert roles.index("user") <= 1


def test_conversational_prompt_ends_with_the_user_and_its_completion_is_the_answer():
    columns = Columns(
        names=("prompt", "completion"), conversational=frozenset({"prompt", "completion"})
    )
    row = make_rows(columns, RowPlan(num_rows=1), split="train")[0]
    assert row["prompt"][-1]["role"] == "user"
    assert [message["role"] for message in row["completion"]] == ["assistant"]


def test_values_that_a_filter_wants_occur_and_others_too():
    columns = Columns(names=("text", "lang"), literals=(("lang", ("en",)),))
    rows = make_rows(columns, RowPlan(num_rows=60), split="train")
    kept = sum(row["lang"] == "en" for row in rows)
    assert 30 <= kept < 60


def test_token_columns_of_a_row_have_one_length():
    columns = Columns(names=("input_ids", "labels", "attention_mask"))
    for row in make_rows(columns, RowPlan(num_rows=10), split="train"):
        assert len(row["input_ids"]) == len(row["labels"]) == len(row["attention_mask"])


@pytest.mark.parametrize("text", ['[{"a": 1}]', '{"a": 1}\n', '{"a": 1}'])
def test_json_lists_and_json_lines_are_read(text):
    assert read_rows(text, ".json") == ({"a": 1},)


@pytest.mark.parametrize("text", ["", "[]", "[1]", '"a"', "not json"])
def test_what_is_not_a_list_of_rows_is_refused(text):
    with pytest.raises(ValueError):  # noqa: PT011 - the sentence is the caller's
        read_rows(text, ".json")


def test_rows_survive_json():
    columns = Columns(names=("messages", "id"), conversational=frozenset({"messages"}))
    rows = make_rows(columns, RowPlan(num_rows=5), split="train")
    assert json.loads(json.dumps(rows)) == list(rows)


PAIRS = ("chosen", "rejected")


def test_answers_of_messages_follow_the_same_conversation():
    columns = Columns(names=PAIRS, conversational=frozenset(PAIRS))
    for row in make_rows(columns, RowPlan(num_rows=20), split="train"):
        chosen, rejected = row["chosen"], row["rejected"]
        assert isinstance(chosen, list)
        assert isinstance(rejected, list)
        assert chosen[:-1] == rejected[:-1]
        assert chosen[-2]["role"] == "user"
        assert chosen[-1]["role"] == rejected[-1]["role"] == "assistant"
        assert chosen[-1] != rejected[-1]


def test_answers_beside_a_prompt_of_messages_are_one_message_each():
    columns = Columns(names=("prompt", *PAIRS), conversational=frozenset({"prompt", *PAIRS}))
    for row in make_rows(columns, RowPlan(num_rows=20), split="train"):
        assert [message["role"] for message in row["chosen"]] == ["assistant"]
        assert row["prompt"][-1]["role"] == "user"


def test_marks_are_yes_and_no():
    columns = Columns(names=("label",), booleans=frozenset({"label"}))
    rows = make_rows(columns, RowPlan(num_rows=40), split="train")
    assert {row["label"] for row in rows} == {True, False}


@pytest.mark.parametrize(
    ("answer", "pattern"), [("{}", r"\d+\Z"), ("#### {}", r"#### \d+\Z"), ("", r"[A-Z]")]
)
def test_right_answers_have_the_form_the_script_takes_apart(answer, pattern):
    columns = Columns(names=("answer",), answer=answer)
    for row in make_rows(columns, RowPlan(num_rows=5), split="train"):
        assert re.match(pattern, str(row["answer"]))
