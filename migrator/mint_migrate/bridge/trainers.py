"""Which kind of rows the trainers of a script take, found without running it.

A script that hands its data to a preference trainer or to reward functions often reads no column
itself: the trainer's name and the parameters of the reward functions say what there must be.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from enum import StrEnum

from mint_migrate.bridge.constants import called_name


class DataKind(StrEnum):
    """What a trainer learns from."""

    TEXT = "text"
    PAIRS = "pairs"
    """A chosen and a rejected answer."""
    MARKS = "marks"
    """An answer with a mark, good or bad."""
    PROMPTS = "prompts"
    """A prompt; answers are sampled and scored."""


_KINDS = {
    **dict.fromkeys(("DPO", "CPO", "ORPO", "Reward", "TPO"), DataKind.PAIRS),
    **dict.fromkeys(("KTO", "BCO"), DataKind.MARKS),
    **dict.fromkeys(
        ("GRPO", "GMPO", "RLOO", "OnlineDPO", "PPO", "PPOv2", "NashMD", "XPO"),
        DataKind.PROMPTS,
    ),
    **dict.fromkeys(("Distillation", "MiniLLM"), DataKind.PROMPTS),
}
DEFAULT_COLUMNS: dict[DataKind, tuple[str, ...]] = {
    DataKind.TEXT: ("messages",),
    DataKind.PAIRS: ("prompt", "chosen", "rejected"),
    DataKind.MARKS: ("prompt", "completion", "label"),
    DataKind.PROMPTS: ("prompt",),
}
GIVEN_TO_REWARDS = frozenset(
    {"prompts", "completions", "completion_ids", "prompt_ids", "completion_mask", "trainer_state"}
    | {"log_extra", "log_metric", "environments", "self", "samples", "kwargs"}
)
"""Parameters of a reward function that the trainer fills in by itself."""


def data_kinds(tree: ast.AST) -> tuple[DataKind, ...]:
    """Return what the trainers named in a module learn from, without repeats."""
    found = [
        _KINDS[stem]
        for name in _names(tree)
        for suffix in ("Trainer", "Config")
        if (stem := name.removesuffix(suffix)) != name and stem in _KINDS
    ]
    return tuple(dict.fromkeys(found))


def _names(tree: ast.AST) -> Iterator[str]:
    """Yield imported names, and names and attributes that are used."""
    for node in ast.walk(tree):
        match node:
            case ast.alias(name=name):
                yield name.rpartition(".")[2]
            case ast.Name(id=name) | ast.Attribute(attr=name):
                yield name


def reward_columns(tree: ast.AST) -> tuple[str, ...]:
    """Return the columns that reward functions ask for by the names of their parameters."""
    defined = {
        node.name: node
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    found: dict[str, None] = {}
    for name in _reward_functions(tree):
        if name in defined:
            arguments = defined[name].args
            parameters = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
            found |= {each.arg: None for each in parameters if each.arg not in GIVEN_TO_REWARDS}
            found |= dict.fromkeys(_taken(defined[name]))
    return tuple(found)


def _reward_functions(tree: ast.AST) -> Iterator[str]:
    """Yield the names in the values of `reward_funcs`, as a keyword or assigned before."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(keywords=keywords):
                values = [word.value for word in keywords if word.arg == "reward_funcs"]
            case ast.Assign(targets=[ast.Name(id=target)], value=value) if "reward" in target:
                values = [value]
            case _:
                continue
        for value in values:
            yield from (each.id for each in ast.walk(value) if isinstance(each, ast.Name))


def _taken(function: ast.AST) -> Iterator[str]:
    """Yield the keys that a reward function takes out of its `**kwargs`."""
    for node in ast.walk(function):
        match node:
            case ast.Subscript(value=ast.Name(id="kwargs"), slice=ast.Constant(value=str(key))):
                yield key
            case ast.Call(
                func=ast.Attribute(value=ast.Name(id="kwargs")),
                args=[ast.Constant(value=str(key)), *_],
            ) if called_name(node) in {"get", "pop"}:
                yield key


def handles_messages(keys: AbstractSet[object]) -> bool:
    """Tell whether a module writes or reads messages, by the constants in it."""
    return "content" in keys
