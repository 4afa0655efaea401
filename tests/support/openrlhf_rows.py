"""Small trainings of OpenRLHF on given rows: their data, their launches, and both sides' runs.

A launch is a table of flags by their first names. The release's own entry gets them as words, and
the launcher with the same words is converted and run with a client whose model is the same table.
"""

from __future__ import annotations

import functools
import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from datasets import Dataset, DatasetDict
from mint_migrate.fronts.launchers import migrate_launcher
from mint_migrate.model.outcome import Migrated
from mint_migrate.model.source import Options, Source

from support.environments import REQUIREMENTS, ROOT, beside
from support.openrlhf_math import ENVIRONMENTS, NEWEST
from support.scripts import tables
from support.table_client import TableClient, records, served
from support.tiny_folder import tiny_folder
from support.verl_launch import script_of
from support.verl_math import Arrays

_WORDS = "red blue green one two three four six tree oak elm hello bye world name count say"
WORDS = _WORDS.split()
BATCH, MICRO, EPOCHS, LONGEST = 16, 2, 2, 30
NUM_ROWS = 45
"""One more than fills the micro-batches of two processes; passes end inside a step."""
COMMON = {
    "train_batch_size": BATCH,
    "micro_train_batch_size": MICRO,
    "max_epochs": EPOCHS,
    "max_len": LONGEST,
    "lr_warmup_ratio": 0.3,
    "seed": 7,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One training; flags of value None are left out, those of True have no value."""

    name: str
    program: str
    flags: Mapping[str, object]
    world: int = 1
    releases: Sequence[str] = tuple(ENVIRONMENTS)
    own: Mapping[str, object] = field(default_factory=dict)
    """Flags of the original alone, which the conversion cannot follow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """What both sides leave behind."""

    gradients: np.ndarray
    """Of each optimizer step, `[steps, rows, vocabulary]`."""
    losses: list[float]
    rates: list[float]
    evaluations: list[tuple[int, float]]
    """Steps that were done, and the loss."""
    adam: dict[str, float]


def text(rng: random.Random, longest: int) -> str:
    """Return some words."""
    return " ".join(rng.choices(WORDS, k=rng.randint(1, longest)))


def make_rows(count: int, seed: int) -> list[dict[str, Any]]:
    """Return rows that every program can read: short ones, cut ones, and some that are left out."""
    rng = random.Random(seed)
    rows = []
    for index in range(count):
        question, answer, worse = text(rng, 5), text(rng, 9), text(rng, 12)
        # Prompts without room, answers that are cut, ends that are stripped, answers with an end.
        question = " ".join(WORDS * 3) if index % 11 == 3 else question
        answer = " ".join(WORDS * 2) if index % 7 == 5 else answer
        answer += {1: "\n", 2: "\n\n", 4: "<|im_end|>"}.get(index % 9, "")
        worse = "" if index % 13 == 6 else worse
        asked = [{"role": "user", "content": question}]
        earlier = [{"role": "user", "content": "say"}, {"role": "assistant", "content": "world"}]
        said = [*(earlier if index % 3 == 0 else []), *asked]
        rows.append(
            {
                "question": question,
                "answer": answer,
                "worse": worse,
                "good": index % 3 == 0 or index % 5 == 1,
                "asked": asked,
                "told": [{"role": "assistant", "content": answer}],
                "told_worse": [{"role": "assistant", "content": worse}],
                "chat": [*said, {"role": "assistant", "content": answer}],
                "chat_worse": [*said, {"role": "assistant", "content": worse}],
            }
        )
    return rows


def write_data(folder: Path) -> None:
    """Write the files that launches name."""
    for name, count, seed in (("rows", NUM_ROWS, 1), ("more", 35, 2), ("held", 19, 3)):
        lines = "".join(json.dumps(row) + "\n" for row in make_rows(count, seed))
        (folder / f"{name}.jsonl").write_text(lines, encoding="utf-8")
    parts = {"train": make_rows(NUM_ROWS, 1), "test": make_rows(19, 3)}
    saved = {name: Dataset.from_list(rows) for name, rows in parts.items()}
    DatasetDict(saved).save_to_disk(str(folder / "saved"))


@functools.cache
def dotted() -> dict[tuple[str, str], str]:
    """Return the newest name of each option, by program and first name; "" for every program."""
    path = ROOT / "mappings" / "openrlhf" / "renames.yaml"
    names = {}
    for row in yaml.safe_load(path.read_text(encoding="utf-8"))["renamed"]:
        for program in row.get("programs", [""]):
            names[program, row["old"]] = row["new"][0]
    return names


def words_of(case: Case, release: str, flags: Mapping[str, object]) -> list[str]:
    """Return flags as a command line has them in a release."""
    words = []
    for name, value in flags.items():
        if value is None:
            continue
        shown = name
        if release == NEWEST:
            shown = dotted().get((case.program, name)) or dotted().get(("", name), name)
        values = [] if value is True else value if isinstance(value, tuple) else [value]
        words += [f"--{shown}", *map(str, values)]
    return words


def quoted(word: str) -> str:
    """Return a word as bash reads it."""
    return "'" + word.replace("'", "'\\''") + "'"


def convert(case: Case, release: str) -> Migrated:
    """Convert the launcher of a case."""
    words = " ".join(quoted(word) for word in words_of(case, release, case.flags))
    start = f"torchrun --nproc_per_node {case.world} -m openrlhf.cli.{case.program}"
    command = f"{start} {words}\n"
    source = Source(path="run.sh", content=command.encode(), text=command, newline="\n")
    options = Options(launched_version=("openrlhf", release, "said by the test"))
    result = migrate_launcher(source, options, tables(), lambda path: None)
    assert isinstance(result, Migrated), result
    return result


def vocabulary() -> int:
    """Return the number of tokens of the model."""
    config = json.loads((tiny_folder() / "config.json").read_text(encoding="utf-8"))
    return int(config["vocab_size"])


def ours(text: str, folder: Path, model: Path | None = None) -> Training:
    """Run a converted script in a folder of its own.

    Args:
        text: of the script.
        folder: for what it writes.
        model: folder of the tokenizer; left out: that of the tiny model.
    """
    client = TableClient(str(model or tiny_folder()), vocabulary())
    with served(text, client) as space:
        space["train"](space["Config"](output_dir=str(folder)))
    written = records(folder)
    steps = [record for record in written if "loss" in record]
    held = [record for record in written if {"eval_loss", "val_loss"} & set(record)]
    first = client.adam[0]
    return Training(
        gradients=np.array(client.gradients),
        losses=[record["loss"] for record in steps],
        rates=[adam.learning_rate for adam in client.adam],
        evaluations=[
            (record["step"] + 1, record.get("eval_loss", record.get("val_loss"))) for record in held
        ],
        adam={name: getattr(first, name) for name in ADAM},
    )


ADAM = ("beta1", "beta2", "eps", "weight_decay", "grad_clip_norm")


def theirs(folder: Path, release: str, cases: Sequence[Case]) -> Iterator[Training]:
    """Run the release's own entries on all cases, and yield what they leave behind."""
    folder.mkdir(exist_ok=True)
    board = {"use_tensorboard": str(folder), "wandb_run_name": "run", "save_path": str(folder)}
    jobs = [
        {
            "program": case.program,
            "flags": words_of(case, release, {**case.flags, **board, **case.own}),
            "world": case.world,
        }
        for case in cases
    ]
    (folder / "cases.json").write_text(json.dumps(jobs), encoding="utf-8")
    program = [sys.executable, str(REQUIREMENTS / "openrlhf_rows.py")]
    quiet = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TORCHDYNAMO_DISABLE": "1"}
    done = subprocess.run(
        [*program, str(folder / "cases.json"), str(folder)],
        env={**os.environ, **quiet, **beside(ENVIRONMENTS[release], folder / "site")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    for number in range(len(cases)):
        with np.load(folder / f"{number}.npz") as arrays:
            yield training_of(dict(arrays))


def training_of(arrays: Arrays) -> Training:
    """Return a record of `environments/openrlhf_rows.py`."""
    evaluations = zip(arrays["eval_steps"], arrays["eval_losses"], strict=True)
    return Training(
        gradients=arrays["gradients"],
        losses=arrays["losses"].tolist(),
        rates=arrays["rates"].tolist(),
        evaluations=[(int(step), float(loss)) for step, loss in evaluations],
        adam={name: float(arrays[name]) for name in ADAM},
    )


def converted(case: Case, release: str) -> str:
    """Return the script of a case."""
    return script_of(convert(case, release))
