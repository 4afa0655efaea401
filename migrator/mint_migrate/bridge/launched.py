"""A world for the script of a launcher: its data files, its variables, sizes for a tiny model.

Such a script reads files that only the user's machine has, in batches for a cluster. Every field of
its configuration can be given on its command line, and that is where the stand-ins are given.
"""

from __future__ import annotations

import ast
import os
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from mint_migrate.bridge.rows import WORDS, Row, to_json_lines

SIZES: Final[Mapping[str, object]] = {
    "train_batch_size": 4,
    "gen_batch_size": 4,
    "val_batch_size": 4,
    "rollout_batch_size": 4,
    "ppo_mini_batch_size": 2,
    "responses_per_prompt": 2,
    "responses_per_val_prompt": 1,
    "n_samples_per_prompt": 2,
    "n_samples": 2,
    "max_prompt_length": 512,
    "prompt_max_len": 512,
    "max_response_length": 12,
    "generate_max_len": 12,
    "max_new_tokens": 12,
    "response_length": 12,
    "max_length": 512,
    "max_len": 512,
    "lora_rank": 4,
    "total_epochs": 1,
    "total_training_steps": 3,
    "num_episodes": 1,
    "max_epochs": 1,
    "max_samples": 16,
}
"""Fields of configurations, with values by which a step of a tiny model takes moments.

The mathematics stays: shorter texts, fewer of them in a batch, fewer steps.
"""
DATA_FIELDS: Final = ("train_files", "val_files", "prompt_data", "dataset", "eval_dataset")
NUM_ROWS: Final = 12
"""Three batches of the size above."""
_SOURCES: Final[Mapping[str, str]] = {
    "score_gsm8k": "openai/gsm8k",
    "score_math": "lighteval/MATH",
    "score_math_dapo": "math_dapo",
}
"""A data source for each function of a script that scores some."""
_MISSING: Final = "1"
"""What a variable holds that the launcher would have passed: text that reads as a number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StandIns:
    """What is added to a run."""

    arguments: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def fields_of(source: str) -> dict[str, ast.expr]:
    """Return the defaults of the configuration of a script, by field; empty without one."""
    for node in ast.parse(source).body:
        if isinstance(node, ast.ClassDef) and node.name == "Config":
            return {
                item.target.id: item.value
                for item in node.body
                if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name)
                if item.value is not None
            }
    return {}


def is_launched(source: str) -> bool:
    """Say whether a script is one that a launcher became, as its configuration shows."""
    return "class Config" in source and bool(fields_of(source).keys() & set(DATA_FIELDS))


def stand_in(source: str, args: Sequence[str], folder: Path, root: Path) -> StandIns:
    """Return what lets a launcher's script train in moments on any machine.

    Args:
        source: the script's text.
        args: its command line; what is given there stays.
        folder: where it runs.
        root: an empty folder for data files.
    """
    fields = fields_of(source)
    given = {arg[2:].partition("=")[0] for arg in args if arg.startswith("--")}
    missing = {name: _MISSING for name in _variables(fields) if name not in os.environ}
    arguments = [
        part
        for name, value in SIZES.items()
        if name in fields and name not in given
        for part in (f"--{name}", str(value))
    ]
    made = []
    for name in DATA_FIELDS:
        if name in fields and name not in given and not _is_there(fields[name], folder):
            path = _write(root / name, make_rows(fields, source, name))
            arguments += [f"--{name}", str(path)]
            made.append(name)
    notes = [f"{NUM_ROWS} made rows stand for what `{name}` names" for name in made]
    notes += [
        f"{name}={value} stands for what the launcher passes" for name, value in missing.items()
    ]
    if len(arguments) > 2 * len(made):
        notes.append("batches, lengths and steps are small; give a field to choose its value")
    return StandIns(arguments=tuple(arguments), environment=missing, notes=tuple(notes))


def _variables(fields: Mapping[str, ast.expr]) -> list[str]:
    """Return the variables that the configuration cannot do without."""
    nodes = (node for value in fields.values() for node in ast.walk(value))
    return list(
        dict.fromkeys(
            node.slice.value
            for node in nodes
            if isinstance(node, ast.Subscript) and ast.unparse(node.value) == "os.environ"
            if isinstance(node.slice, ast.Constant) and isinstance(node.slice.value, str)
        )
    )


def _is_there(value: ast.expr, folder: Path) -> bool:
    """Say whether everything that a field of data names is a file or folder here."""
    names = _paths(value)
    plain = [name.rpartition("@")[2] for name in names or ()]
    return bool(plain) and all((folder / Path(name).expanduser()).exists() for name in plain)


def _paths(value: ast.expr) -> list[str] | None:
    """Return the paths that an expression of a configuration stands for, None where unknown."""
    if isinstance(value, ast.Call) and ast.unparse(value.func) == "field":
        factory = value.keywords[0].value
        return _paths(factory.body) if isinstance(factory, ast.Lambda) else None
    if isinstance(value, ast.List):
        parts = [_text(item) for item in value.elts]
        return None if None in parts else [part for part in parts if part is not None]
    text = _text(value)
    return None if text is None else [part for part in text.split(",") if part]


def _text(value: ast.expr) -> str | None:
    """Return the text of a constant, a variable of the environment, or several of them joined."""
    match value:
        case ast.Constant(value=str() as text):
            return text
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            first, second = _text(left), _text(right)
            return None if first is None or second is None else first + second
        case ast.Subscript(slice=ast.Constant(value=str() as name)):
            return os.environ.get(name)
        case ast.Call(args=[ast.Constant(value=str() as name), *rest]):
            default = _text(rest[0]) if rest else None
            return os.environ.get(name, default)
    return None


def make_rows(fields: Mapping[str, ast.expr], source: str, name: str) -> list[Row]:
    """Return rows with the columns that a configuration names, the same ones every time."""
    generator = random.Random(f"stand-in rows of {name}")
    keys = {key: _text(value) or key for key, value in fields.items() if key.endswith("_key")}
    has_chat = "apply_chat_template(" in source
    make = next(make for needed, make in _KINDS if needed <= fields.keys())
    scored = (value for function, value in _SOURCES.items() if f"def {function}(" in source)
    data_source = next(scored, "openai/gsm8k")
    return [
        make(_Row(keys, fields, generator, has_chat, data_source, index))
        for index in range(NUM_ROWS)
    ]


@dataclass(frozen=True, slots=True)
class _Row:
    """What one row is made from."""

    keys: Mapping[str, str]
    fields: Mapping[str, ast.expr]
    generator: random.Random
    has_chat: bool
    data_source: str
    index: int

    def sentence(self) -> str:
        num_words = self.generator.randint(3, 9)
        return " ".join(self.generator.choice(WORDS) for _ in range(num_words))

    def said(self, role: str) -> object:
        """Return a text, as a conversation of one message where the script has a chat template."""
        text = self.sentence()
        return [{"role": role, "content": text}] if self.has_chat else text

    def number(self) -> str:
        return str(self.generator.randrange(100))


def _scored(row: _Row) -> Row:
    """A prompt of verl with what its scorer compares answers with."""
    return {
        row.keys.get("reward_fn_key", "data_source"): row.data_source,
        row.keys["prompt_key"]: [{"role": "user", "content": row.sentence()}],
        "ability": "math",
        "reward_model": {"style": "rule", "ground_truth": row.number()},
        "extra_info": {"split": "train", "index": row.index},
    }


def _pair(row: _Row) -> Row:
    """A prompt and a response of verl, each of which may lie below a column."""
    result: dict[str, Any] = {}
    for side in ("prompt", "response"):
        column = row.keys[f"{side}_key"]
        inner = _paths(row.fields[f"{side}_dict_keys"]) if f"{side}_dict_keys" in row.fields else []
        if inner:
            result.setdefault(column, {})[inner[0]] = row.sentence()
        else:
            result[column] = row.sentence()
    return result


def _conversation(row: _Row) -> Row:
    """A conversation of one or two turns."""
    turns = []
    for _ in range(row.generator.choice((1, 2))):
        turns.append({"role": "user", "content": row.sentence()})
        turns.append({"role": "assistant", "content": row.sentence()})
    return {row.keys.get("messages_key") or row.keys["input_key"]: turns}


def _preference(row: _Row) -> Row:
    return {
        **({row.keys["prompt_key"]: row.said("user")} if "prompt_key" in row.keys else {}),
        row.keys["chosen_key"]: row.said("assistant"),
        row.keys["rejected_key"]: row.said("assistant"),
    }


def _judged(row: _Row) -> Row:
    return {
        row.keys["input_key"]: row.said("user"),
        row.keys["output_key"]: row.said("assistant"),
        row.keys["label_key"]: bool(row.index % 2),
    }


def _answered(row: _Row) -> Row:
    return {
        row.keys["input_key"]: row.said("user"),
        row.keys["output_key"]: row.said("assistant"),
    }


def _asked(row: _Row) -> Row:
    """A prompt of OpenRLHF and, where the configuration names one, its label."""
    label = {row.keys["label_key"]: row.number()} if "label_key" in row.keys else {}
    return {row.keys["input_key"]: row.said("user"), **label}


_KINDS: Final[Sequence[tuple[set[str], Callable[[_Row], Row]]]] = (
    ({"train_files", "response_key"}, _pair),
    ({"train_files", "messages_key"}, _conversation),
    ({"train_files", "prompt_key"}, _scored),
    ({"chosen_key"}, _preference),
    ({"output_key", "label_key"}, _judged),
    ({"output_key"}, _answered),
    ({"prompt_data"}, _asked),
    (set(), _conversation),
)
"""Fields that a configuration has -> what makes its rows; the first that fits."""


def _write(path: Path, rows: Sequence[Row]) -> Path:
    """Write rows as JSON lines, which every converted launcher reads; return the file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    file = path.with_suffix(".jsonl")
    file.write_text(to_json_lines(rows), encoding="utf-8")
    return file
