"""What no edit touches is left out of the module that is parsed, and comes back byte by byte."""

from __future__ import annotations

import ast

import libcst as cst
import pytest
from mint_migrate.analyse.text import SourceText
from mint_migrate.model.source import Span
from mint_migrate.rewrite.shorten import indent_of, shorten
from support.scripts import migrated

HEAD = '"""Train."""\nimport os\n'
BLOCK = "def kept(row):\n    first = row\n    return first   # odd\n"
STATEMENTS = [
    BLOCK,
    "@decorated\n@(\n    twice\n)\nclass Kept:\n    a = 1\n",
    "table = {\n    'a': 1,\n    'b': 'é',\n}  # a table\n",
    "for item in range(3):\n    x = item\n    y = x\n    # the block's own\n\n    # and more\n",
    "if os:\n    a = 1\nelif a:\n    b = 2\n# at the margin\n",
    "text = '''\ndef inner():\n  deep\n'''\n",
]


def shortened(text: str, touched: tuple[Span, ...] = ()):
    return shorten(SourceText(text), ast.parse(text), touched)


@pytest.mark.parametrize("statement", STATEMENTS)
@pytest.mark.parametrize("behind", ["", "\n\n# above\nb = 2\n", "\n    \nb = 2"])
def test_a_statement_goes_and_comes_back(statement, behind):
    text = HEAD + BLOCK.replace("kept", "other") + "\n\n# about\n" + statement + behind
    short = shortened(text, (Span(line=3, column=1, end_line=3, end_column=2),))
    assert len(short.texts) == 1
    assert "# about\n_mint_migrate_keeps_0_" in short.text
    assert short.restore(short.text) == text
    assert short.restore(cst.parse_module(short.text).code) == text


@pytest.mark.parametrize(
    "statement",
    [
        "import os\n",
        "from a import (\n    b,\n    c,\n)\n",
        "try:\n    import b\nexcept ImportError:\n    b = None\n",
        "a = [\n    1,\n    2,\n]; b = 1\n",
        "@(\n    decorated)\ndef f():\n    pass\n",
        "x = 1\ny = 2\n",
    ],
)
def test_what_shares_its_lines_or_orders_imports_stays(statement):
    text = HEAD + statement
    assert shortened(text).text == text


def test_a_touched_statement_stays():
    text = HEAD + BLOCK
    touched = Span(line=4, column=5, end_line=4, end_column=9)
    assert shortened(text, (touched,)).text == text


def test_nothing_goes_where_the_text_has_something_like_a_mark():
    text = HEAD + BLOCK + "_mint_migrate_keeps_0_ = 1\n"
    short = shortened(text)
    assert short.text == text
    assert not short.is_possible


def test_a_module_is_indented_as_it_was_without_what_goes():
    text = HEAD + BLOCK.replace("    ", "  ") + "if os:\n    a = 1\n"
    touched = Span(line=6, column=1, end_line=6, end_column=2)
    assert shortened(text, (touched,)).text == text
    assert cst.parse_module(text).default_indent == indent_of(
        SourceText(text), ast.parse(text).body
    )


@pytest.mark.parametrize("indent", ["  ", "    ", "\t"])
def test_functions_are_indented_as_the_script_is(indent):
    text = (
        "from trl import SFTTrainer\n"
        "def f(a):\n    if a:\n        return 1\n    return 2\n".replace("    ", indent)
        + 'trainer = SFTTrainer("acme/m", train_dataset=f(1))\ntrainer.train()\n'
    )
    result = migrated(text).text
    assert result is not None
    assert f"\n{indent}if a:\n{indent * 2}return 1\n" in result
    assert f'\ndef tokenize_row(row, tokenizer, config):\n{indent}"""' in result
