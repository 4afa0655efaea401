"""What a script sees on stand-ins: a hub cache, tiny models, synthetic or given rows."""

from __future__ import annotations

import ast
import csv
import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mint_migrate.bridge.columns import find_columns
from mint_migrate.bridge.constants import collect
from mint_migrate.bridge.errors import CannotRun
from mint_migrate.bridge.hub import StandInHub, add_datasets, add_models
from mint_migrate.bridge.names import Names, find_names
from mint_migrate.bridge.rows import Row, RowPlan, make_rows, read_rows, to_json_lines
from mint_migrate.bridge.runtime import architecture_for, tiny_model

MIN_ROWS, MAX_ROWS = 48, 4096
DEFAULT_BATCH_SIZE = 8
"""Of both frameworks, for a script that does not set one."""

MAX_LONG_ROW = 1024
"""Rows are not made longer than this many tokens: longer limits would make a comparison slow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """A stand-in hub and what it holds."""

    hub: StandInHub
    models: Mapping[str, Path]
    """Name -> folder of every model the hub answers."""
    notes: tuple[str, ...]
    """What was stood in for, one sentence each."""


def parse_script(script: Path) -> str:
    """Return the text of a script.

    Raises:
        CannotRun: it does not exist, is not UTF-8, or does not parse.
    """
    try:
        source = script.read_text(encoding="utf-8")
        compile(source, str(script), "exec", dont_inherit=True)
    except OSError as error:
        raise CannotRun(f"{script} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise CannotRun(f"{script} is not UTF-8 at byte {error.start}") from error
    except (SyntaxError, ValueError) as error:
        raise CannotRun(f"{script} is not Python: {error}") from error
    return source


def plan_rows(source: str, num_steps: int) -> RowPlan:
    """Return how many rows make the comparison of `num_steps` steps worth while.

    With several epochs the first one ends within the compared steps, on an incomplete batch, so
    that reshuffling and the partial batch are seen; otherwise the steps are about one epoch.
    """
    constants = collect(ast.parse(source))

    def number(name: str, default: float) -> float:
        return max((*constants.numbers_of(name),), default=default)

    per_device = number("per_device_train_batch_size", 0)
    batch = (per_device or DEFAULT_BATCH_SIZE) * max(1, number("gradient_accumulation_steps", 1))
    if not per_device:
        batch = number("batch_size", batch)
    has_limit = number("max_steps", -1) > 0
    epochs = number("num_train_epochs", 3.0)
    share = 0.6 if epochs > 1 or has_limit else 1.0
    num_rows = math.ceil(num_steps * share) * batch - batch // 2 + 1
    # Whole batches, so that the bounds leave the incomplete batch what it is.
    num_rows += max(0, math.ceil((MIN_ROWS - num_rows) / batch)) * batch
    num_rows -= max(0, math.ceil((num_rows - MAX_ROWS) / batch)) * batch
    limit = max(number("max_length", 0), number("max_seq_length", 0)) or MAX_LONG_ROW
    return RowPlan(
        num_rows=int(max(MIN_ROWS, num_rows)),
        # A word with its space is between two and four tokens of the stand-in vocabulary.
        long_row_words=int(limit) // 2 if limit <= MAX_LONG_ROW else 0,
    )


def build_world(
    source: str,
    root: Path,
    *,
    args: Sequence[str] = (),
    folder: Path,
    num_steps: int,
    also: str = "",
    base_model: Path | None = None,
    data: Path | None = None,
    cache: Path | None = None,
    with_experts: bool = True,
) -> World:
    """Return a world that answers every model and data set a script names.

    Args:
        source: the script whose names and columns count.
        root: an empty folder for the cache.
        args: the script's command-line arguments.
        folder: the script's folder.
        num_steps: optimizer steps the data should last for.
        also: another script that runs in the same world; only its names are added.
        base_model: stands in for every model instead of a tiny random one.
        data: JSON, JSON lines or CSV that stands in for every data set instead of synthetic rows.
        cache: where tiny models are kept.
        with_experts: whether a tiny mixture of experts stands for one; else a dense model does.
    """
    names = find_names(source, args, folder=folder)
    extra = find_names(also) if also else names
    model_names = tuple(dict.fromkeys([*names.models, *extra.models, *extra.base_models]))
    hub = StandInHub(root=root)
    models = {
        name: base_model
        or tiny_model(architecture_for(name, with_experts=with_experts), cache=cache)
        for name in model_names
        if not (folder / name).is_dir()
    }
    add_models(hub, models)
    splits = _splits(source, names, num_steps, data)
    requests = [request for request in names.datasets if not (folder / request.path).exists()]
    requests += [request for request in extra.datasets if request not in requests]
    add_datasets(hub, requests, splits)
    return World(hub=hub, models=models, notes=_notes(base_model, data, source, names, splits))


def _splits(
    source: str, names: Names, num_steps: int, data: Path | None
) -> dict[str, tuple[Row, ...]]:
    """Return the rows of every split; the training split has them all, the others fewer."""
    if data is not None:
        rows = load_rows(data)
        return dict.fromkeys(names.splits, rows)
    columns, plan = find_columns(source), plan_rows(source, num_steps)
    short = RowPlan(num_rows=min(plan.num_rows, 24), long_row_words=0)
    return {
        split: make_rows(columns, plan if "train" in split else short, split=split)
        for split in names.splits
    }


def write_missing_files(
    source: str, folder: Path, names: Names, *, num_steps: int, data: Path | None = None
) -> tuple[str, ...]:
    """Write rows to the local data files that a script loads and lacks; return their paths.

    The rows are those of `data`, or synthetic ones.
    """
    columns, plan = find_columns(source), plan_rows(source, num_steps)
    written = []
    for path in names.data_files:
        target = folder / path
        if target.exists() or Path(path).is_absolute() or ".." in Path(path).parts or "*" in path:
            continue
        rows = load_rows(data) if data else make_rows(columns, plan, split=target.stem)
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.suffix == ".csv":
            _write_csv(target, rows)
        elif target.suffix == ".json":
            target.write_text(json.dumps(rows), encoding="utf-8")
        else:
            target.write_text(to_json_lines(rows), encoding="utf-8")
        written.append(path)
    return tuple(written)


def _write_csv(target: Path, rows: Sequence[Row]) -> None:
    with target.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def load_rows(data: Path) -> tuple[Row, ...]:
    """Return the rows of a JSON, JSON lines or CSV file.

    Raises:
        CannotRun: the file is missing, or is none of these.
    """
    try:
        if data.suffix == ".csv":
            with data.open(newline="", encoding="utf-8") as file:
                rows: tuple[Row, ...] = tuple(dict(row) for row in csv.DictReader(file))
        else:
            rows = read_rows(data.read_text(encoding="utf-8"), data.suffix)
    except OSError as error:
        raise CannotRun(f"{data} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise CannotRun(f"{data} cannot be used as rows: {error}") from error
    if not rows:
        raise CannotRun(f"{data} holds no rows")
    return rows


def _notes(
    base_model: Path | None,
    data: Path | None,
    source: str,
    names: Names,
    splits: Mapping[str, tuple[Row, ...]],
) -> tuple[str, ...]:
    model = base_model or "a tiny random model with a byte-level tokenizer"
    notes = [f"every model name stands for {model}"]
    if names.loads_from_hub:
        columns = ", ".join(find_columns(source).names)
        content = data or f"synthetic, with columns {columns}"
        notes.append(f"every data set name stands for {len(splits['train'])} rows ({content})")
    return tuple(notes)


def quiet_environment(environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return an environment for small models: one thread unless chosen, trackers silent."""
    given = dict(os.environ if environment is None else environment)
    given.setdefault("OMP_NUM_THREADS", "1")
    return given | {
        "TOKENIZERS_PARALLELISM": "false",
        "WANDB_MODE": "disabled",
        "WANDB_SILENT": "true",
        "COMET_MODE": "disabled",
        "TRACKIO_DISABLED": "1",
        "PYTHONUNBUFFERED": "1",
    }
