"""Output is checked: it compiles, reads no unbound name, calls the client as published."""

from __future__ import annotations

import ast

import pytest
from mint_migrate.check import check_output
from mint_migrate.check.names import undefined_names
from mint_migrate.check.target_api import unknown_calls
from mint_migrate.model.script import Plan
from support.scripts import tables

PLAN = Plan(version="1.16.0", evidence=(), decisions=())


@pytest.mark.parametrize(
    "text",
    [
        "x = 1\nprint(x)",
        "def f(a, *b, c=1, **d):\n    return a, b, c, d",
        "print([y for y in []])",
        "import os.path as p\np",
        "class A:\n    x = 1\n    y = x",
        "try:\n    pass\nexcept OSError as e:\n    e",
        "with open('x') as f:\n    f",
        "if (x := 1):\n    x",
        "match 1:\n  case [a, *b]:\n    a, b\n  case int() as e:\n    e",
        "match 1:\n  case {'k': c, **d}:\n    c, d",
        "def f():\n    global g\n    g = 1\ndef h():\n    return g",
        "def f():\n    x = 1\n    def g():\n        nonlocal x\n        x += 1\n    return x",
        "from m import *\nanything",
        "__file__, __name__",
        "lambda q: q",
        "for i, (j, k) in []:\n    i, j, k",
    ],
)
def test_bound_names_are_left_alone(text):
    assert undefined_names(text) == ()


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("print(x)", ("x",)),
        ("def f():\n    x = 1\nprint(x)", ("x",)),
        ("class A:\n    x = 1\n    def f(self):\n        return x", ("x",)),
        ("b, a", ("a", "b")),
    ],
)
def test_unbound_names_are_found(text, names):
    assert undefined_names(text) == names


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("types.AdamParams(learning_rate=1, beta3=2)", "no parameter `beta3`"),
        ("types.Datum(model_input=1)", "without `loss_fn_inputs`"),
        ("training_client.forward_backward(data)", "without `loss_fn`"),
        (
            "mint.ServiceClient().create_lora_training_client(base_model='x', alpha=32)",
            "no parameter `alpha`",
        ),
    ],
)
def test_calls_the_client_does_not_allow_are_found(text, words):
    assert [words in problem for problem in unknown_calls(ast.parse(text), tables())] == [True]


@pytest.mark.parametrize(
    "text",
    [
        "training_client.forward_backward(data, loss_fn='cross_entropy')",
        "other.forward_backward(data, anything=1)",
        "types.Datum(**fields)",
        "training_client.forward_backward(*args)",
        "forward_backward()",
    ],
)
def test_other_calls_are_left_alone(text):
    assert unknown_calls(ast.parse(text), tables()) == []


def test_output_that_does_not_parse_says_where():
    assert check_output("x =\n", "", PLAN, tables()) == ("line 1: invalid syntax",)


def test_a_name_the_original_lacked_too_is_no_problem_of_ours():
    assert check_output("print(x)", "print(x, y)", PLAN, tables()) == ()
    assert check_output("print(x)", "print(y)", PLAN, tables()) == (
        "`x` is read but bound nowhere",
    )
