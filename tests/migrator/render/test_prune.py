"""What of a module a script gets, and under which names."""

from __future__ import annotations

import ast

import pytest
from mint_migrate.render.prune import defined, prune, renamed

MODULE = '''\
class Box:
    """A box."""

    size: int = 3
    """How large."""
    color: str = "red"

    def __len__(self) -> int:
        return self.size

    def open(self) -> "Box":
        """Return the box."""
        return helper(self)

    def close(self) -> None:
        """Do nothing."""


def helper(box: Box) -> Box:
    """Return what it is given."""
    return box


def other() -> list["Box"]:
    """Return one."""
    return [Box()]
'''


@pytest.mark.parametrize(
    ("wanted", "names"),
    [
        (set(), ()),
        ({"helper"}, ("Box", "helper")),
        ({"other"}, ("Box", "other")),
        ({"Box", ".open"}, ("Box", "helper")),
        ({"Box"}, ("Box",)),
    ],
)
def test_what_nothing_reaches_is_left_out(wanted: set[str], names: tuple[str, ...]) -> None:
    assert defined(prune(MODULE, wanted)) == names


def test_methods_and_fields_that_are_not_read_are_left_out_with_what_is_said_of_them() -> None:
    text = prune(MODULE, {"Box"})
    assert "def close" not in text
    assert "color" not in text
    assert "def __len__" in text
    assert '"""How large."""' in text


def test_the_result_is_laid_out_like_its_source() -> None:
    text = prune(MODULE, {"Box", ".close"})
    ast.parse(text)
    assert "\n\n    def close" in text
    assert "\n\n\n\n" not in text
    assert prune(MODULE, {"Box", "other", ".open", ".close", ".color"}) == MODULE


def test_a_name_is_replaced_where_it_is_defined_read_and_quoted() -> None:
    text = renamed(MODULE, {"Box": "Crate"})
    assert "Box" not in text
    assert 'def other() -> list["Crate"]:' in text
    assert '"""A box."""' in text
