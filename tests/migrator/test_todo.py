"""TODO markers in outputs."""

from __future__ import annotations

import pytest
from mint_migrate.todo import Todo, find_todos, insert_marker, marker

TEXT = "import mint\n\ndef f():\n    train()\n"


def test_a_marker_is_found_with_its_place_and_message():
    text = insert_marker(TEXT, 4, "MM203", "move the body of `my_rollout` here")
    assert (
        text.split("\n")[3] == "    # TODO[mint-migrate MM203] move the body of `my_rollout` here"
    )
    assert find_todos(text) == (
        Todo(line=4, column=7, code="MM203", message="move the body of `my_rollout` here"),
    )


def test_a_marker_behind_code_is_found():
    assert find_todos("train()  # TODO[mint-migrate MM1203] look\n")[0].column == 12


def test_a_message_goes_on_in_the_comment_below():
    text = (
        "# TODO[mint-migrate MM203] move the body\n#   of the function\n#   here\n"
        "# another comment\n#   of two lines\n"
    )
    assert [todo.message for todo in find_todos(text)] == ["move the body of the function here"]


@pytest.mark.parametrize(
    "text",
    [
        "# TODO: something\n",
        "# TODO[mint-migrate]: no code\n",
        "# TODO[pydantic MM203]: another tool\n",
        "TODO[mint-migrate MM203] in a string or a page\n",
    ],
)
def test_other_text_is_no_marker(text):
    assert find_todos(text) == ()


def test_a_marker_is_not_written_twice():
    once = insert_marker(TEXT, 4, "MM203", "act")
    line = once.split("\n").index("    train()") + 1
    assert insert_marker(once, line, "MM203", "act, in newer words") == once


def test_a_marker_for_another_reason_is_added():
    once = insert_marker(TEXT, 4, "MM203", "act")
    twice = insert_marker(once, 5, "MM207", "act again")
    assert [todo.code for todo in find_todos(twice)] == ["MM203", "MM207"]


def test_a_marker_elsewhere_does_not_count():
    once = insert_marker(TEXT, 4, "MM203", "act")
    twice = insert_marker(once, 1, "MM203", "act")
    assert [todo.line for todo in find_todos(twice)] == [1, 5]


def test_a_marker_is_one_comment():
    assert marker("MM203", "act") == "# TODO[mint-migrate MM203] act"
