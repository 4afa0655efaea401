"""The stamp in an output's docstring."""

from __future__ import annotations

import ast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mint_migrate.stamp import is_our_output, read_stamp, remove_stamp, stamp, was_edited

DOCSTRINGS = [
    '"""Train a model."""\n',
    '"""Train a model.\n\nTwo things differ.\n"""\n',
    '"""Train a model.\n\n"""\n',
    "'''Train a model.'''\n",
    "'Train a model.'\n",
    '"Train \\"a\\" model."\n',
    'r"""Train \\a model."""\n',
    '"Train " "a model."\n',
    '#!/usr/bin/env python\n# A comment.\n"""Train a model."""\n',
    '""""Quoted" at the start."""\n',
    '""""""\n',
    '"""Train a model."""; x = 1\n',
    "",
    "#!/usr/bin/env python\n# -*- coding: utf-8 -*-\n",
]


@pytest.mark.parametrize("head", DOCSTRINGS)
def test_the_stamp_is_the_last_line_of_the_docstring(head):
    stamped = stamp(f"{head}import mint\n", version="0.1.0")
    docstring = ast.get_docstring(ast.parse(stamped), clean=False)
    last = docstring.rstrip("\n").rsplit("\n", 1)[-1]
    assert last == f"mint-migrate 0.1.0, sha256 {read_stamp(stamped).digest}"


@pytest.mark.parametrize("head", DOCSTRINGS)
def test_a_stamped_text_is_ours_and_unedited_and_stamping_again_changes_nothing(head):
    stamped = stamp(f"{head}import mint\n")
    assert is_our_output(stamped)
    assert not was_edited(stamped)
    assert stamp(stamped) == stamped


@pytest.mark.parametrize("head", DOCSTRINGS)
def test_a_stamp_changes_nothing_but_the_docstring(head):
    stamped = stamp(f"{head}import mint\n")
    statements = [ast.dump(node) for node in ast.parse(stamped).body[1:]]
    original = ast.parse(f"{head}import mint\n").body
    assert statements == [ast.dump(node) for node in original if not _is_text(node)]


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def test_a_docstring_keeps_its_text():
    stamped = stamp('"""Train.\n\nTwo things."""\nx = 1\n', version="1")
    assert remove_stamp(stamped) == '"""Train.\n\nTwo things.\n\n"""\nx = 1\n'


@pytest.mark.parametrize(
    "edit",
    [
        lambda text: text + "y = 2\n",
        lambda text: text.replace("Doc", "Docs"),
        lambda text: text.replace("x = 1", "x = (1"),
        lambda text: text.replace("sha256 ", "sha256 0")[:-1] + "\n",
    ],
)
def test_any_edit_is_seen(edit):
    assert was_edited(edit(stamp('"""Doc."""\nx = 1\n')))


def test_an_edit_that_breaks_the_syntax_leaves_it_ours():
    assert is_our_output(stamp('"""Doc."""\nx = 1\n').replace("x = 1", "x = (1"))


@pytest.mark.parametrize(
    "text",
    [
        '"""Doc."""\nx = """\nmint-migrate 0.1.0, sha256 0123456789abcdef\n"""\n',
        "# mint-migrate 0.1.0, sha256 0123456789abcdef\nx = 1\n",
        'x = 1\n"""\nmint-migrate 0.1.0, sha256 0123456789abcdef\n"""\n',
        '"""See mint-migrate 0.1.0, sha256 0123456789abcdef\n"""\n',
        '"""\nmint-migrate 0.1.0, sha256 0123456789abcde\n"""\n',
    ],
)
def test_the_line_elsewhere_is_no_stamp(text):
    assert read_stamp(text) is None


def test_a_newer_release_replaces_the_stamp():
    old = stamp('"""Doc."""\nx = 1\n', version="0.1.0")
    new = stamp(old, version="0.2.0")
    assert read_stamp(new).version == "0.2.0"
    assert new.count("sha256") == 1
    assert read_stamp(new).digest == read_stamp(old).digest


@given(st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\\\r\x00")))
def test_any_docstring_takes_a_stamp(text):
    head = '"""' + text.replace('"', "'") + '"""\n'
    stamped = stamp(f"{head}x = 1\n")
    assert is_our_output(stamped)
    assert not was_edited(stamped)
    assert stamp(stamped) == stamped
