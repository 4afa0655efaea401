"""Values a script's expressions may stand for, found in its text."""

import ast

import pytest
from mint_migrate.bridge.constants import collect


def values(source: str) -> tuple:
    """Return the constants of the last expression of a module."""
    tree = ast.parse(source)
    return collect(tree).values(tree.body[-1].value)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("'a/b'", ("a/b",)),
        ("MODEL = 'a/b'\nMODEL", ("a/b",)),
        ("OWNER = 'a'\nf'{OWNER}/b'", ("a/b",)),
        ("OWNER = 'a'\nOWNER + '/b'", ("a/b",)),
        ("MODEL = 'a' if fast else 'b'\nMODEL", ("a", "b")),
        ("import os\nos.environ.get('MODEL', 'a/b')", ("a/b",)),
        ("p.add_argument('-m', '--model-name', default='a/b')\nargs.model_name", ("a/b",)),
        ("class Args:\n    model: str = field(default='a/b')\nargs.model", ("a/b",)),
        ("args = SimpleNamespace(model='a/b')\nargs.model", ("a/b",)),
        ("config = {'model': 'a/b'}\nconfig['model']", ("a/b",)),
        ("def load(name='a/b'):\n    pass\nname", ("a/b",)),
        ("A = 4\nA * 2", (8,)),
        ("A = 4\nmax(1, 32 // A)", (8,)),
    ],
)  # fmt: skip
def test_constant_is_followed_to_where_it_is_written(source, expected):
    assert values(source) == expected


@pytest.mark.parametrize(
    "source",
    [
        "unknown",
        "name = name\nname",
        "a = b\nb = a\na",
        "f'{unknown}/b'",
        "load()",
        "1 / 0 if x else unknown",
    ],
)
def test_what_is_not_constant_has_no_values_and_ends(source):
    assert set(values(source)) <= {0, None}
