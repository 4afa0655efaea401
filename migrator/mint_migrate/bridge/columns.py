"""Which columns of its data a script uses, found without running it.

Reads are subscripts and `.get` on the first parameter of a function handed to `map`, `filter` or
`formatting_func`, on a loop variable over rows, and the columns named in `select_columns`,
`rename_column`, `remove_columns`. Keys that such a function returns, and new names of columns, are
made by the script and are not columns of the source.
"""

from __future__ import annotations

import ast
import contextlib
import string
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from mint_migrate.bridge.constants import Constants, called_name, collect
from mint_migrate.bridge.trainers import (
    DEFAULT_COLUMNS,
    DataKind,
    data_kinds,
    handles_messages,
    reward_columns,
)

ROW_FUNCTION_KEYWORDS = frozenset({"formatting_func", "function", "tokenize_func"})
ROW_FUNCTION_METHODS = frozenset({"map", "filter"})
KNOWN_DATASETS: dict[str, tuple[str, ...]] = {
    "trl-lib/Capybara": ("messages",),
    "trl-lib/tldr": ("prompt", "completion"),
    "trl-lib/tldr-preference": ("prompt", "chosen", "rejected"),
    "trl-lib/ultrafeedback_binarized": ("chosen", "rejected", "score_chosen", "score_rejected"),
    "trl-lib/ultrafeedback-prompt": ("prompt",),
    "trl-lib/hh-rlhf-helpful-base": ("prompt", "chosen", "rejected"),
    "trl-lib/kto-mix-14k": ("prompt", "completion", "label"),
    "trl-lib/DeepMath-103K": ("prompt", "solution"),
    "Anthropic/hh-rlhf": ("chosen", "rejected"),
    "Intel/orca_dpo_pairs": ("system", "question", "chosen", "rejected"),
    "HuggingFaceH4/ultrafeedback_binarized": (
        *("prompt", "prompt_id", "chosen", "rejected", "messages"),
        *("score_chosen", "score_rejected"),
    ),
    "AI-MO/NuminaMath-TIR": ("problem", "solution", "messages"),
    "stanfordnlp/imdb": ("text", "label"),
    "imdb": ("text", "label"),
    "tatsu-lab/alpaca": ("instruction", "input", "output", "text"),
    "yahma/alpaca-cleaned": ("instruction", "input", "output"),
    "databricks/databricks-dolly-15k": ("instruction", "context", "response", "category"),
    "timdettmers/openassistant-guanaco": ("text",),
    "HuggingFaceH4/ultrachat_200k": ("prompt", "prompt_id", "messages"),
    "HuggingFaceH4/no_robots": ("prompt", "prompt_id", "messages", "category"),
    "openai/gsm8k": ("question", "answer"),
    "Abirate/english_quotes": ("quote", "author"),
    "roneneldan/TinyStories": ("text",),
}
"""Columns of public data sets that scripts often name, as their cards on the hub list them."""

KNOWN_MESSAGES: dict[str, frozenset[str]] = {
    "trl-lib/ultrafeedback_binarized": frozenset({"chosen", "rejected"}),
    "trl-lib/ultrafeedback-prompt": frozenset({"prompt"}),
    "trl-lib/hh-rlhf-helpful-base": frozenset({"prompt", "chosen", "rejected"}),
    "trl-lib/kto-mix-14k": frozenset({"prompt", "completion"}),
    "trl-lib/DeepMath-103K": frozenset({"prompt"}),
    "Anthropic/hh-rlhf": frozenset(),
    "HuggingFaceH4/ultrafeedback_binarized": frozenset({"chosen", "rejected", "messages"}),
}
"""Which columns of them hold messages, where their names do not say it."""

MESSAGE_KEYS = frozenset({"role", "content", "from", "value"})
OFTEN_LACKING = "tools"
"""Column of function descriptions, which rows are made without where they may lack it."""
SPLIT_KEYS = ("train", "test", "validation", "val", "eval", "dev")


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """What synthetic rows have to look like."""

    names: tuple[str, ...]
    literals: tuple[tuple[str, tuple[object, ...]], ...] = ()
    """Column -> constants it is compared with, so that filters keep rows."""
    conversational: frozenset[str] = frozenset()
    """Columns that hold lists of messages."""
    sharegpt: bool = False
    """Messages use `from` and `value` instead of `role` and `content`."""
    booleans: frozenset[str] = frozenset()
    """Columns of yes and no."""
    answer: str = ""
    """Format of a number in columns that hold the right answer; empty where none is scored."""


def find_columns(source: str) -> Columns:
    """Return the columns a script reads; `messages` where it names none."""
    tree = ast.parse(source)
    constants = collect(tree)
    kinds = data_kinds(tree)
    functions = _row_functions(tree)
    renamed = _renamed(tree)
    reads, made = _reads(functions), _made(functions) | {new for _, new in renamed}
    reads |= _listed(tree) | _loop_reads(tree) | _template_fields(tree)
    first = {old for old, _ in renamed}
    reads = {name: None for name in reads if name in first or name not in dict(renamed).values()}
    keys = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    fields = [
        value for value in constants.of_attribute("dataset_text_field") if isinstance(value, str)
    ]
    known = dict.fromkeys(
        column for name, columns in KNOWN_DATASETS.items() if name in keys for column in columns
    )
    reads = known | {name: None for name in reads if not known or name not in made}
    if kinds and not made and not known:
        reads = dict.fromkeys(name for kind in kinds for name in DEFAULT_COLUMNS[kind]) | reads
    reads |= {name: None for name in reward_columns(tree) if name not in made}
    if not reads:
        reads = dict.fromkeys(_unread(constants, keys, fields, made))
    names = tuple(name for name in reads if name not in MESSAGE_KEYS or name in fields)
    if OFTEN_LACKING in names and f'.get("{OFTEN_LACKING}")' in source:
        names = tuple(name for name in names if name != OFTEN_LACKING)
    names = names or ("messages",)
    return Columns(
        names=names,
        literals=_comparisons(functions, names),
        conversational=_conversational(tree, names, keys, kinds),
        sharegpt={"from", "value"} <= keys and "conversations" in names,
        booleans=frozenset({"label"} if DataKind.MARKS in kinds else ()),
        answer=_answer_format(source) if DataKind.PROMPTS in kinds else "",
    )


def _answer_format(source: str) -> str:
    """Return how a number stands in an answer that the script takes apart."""
    if "####" in source:
        return "It is so. #### {}"
    return "It is $\\boxed{{{}}}$." if "boxed" in source else "{}"


def _unread(
    constants: Constants, keys: AbstractSet[object], fields: list[str], made: set[str]
) -> tuple[str, ...]:
    """Return the columns of a script that hands its data to the trainer as they are."""
    if fields and fields[0] not in made:
        return (fields[0],)
    if True in constants.of_attribute("completion_only_loss") or {"prompt", "completion"} <= keys:
        return ("prompt", "completion")
    return ("messages",)


def _template_fields(tree: ast.AST) -> dict[str, None]:
    """Return the fields of the module's format strings where one is filled from a whole row."""
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    if not any(
        called_name(call) == "format" and any(word.arg is None for word in call.keywords)
        for call in calls
    ):
        return {}
    found: dict[str, None] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            with contextlib.suppress(ValueError):
                fields = [field for _, field, _, _ in string.Formatter().parse(node.value)]
                found |= {field: None for field in fields if field and field.isidentifier()}
    return found


def _row_functions(tree: ast.AST) -> list[ast.FunctionDef | ast.Lambda]:
    """Return the functions and lambdas handed to `map`, `filter` or a keyword for rows."""
    defined = {node.name: node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    found: list[ast.FunctionDef | ast.Lambda] = []
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        handed = [word.value for word in call.keywords if word.arg in ROW_FUNCTION_KEYWORDS]
        if called_name(call) in ROW_FUNCTION_METHODS:
            handed += call.args[:1]
        for expression in handed:
            if isinstance(expression, ast.Lambda):
                found.append(expression)
            elif isinstance(expression, ast.Name) and expression.id in defined:
                found.append(defined[expression.id])
    return found


def _subscript_keys(tree: ast.AST, variable: str) -> dict[str, int]:
    """Return the keys of `variable["key"]`, `variable.get("key")` and `"key" in variable`.

    Each with the line of its first read.
    """
    found: dict[str, int] = {}

    def read(key: str, line: int) -> None:
        found[key] = min(line, found.get(key, line))

    for node in ast.walk(tree):
        match node:
            case ast.Subscript(
                value=ast.Name(id=name), slice=ast.Constant(value=str(key)), ctx=ast.Load()
            ) if name == variable:
                read(key, node.lineno)
            case ast.Call(
                func=ast.Attribute(value=ast.Name(id=name), attr="get"),
                args=[ast.Constant(value=str(key)), *_],
            ) if name == variable:
                read(key, node.lineno)
            case ast.Compare(
                left=ast.Constant(value=str(key)), comparators=[ast.Name(id=name)]
            ) if name == variable:
                read(key, node.lineno)
    return found


def _first_parameter(function: ast.FunctionDef | ast.Lambda) -> str:
    arguments = [*function.args.posonlyargs, *function.args.args]
    return arguments[0].arg if arguments else ""


def _reads(functions: list[ast.FunctionDef | ast.Lambda]) -> dict[str, None]:
    found: dict[str, None] = {}
    for function in functions:
        stored = _first_stores(function)
        keys = _subscript_keys(function, _first_parameter(function))
        # In one statement the right side is read before the left side is stored.
        found |= {key: None for key, line in keys.items() if line <= stored.get(key, line)}
    made = _made(functions)
    # A later function may read what an earlier one made; such a column is not in the source.
    first = functions[:1]
    own = {key for one in first for key in _subscript_keys(one, _first_parameter(one))}
    return {key: None for key in found if key not in made or key in own}


def _first_stores(function: ast.AST) -> dict[str, int]:
    """Return the keys that are assigned to, with the line of the first assignment."""
    found: dict[str, int] = {}
    for node in ast.walk(function):
        match node:
            case ast.Subscript(slice=ast.Constant(value=str(key)), ctx=ast.Store()):
                found[key] = min(node.lineno, found.get(key, node.lineno))
    return found


def _made(functions: list[ast.FunctionDef | ast.Lambda]) -> set[str]:
    """Return the keys of the dictionaries the functions return."""
    found: set[str] = set()
    for function in functions:
        returned = (
            [function.body]
            if isinstance(function, ast.Lambda)
            else [node.value for node in ast.walk(function) if isinstance(node, ast.Return)]
        )
        for value in returned:
            if isinstance(value, ast.Dict):
                keys = [key.value for key in value.keys if isinstance(key, ast.Constant)]
                found |= {key for key in keys if isinstance(key, str)}
    return found


def _loop_reads(tree: ast.AST) -> dict[str, None]:
    """Return the keys read from the variable of a loop over something called like a data set."""
    found: dict[str, None] = {}
    for node in ast.walk(tree):
        if not isinstance(node, ast.For | ast.comprehension) or not isinstance(
            node.target, ast.Name
        ):
            continue
        over = ast.unparse(node.iter).lower()
        if any(word in over for word in ("dataset", "rows", "train_data", "raw")):
            found |= dict.fromkeys(_subscript_keys(tree, node.target.id))
    return found


def _listed(tree: ast.AST) -> dict[str, None]:
    """Return the columns named when columns are selected, renamed or removed."""
    found: dict[str, None] = {old: None for old, _ in _renamed(tree)}
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        name = called_name(call)
        if name in {"select_columns", "remove_columns"}:
            keys = [
                item
                for arg in call.args
                for item in (arg.elts if isinstance(arg, ast.List) else [arg])
            ]
        elif name in {"map", "filter"}:
            lists = [word.value for word in call.keywords if word.arg == "remove_columns"]
            keys = [item for node in lists if isinstance(node, ast.List) for item in node.elts]
        else:
            continue
        found |= {
            key.value: None
            for key in keys
            if isinstance(key, ast.Constant) and isinstance(key.value, str)
        }
    return found


def _renamed(tree: ast.AST) -> list[tuple[str, str]]:
    """Return (old, new) of the columns that are renamed."""
    found: list[tuple[ast.expr | None, ast.expr]] = []
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        name = called_name(call)
        if name == "rename_column" and len(call.args) == 2:
            found.append((call.args[0], call.args[1]))
        elif name == "rename_columns":
            for each in call.args:
                if isinstance(each, ast.Dict):
                    found += zip(each.keys, each.values, strict=True)
    return [
        (old.value, new.value)
        for old, new in found
        if isinstance(old, ast.Constant)
        and isinstance(new, ast.Constant)
        and isinstance(old.value, str)
        and isinstance(new.value, str)
    ]


def _comparisons(
    functions: list[ast.FunctionDef | ast.Lambda], names: tuple[str, ...]
) -> tuple[tuple[str, tuple[object, ...]], ...]:
    """Return the constants that `row["column"] == constant` and `in (...)` name."""
    found: dict[str, list[object]] = {}
    for function in functions:
        for node in ast.walk(function):
            match node:
                case ast.Compare(
                    left=ast.Subscript(slice=ast.Constant(value=str(key))),
                    ops=[ast.Eq() | ast.In()],
                    comparators=[right],
                ) if key in names:
                    items = (
                        right.elts if isinstance(right, ast.Tuple | ast.List | ast.Set) else [right]
                    )
                    found.setdefault(key, []).extend(
                        item.value for item in items if isinstance(item, ast.Constant)
                    )
    return tuple((key, tuple(values)) for key, values in found.items() if values)


def _conversational(
    tree: ast.AST,
    names: tuple[str, ...],
    keys: AbstractSet[object],
    kinds: tuple[DataKind, ...],
) -> frozenset[str]:
    """Return the columns of messages: known, by name, or because they are taken apart as such."""
    by_name = {"messages", "conversations", "conversation"}
    if "prompt" not in names:
        by_name |= {"chosen", "rejected"}
    if DataKind.PROMPTS in kinds and handles_messages(keys):
        by_name.add("prompt")
    found = {name for name in names if name in by_name}
    for name in KNOWN_MESSAGES.keys() & keys:
        known = KNOWN_DATASETS[name]
        found = {column for column in found if column not in known} | KNOWN_MESSAGES[name]
    found |= {name for name in _indexed(tree) if name in names}
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        if called_name(call) == "apply_chat_template" and call.args:
            argument = call.args[0]
            for node in ast.walk(argument) if not isinstance(argument, ast.List) else ():
                match node:
                    case ast.Subscript(slice=ast.Constant(value=str(key))) if key in names:
                        found.add(key)
    return frozenset(found)


def _indexed(tree: ast.AST) -> set[str]:
    """Return the keys of `row["key"][-1]["content"]`: columns of which messages are taken."""
    found: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.Subscript(
                value=ast.Subscript(value=ast.Subscript(slice=ast.Constant(value=str(key)))),
                slice=ast.Constant(value="content" | "role"),
            ):
                found.add(key)
    return found
