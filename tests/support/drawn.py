"""Scripts drawn for property tests: any trainer, keywords, order, layout and way of importing.

A drawn script is a record. What a script says and how it is written are apart, so that one script
can be written in two ways.
"""

from __future__ import annotations

import ast
import random
from collections.abc import Mapping
from dataclasses import dataclass

import hypothesis.strategies as st

from support.scripts import tables

TRAINERS = ("SFT", "DPO", "KTO", "ORPO", "CPO", "GRPO", "RLOO", "OnlineDPO", "PPO", "Reward")
STYLES = ("names", "module", "alias", "renamed", "submodule")
RELEASES = ("0.11.4", "0.19.1", "1.16.0")

_PARTS = """\
import os
from datasets import load_dataset
from peft import LoraConfig
{imports}

options = {{"a": 1}}
dataset = load_dataset("acme/chats", split="train")


def untouched(row, *, sep=" "):
    return {{"text": row["q"] + sep}}   # odd   spacing


def brevity(completions, **kwargs):
    return [-float(len(text)) for text in completions]


config = {config}({config_arguments})
trainer = {trainer}({trainer_arguments})
trainer.train()
"""
UNTOUCHED = (
    _PARTS[_PARTS.index("def untouched") : _PARTS.index("\n\n\ndef brevity")]
    .replace("{{", "{")
    .replace("}}", "}")
)

_NUMBERS = ["0", "1", "2", "8", "-1", "0.1", "0.5", "1e-5", "1.0", "1_000"]
_WORDS = [
    *("'no'", "'steps'", "'epoch'", "'cosine'", "'linear'", "'constant'", "'none'", "'sigmoid'"),
    *("'ipo'", "'grpo'", "'dapo'", "'batch'", "'group'", "'token'", "'sequence'", "'keep_end'"),
]
_OTHERS = [
    *("True", "False", "None", "[]", "{}", "['a', 'b']", "()", "'all-linear'", "[1.0, 2]"),
    *("{'num_cycles': 2}", "os.environ['X']", "options['a']", "1 + 2", "3 if options else 4"),
    *("lambda x: x", "dataset", "(y := 3)", "f'{dataset}'", "'é日本'", "[i for i in range(3)]"),
    *("print", "-(2 ** 3)", '"""a\n  b"""', "(1\n + 2)", "brevity", "float('inf')"),
]
VALUES = st.sampled_from([*_NUMBERS, *_WORDS, *_OTHERS])


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """What a script says; not how it is written."""

    kind: str
    release: str
    config: Mapping[str, str]
    trainer: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Writing:
    """How a script is written: one of `STYLES`, and a seed for order, layout and comments."""

    style: str = "names"
    seed: int | None = None
    """None: as it is, in one line."""


WRITINGS = st.builds(
    Writing, style=st.sampled_from(STYLES), seed=st.integers(min_value=0, max_value=999)
)


@st.composite
def scripts(draw: st.DrawFn, kind: str) -> Script:
    """Draw a script with a trainer of *kind*, one of `TRAINERS`."""
    known = [each for each in RELEASES if tables().accepted(each, f"trl.{kind}Config")]
    release = draw(st.sampled_from(known))
    config = draw(_keywords(f"trl.{kind}Config", release, at_most=9))
    given = _given(kind, release)
    extra = draw(_keywords(f"trl.{kind}Trainer", release, at_most=2))
    lora = draw(_keywords("peft.LoraConfig", release, at_most=3))
    given |= {"peft_config": f"LoraConfig({_one_line(lora)})"} if draw(st.booleans()) else {}
    return Script(kind=kind, release=release, config=config, trainer=extra | given)


def written(script: Script, writing: Writing = Writing()) -> str:
    """Return the text of a script."""
    config, trainer = f"{script.kind}Config", f"{script.kind}Trainer"
    imports, names = _imported(config, trainer, writing.style)
    layout = random.Random(writing.seed)
    return _PARTS.format(
        imports=imports,
        config=names[0],
        trainer=names[1],
        config_arguments=_arguments(script.config, layout, writing),
        trainer_arguments=_arguments(script.trainer, layout, writing),
    )


def _keywords(owner: str, release: str, *, at_most: int) -> st.SearchStrategy[dict[str, str]]:
    names = sorted({*tables().accepted(release, owner), "no_such_option"})
    if owner.startswith("peft"):
        names = ["r", "lora_alpha", "lora_dropout", "target_modules", "bias", "use_rslora", "x"]
    one = st.sampled_from(names).flatmap(
        lambda name: st.tuples(st.just(name), _values(owner, name, release))
    )
    return st.lists(one, max_size=at_most, unique_by=lambda pair: pair[0]).map(dict)


def _values(owner: str, name: str, release: str) -> st.SearchStrategy[str]:
    """Return values of the type of the option's default, and now and then any other."""
    row = tables().config_row(owner, name, release)
    literals = [literal for _, literal in row.defaults] if row is not None else []
    plausible = {each for literal in literals for each in (literal, *_like(literal))}
    plausible = {each for each in plausible if _is_expression(each)}
    return st.one_of(st.sampled_from(sorted(plausible)), VALUES) if plausible else VALUES


def _like(literal: str) -> list[str]:
    if literal in {"True", "False"}:
        return ["True", "False"]
    if literal[:1] in {"'", '"'}:
        return _WORDS
    return _NUMBERS if literal[:1].isdigit() else []


def _is_expression(text: str) -> bool:
    try:
        ast.parse(text, mode="eval")
    except SyntaxError:
        return False
    return True


def _given(kind: str, release: str) -> dict[str, str]:
    """Return what a trainer of *kind* cannot do without."""
    takes = tables().accepted(release, f"trl.{kind}Trainer")
    given = {"train_dataset": "dataset"}
    given |= {"args" if "args" in takes else "config": "config"}
    given |= {"model" if "model" in takes else "policy": "'acme/model'"}
    if "reward_funcs" in takes:
        given["reward_funcs"] = "[brevity]"
    return given


def _imported(config: str, trainer: str, style: str) -> tuple[str, tuple[str, str]]:
    """Return import statements, and what the two classes are called behind them."""
    match style:
        case "module":
            return "import trl", (f"trl.{config}", f"trl.{trainer}")
        case "alias":
            return "import trl as t", (f"t.{config}", f"t.{trainer}")
        case "renamed":
            return f"from trl import {trainer} as T, {config} as C", ("C", "T")
        case "submodule":
            return f"from trl.trainer import (\n    {config},  # one\n    {trainer},\n)", (
                config,
                trainer,
            )
    return f"from trl import {config}, {trainer}", (config, trainer)


def _arguments(arguments: Mapping[str, str], layout: random.Random, writing: Writing) -> str:
    if writing.seed is None:
        return _one_line(arguments)
    items = list(arguments.items())
    layout.shuffle(items)
    pieces = []
    for name, value in items:
        above = layout.choice(["", "\n", "\n    # about\n    ", "\n\n# é\n"])
        equals = layout.choice(["=", " = ", "= "])
        pieces.append(f"{above}{name}{equals}{value}{layout.choice(['', ' '])},")
        if layout.random() < 0.3:
            pieces.append("  # behind\n")
    return " ".join(pieces) + layout.choice(["", "\n", "  # the end\n"])


def _one_line(arguments: Mapping[str, str]) -> str:
    return ", ".join(f"{name}={value}" for name, value in arguments.items())
