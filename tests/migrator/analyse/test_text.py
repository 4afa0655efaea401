"""Positions count characters and lines as Python does; pieces of code survive being moved."""

from __future__ import annotations

import ast

import pytest
from mint_migrate.analyse.facts import collect
from mint_migrate.analyse.text import SourceText, count_mentions, literal_repr, standalone
from mint_migrate.model.source import Span


def value_of(text: str) -> ast.expr:
    node = ast.parse(text).body[0]
    assert isinstance(node, ast.Assign)
    return node.value


@pytest.mark.parametrize(
    ("text", "column"),
    [
        ("a = b", 5),
        ("é = b", 5),
        ("x = 'é'; a = b", 14),
        ("x = '日本'; a = b", 15),
        ("x = '🙂'; a = b", 14),
    ],
)
def test_columns_count_characters(text, column):
    last = ast.parse(text).body[-1]
    assert SourceText(text).span(last.value).column == column


@pytest.mark.parametrize("odd", ["\x0c", "\x0b", "\x1c", "\u2028", "\u2029", "\x85"])
def test_only_newlines_end_a_line(odd):
    source = SourceText(f'x = "a{odd}b"\ny = 2\n')
    assert source.slice(Span(line=2, column=1, end_line=2, end_column=6)) == "y = 2"


def test_a_slice_over_lines_keeps_their_text():
    text = "f(\n  1,\n  'é',\n)\n"
    node = ast.parse(text).body[0]
    assert SourceText(text).of(node) == "f(\n  1,\n  'é',\n)"


@pytest.mark.parametrize(
    ("text", "moved"),
    [
        ("    x = f(\n        1\n    )", "x = f(\n    1\n)"),
        ('    x = f("""\n    a""",\n      2)', 'x = f("""\n    a""",\n  2)'),
        ("    x = f(\n  1)", "x = f(\n  1)"),
        ("\tx = f(\n\t\t1)", "x = f(\n\t1)"),
    ],
)
def test_code_at_the_margin_keeps_its_strings(text, moved):
    source = SourceText(f"if 1:\n{text}\n")
    statement = ast.parse(source.text).body[0].body[0]
    span = source.span(statement)
    assert source.at_margin(span, span.column - 1) == moved


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x = 1", "1"),
        ("x = (1 +\n 2)", "(1 +\n 2)"),
        ("x = f(1,\n 2)", "f(1,\n 2)"),
        ("x = (y := 3)", "(y := 3)"),
        ('x = ("a"\n "b")', '("a"\n "b")'),
        ("x = (1 if a else 2)", "1 if a else 2"),
    ],
)
def test_an_expression_stands_alone_after_it_lost_its_parentheses(text, expected):
    node = value_of(text)
    assert standalone(node, SourceText(text).of(node)) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x = 5e-6", "5e-06"),
        ("x = [1, 'a']", "[1, 'a']"),
        ("x = -1", "-1"),
        ("x = y", None),
        ("x = f(1)", None),
    ],
)
def test_literals_are_told_from_expressions(text, expected):
    assert literal_repr(value_of(text)) == expected


@pytest.mark.parametrize(
    ("text", "name", "count"),
    [
        ("print(t, t.x)", "t", 2),
        ("if t.x:\n    t.y()", "t", 1),
        ("elif t.x:\n    t.y()", "t", 1),
        ("elapsed = t.x", "t", 1),
        ("for x in t:\n    t.y()\nelse:\n    t", "t", 1),
        ("try:\n    t\nexcept t:\n    t", "t", 0),
        ("print(self.t.x, t)", "self.t", 1),
    ],
)
def test_mentions_are_counted_in_headers_only(text, name, count):
    assert count_mentions(text, name) == count


COMMENTED = """\
from trl import SFTConfig
config = SFTConfig(  # opening
    # where
    output_dir="out",  # a folder
    learning_rate=1e-4, seed=1,  # both
    # warm
    # up
    warmup_steps=3
    # nothing follows
)
"""


@pytest.mark.parametrize(
    ("keyword", "above", "behind"),
    [
        ("output_dir", ("# where",), "# a folder"),
        ("learning_rate", (), ""),
        ("seed", (), "# both"),
        ("warmup_steps", ("# warm", "# up"), ""),
    ],
)
def test_comments_belong_to_the_argument_they_stand_at(keyword, above, behind):
    call = collect(COMMENTED, ast.parse(COMMENTED)).calls[0]
    argument = next(item for item in call.arguments if item.keyword == keyword)
    assert (argument.comments, argument.trailing) == (above, behind)
