"""Synthetic rows with the columns a script uses: the same ones every time, of uneven lengths."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass

from mint_migrate.bridge.columns import Columns

_TEXT = (
    "the a model reads every line of this small story about rivers and stone bridges "
    "while nobody asks why seven gray birds return before winter ends; question "
    "answer because often number three four print light paper window garden slowly "
    "music water city north letter old new quick value left right open "
)
WORDS = tuple(_TEXT.split())
NUMBER_COLUMNS = frozenset(
    {"label", "score", "id", "idx", "index", "year", "rating", "length", "num_turns"}
)
ANSWER_COLUMNS = frozenset(
    {"answer", "solution", "ground_truth", "gold", "target", "final_answer", "expected"}
)
TOKEN_COLUMNS = frozenset(
    {"input_ids", "labels", "attention_mask", "completion_mask", "assistant_masks"}
)
LONG_ROW_EVERY = 29
"""One row in this many is longer than the script's maximum, so that truncation is compared."""

_TOKEN_IDS = 200
"""Pre-tokenized columns use ids below this, which every stand-in vocabulary has."""

Row = dict[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class RowPlan:
    """How many rows, and how long the longest are."""

    num_rows: int = 96
    long_row_words: int = 0
    """Words of the longest rows; 0 for no such rows."""


def make_rows(columns: Columns, plan: RowPlan, *, split: str) -> tuple[Row, ...]:
    """Return the rows of one split."""
    # `random.Random` seeded by a string gives the same stream on every platform and in every
    # process.
    generator = random.Random(f"stand-in rows, split {split}")
    literals = dict(columns.literals)
    rows = []
    for index in range(plan.num_rows):
        is_long = plan.long_row_words > 0 and index % LONG_ROW_EVERY == LONG_ROW_EVERY - 1
        size = plan.long_row_words if is_long else generator.choice((3, 5, 8, 12, 20, 33, 48))
        row = {name: _cell(name, size, columns, generator) for name in columns.names}
        for name, values in literals.items():
            if name in row and generator.random() < 0.75:
                row[name] = generator.choice(values)
        if {"chosen", "rejected"} <= columns.conversational:
            _answer_one_prompt(row, size, columns, generator)
        rows.append(_consistent(row, literals))
    return tuple(rows)


def _answer_one_prompt(row: Row, size: int, columns: Columns, generator: random.Random) -> None:
    """Make both answers of a row follow one conversation, which is its prompt if it has one."""
    turns = _messages("prompt", size, columns, generator)
    answers = [
        _messages("completion", words, columns, generator) for words in (size, 2 + size // 2)
    ]
    has_prompt = "prompt" in row and "prompt" in columns.conversational
    if has_prompt:
        row["prompt"] = turns
    elif "prompt" in row:
        row["prompt"] = str(turns[-1]["value" if columns.sharegpt else "content"])
    for side, answer in zip(("chosen", "rejected"), answers, strict=True):
        row[side] = answer if has_prompt else [*turns, *answer]


def _consistent(row: Row, literals: dict[str, tuple[object, ...]]) -> Row:
    """Return the row with equal types down each column and token columns of equal length."""
    for name, values in literals.items():
        if name in row and isinstance(values[0], str):
            row[name] = str(row[name])
    if isinstance(ids := row.get("input_ids"), list):
        for name in TOKEN_COLUMNS & row.keys() - {"input_ids"}:
            row[name] = list(ids) if name == "labels" else [1] * len(ids)
    return row


def _cell(name: str, size: int, columns: Columns, generator: random.Random) -> object:
    """Return the value of one column; a prompt is shorter than what follows it."""
    if name in columns.conversational:
        return _messages(name, size, columns, generator)
    if name in TOKEN_COLUMNS:
        return [generator.randrange(3, _TOKEN_IDS) for _ in range(size + 2)]
    if name in columns.booleans:
        return generator.random() < 0.5
    if name in ANSWER_COLUMNS and columns.answer:
        return columns.answer.format(generator.randrange(100))
    if name in NUMBER_COLUMNS or name.startswith(("num_", "n_", "score_")):
        return generator.randrange(0, 5)
    if name in {
        "prompt",
        "question",
        "instruction",
        "context",
        "system",
        "input",
        "author",
        "category",
    }:
        size = max(1, min(size // 3, 12))
        if name == "input" and generator.random() < 0.4:
            return ""  # scripts often treat an empty input differently
    return _sentence(size, generator)


def _sentence(size: int, generator: random.Random) -> str:
    return " ".join(generator.choice(WORDS) for _ in range(size)).capitalize() + "."


def _messages(name: str, size: int, columns: Columns, generator: random.Random) -> list[Row]:
    """Return one conversation; a `prompt` ends with the user, a `completion` is one answer."""
    role, content = ("from", "value") if columns.sharegpt else ("role", "content")
    user, assistant = ("human", "gpt") if columns.sharegpt else ("user", "assistant")

    def message(speaker: str, num_words: int) -> Row:
        return {role: speaker, content: _sentence(max(1, num_words), generator)}

    if name == "completion":
        return [message(assistant, size)]
    turns = [message("system", 6)] if generator.random() < 0.2 else []
    if name == "prompt":
        return [*turns, message(user, min(size // 3, 12))]
    for _ in range(generator.choice((1, 1, 2, 3))):
        turns += [message(user, size // 3), message(assistant, size)]
    return turns


def read_rows(content: str, suffix: str) -> tuple[Row, ...]:
    """Return the rows of a JSON list or of JSON lines.

    Raises:
        ValueError: the text is not a list of objects, or holds none.
    """
    parsed: object = (
        json.loads(content) if suffix == ".json" and content.lstrip().startswith("[") else None
    )
    if parsed is None:
        parsed = [json.loads(line) for line in content.splitlines() if line.strip()]
    if (
        not isinstance(parsed, list)
        or not all(isinstance(row, dict) for row in parsed)
        or not parsed
    ):
        raise ValueError("expected one JSON object per line, or a list of them")
    return tuple(parsed)


def to_json_lines(rows: Sequence[Row]) -> str:
    """Return the rows as JSON lines."""
    return "".join(json.dumps(row) + "\n" for row in rows)
