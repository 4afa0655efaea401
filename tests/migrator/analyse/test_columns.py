"""Columns of a data set are read off the code that makes and maps its rows."""

from __future__ import annotations

import ast
from textwrap import dedent

import pytest
from mint_migrate.analyse.facts import collect


def columns(text: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    content = dedent(text)
    found = collect(content, ast.parse(content))
    return found.produced_columns, found.read_columns


@pytest.mark.parametrize(
    "text",
    [
        "Dataset.from_list([{'text': 1}])",
        "Dataset.from_dict({'text': [1]})",
        "rows = [{'text': 1}]\nDataset.from_list(rows)",
        "Dataset.from_list([{'text': i} for i in x])",
        "def make(r):\n    return {'text': r}\nds.map(make)",
        "def make(r):\n    out = {'text': r}\n    return out\nds.map(make)",
        "ds.map(lambda r: {'text': r})",
        "ds.map(function=lambda r: {'text': r})",
        "def rows():\n    yield {'text': 1}\nDataset.from_generator(rows)",
        "ds.rename_column('body', 'text')",
    ],
)
def test_columns_that_the_script_makes_are_seen(text):
    assert "text" in columns(text)[0]


@pytest.mark.parametrize(
    "text",
    [
        "x = {'text': 1}",
        "print([{'text': 1}])",
        "def make(r):\n    return {'text': r}\nmake(1)",
        "def outer(r):\n  def inner():\n    return {'text': r}\n  return {'a': 1}\nds.map(outer)",
        "ds.filter(lambda r: {'text': r})",
        "# ds.map(lambda r: {'text': r})",
    ],
)
def test_dictionaries_that_are_no_rows_are_left_alone(text):
    assert "text" not in columns(text)[0]


@pytest.mark.parametrize(
    "text",
    [
        "ds.map(lambda r: {'a': r['text']})",
        "ds.filter(lambda r: len(r['text']) > 1)",
        "def keep(row):\n    return row.get('text')\nds.filter(keep)",
    ],
)
def test_columns_that_the_script_reads_are_seen(text):
    assert "text" in columns(text)[1]


def test_keys_of_another_dictionary_are_not_columns():
    assert columns("table = {}\nds.map(lambda r: {'a': table['text']})")[1] == ()
