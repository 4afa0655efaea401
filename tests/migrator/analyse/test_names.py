"""Names mean what they are bound to: imports are followed, everything else shadows them."""

from __future__ import annotations

import ast
from textwrap import dedent

import pytest
from mint_migrate.analyse.facts import collect
from mint_migrate.model.facts import Facts


def facts(text: str) -> Facts:
    content = dedent(text)
    return collect(content, ast.parse(content))


def called(text: str) -> list[str]:
    """Return the qualified names of the source calls in a piece of code."""
    return [call.qualified for call in facts(text).calls]


@pytest.mark.parametrize(
    ("imports", "call", "qualified"),
    [
        ("from trl import SFTTrainer", "SFTTrainer()", "trl.SFTTrainer"),
        ("from trl import SFTTrainer as T", "T()", "trl.SFTTrainer"),
        ("import trl", "trl.SFTTrainer()", "trl.SFTTrainer"),
        ("import trl as t", "t.SFTTrainer()", "trl.SFTTrainer"),
        ("import trl.trainer", "trl.trainer.SFTTrainer()", "trl.trainer.SFTTrainer"),
        ("import trl.trainer as t", "t.SFTTrainer()", "trl.trainer.SFTTrainer"),
        (
            "from trl.trainer import sft_trainer as s",
            "s.SFTTrainer()",
            "trl.trainer.sft_trainer.SFTTrainer",
        ),
        ("from peft import LoraConfig", "LoraConfig()", "peft.LoraConfig"),
        ("import os, trl", "trl.SFTTrainer()", "trl.SFTTrainer"),
    ],
)
def test_imported_names_are_followed(imports, call, qualified):
    assert called(f"{imports}\n{call}") == [qualified]


@pytest.mark.parametrize(
    "text",
    [
        "from mylib import SFTTrainer\nSFTTrainer()",
        "from .trl import SFTTrainer\nSFTTrainer()",
        "from trl import SFTTrainer\nSFTTrainer = print\nSFTTrainer()",
        "from trl import SFTTrainer\ndef SFTTrainer(): pass\nSFTTrainer()",
        "from trl import SFTTrainer\nclass SFTTrainer: pass\nSFTTrainer()",
        "from trl import SFTTrainer\ndef f(SFTTrainer):\n    SFTTrainer()",
        "from trl import SFTTrainer\ndef f(*, SFTTrainer=None):\n    SFTTrainer()",
        "from trl import SFTTrainer\nf = lambda SFTTrainer: SFTTrainer()",
        "from trl import SFTTrainer\ndef f():\n    SFTTrainer = print\n    SFTTrainer()",
        "from trl import SFTTrainer\nfor SFTTrainer in []:\n    SFTTrainer()",
        "from trl import SFTTrainer\nwith open('x') as SFTTrainer:\n    SFTTrainer()",
        "from trl import SFTTrainer\nif (SFTTrainer := print):\n    SFTTrainer()",
        "from trl import SFTTrainer\nmatch 1:\n    case SFTTrainer:\n        SFTTrainer()",
        "from trl import SFTTrainer\nmatch 1:\n    case [*SFTTrainer]:\n        SFTTrainer()",
        "from trl import SFTTrainer\nmatch 1:\n    case {**SFTTrainer}:\n        SFTTrainer()",
        "from trl import SFTTrainer\ntry:\n  pass\nexcept OSError as SFTTrainer:\n  SFTTrainer()",
        "from trl import *\nSFTTrainer()",
        "'from trl import SFTTrainer'\nSFTTrainer = 1\n# trl.SFTTrainer()",
        "from trl import SFTTrainer\nx = 'SFTTrainer()'  # SFTTrainer()",
        "def f():\n    from trl import SFTTrainer\nSFTTrainer()",
        "class A:\n    from trl import SFTTrainer\n    def f(self):\n        SFTTrainer()",
    ],
)
def test_other_names_are_left_alone(text):
    assert called(text) == []


@pytest.mark.parametrize(
    "text",
    [
        "from trl import SFTTrainer\ndef f():\n    def g():\n        SFTTrainer()",
        "from trl import SFTTrainer\nclass A:\n  SFTTrainer = 1\n  def f(self):\n    SFTTrainer()",
        "from trl import SFTTrainer\nclass A:\n    def f(self):\n        SFTTrainer()",
        "class A:\n    from trl import SFTTrainer\n    SFTTrainer()",
        "from trl import SFTTrainer\nasync def f():\n    await SFTTrainer()",
        "from trl import SFTTrainer\n@SFTTrainer()\ndef f(): pass",
    ],
)
def test_names_are_seen_through_functions_but_not_through_class_bodies(text):
    assert called(text) == ["trl.SFTTrainer"]


def test_a_name_declared_global_is_bound_in_the_module():
    found = facts(
        """
        from trl import SFTTrainer
        def build():
            global trainer
            trainer = SFTTrainer()
        def run():
            trainer.train()
        """
    )
    assert [use.chain for use in found.uses] == ["train"]


def test_a_nonlocal_name_is_bound_in_the_function_around():
    found = facts(
        """
        from trl import SFTTrainer
        def outer():
            trainer = None
            def build():
                nonlocal trainer
                trainer = SFTTrainer()
            build()
            trainer.train()
        """
    )
    assert [use.chain for use in found.uses] == ["train"]


@pytest.mark.parametrize(
    ("code", "chain"),
    [
        ("trainer.train()", "train"),
        ("trainer.model.save_pretrained('x')", "model.save_pretrained"),
        ("trainer.state.log_history", "state.log_history"),
        ("trainer.get_eval_dataloader().dataset", "get_eval_dataloader().dataset"),
        ("trainer.args.seed = 3", "args.seed"),
    ],
)
def test_what_is_done_with_a_trainer_is_one_chain(code, chain):
    found = facts(f"from trl import SFTTrainer\ntrainer = SFTTrainer()\n{code}")
    assert [use.chain for use in found.uses] == [chain]


def test_a_trainer_kept_on_self_is_followed_into_other_methods():
    found = facts(
        """
        from trl import SFTTrainer
        class Job:
            def __init__(self):
                self.trainer = SFTTrainer()
            def run(self):
                self.trainer.train()
        class Other:
            def run(self):
                self.trainer.train()
        """
    )
    assert [(use.chain, use.found.span.line) for use in found.uses] == [("train", 7)]


def test_a_model_made_from_a_model_is_followed():
    found = facts(
        """
        from peft import get_peft_model
        from transformers import AutoModelForCausalLM
        model = AutoModelForCausalLM.from_pretrained("m")
        model = get_peft_model(model, None)
        model.print_trainable_parameters()
        """
    )
    assert [use.found.name for use in found.uses] == ["model.print_trainable_parameters"]


def test_names_a_del_statement_deletes_are_known():
    deleted = [
        statement.deletes for statement in facts("a = b = 1\ndel a, b\nx = []\ndel x[0]").statements
    ]
    assert deleted == [(), ("a", "b"), (), ()]


@pytest.mark.parametrize(
    ("ends", "uses"),
    [
        ("return load(name[:-1])", []),
        ("return load(name[:-1])[0], 1", []),
        (
            "if name:\n        return load(name[:-1])\n    return Auto.from_pretrained(name)",
            ["save_pretrained"],
        ),
    ],
)
def test_a_function_that_calls_itself_gives_back_what_its_other_ends_do(ends, uses):
    text = (
        "from transformers import AutoModelForCausalLM as Auto\n"
        f"def load(name):\n    {ends}\n"
        "model = load('x/')\nfirst, second = load('x/')\nmodel.save_pretrained('z')\n"
        "other = Auto.from_pretrained('y')\n"
    )
    assert [use.chain for use in facts(text).uses] == uses
