"""A folder in which a converted launcher trains: its tree, data, a home folder, small sizes."""

from __future__ import annotations

import ast
import json
import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

from mint_migrate import cli
from mint_migrate.batch import migrate_path
from mint_migrate.bridge.launched import NUM_ROWS, SIZES, fields_of
from mint_migrate.model.outcome import Migrated, Outcome
from mint_migrate.model.source import Options

from support.bash_run import programs
from support.cases import FIXTURES

CLUSTER: Mapping[str, str] = {"/mnt/": "/mnt/", "/fsx/rl": ""}
"""Absolute paths of launchers -> what they are below the folder that they are laid out in."""

Row = dict[str, Any]

ONE_AT_A_TIME = Lock()
"""The command is made for a process of its own; trainings prepare in threads of one."""


def options_of(case: Mapping[str, Any]) -> Options:
    """Return the options of a migration that knows the release of a case."""
    framework, version = case["source_version"].split("==")
    known = (framework, version, "given with --source-version")
    return Options(launched_version=known, **case.get("options", {}))


def migrate(case: Mapping[str, Any]) -> Outcome:
    """Migrate the launcher of a case where it lies."""
    outcome, trace = migrate_path(FIXTURES / case["path"], options_of(case))
    assert not trace, trace
    return outcome


def scripts_of(outcome: Migrated) -> list[str]:
    """Return the texts of the converted scripts, one for each training that was converted."""
    texts = [outcome.text] if outcome.text is not None and outcome.suffix != ".sh" else []
    return texts + [item.text for item in outcome.companions if item.ending.endswith(".py")]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A converted launcher in its folder, and how it is started."""

    folder: Path
    scripts: tuple[Path, ...]
    command: tuple[str, ...]
    environment: dict[str, str]


def prepare(case: Mapping[str, Any], folder: Path, *, scorer: str = "") -> Prepared:
    """Lay out a folder for a launcher of a case and migrate it there.

    Args:
        case: a launcher.
        folder: does not exist yet; becomes the tree of the launcher, `home` in it its home folder.
        scorer: address of a server of rewards, for launchers that ask one.
    """
    original = FIXTURES / case["path"]
    shutil.copytree(original.parent, folder)
    launcher = folder / original.name
    text = launcher.read_text(encoding="utf-8")
    for cluster in CLUSTER:
        text = text.replace(cluster, f"{folder}{CLUSTER[cluster]}")
    launcher.write_text(text, encoding="utf-8")
    for item in case.get("data", ()):
        if "path" in item:
            write_parquet(place(item["path"], folder), rows_of(item))
    with ONE_AT_A_TIME:
        chosen = [
            part
            for name, value in case.get("options", {}).items()
            for part in (f"--{name.replace('_', '-')}", value)
        ]
        status = cli.run([str(launcher), "--source-version", case["source_version"], *chosen])
    scripts = tuple(sorted(folder.glob(f"{launcher.stem}*_mint.py")))
    assert scripts, f"{case['id']} is not converted: exit status {status}"
    for script in scripts:
        arguments = arguments_for(script.read_text(encoding="utf-8"), case, scorer)
        Path(f"{script}.arguments").write_text("\n".join(arguments) + "\n", encoding="utf-8")
    shell = folder / f"{launcher.stem}_mint.sh"
    bin_folder = programs(folder / "programs", python=sys.executable)
    started = ("/bin/bash", shell.name)
    if not shell.exists():
        started = (str(bin_folder / "python"), scripts[0].name)
    return Prepared(
        folder=folder,
        scripts=scripts,
        command=(*started, *case.get("arguments", ())),
        environment={
            **case.get("environment", {}),
            "PATH": str(bin_folder),
            "HOME": str(folder / "home"),
        },
    )


def train(
    prepared: Prepared, environment: Mapping[str, str], *, deadline: float
) -> tuple[list[float], str]:
    """Run a converted launcher to its end; return its losses and what it printed.

    Raises:
        TimeoutError: it takes longer than *deadline* seconds; it is ended.
    """
    log = prepared.folder / "log.txt"
    with log.open("wb") as output:
        child = subprocess.Popen(
            prepared.command,
            cwd=prepared.folder,
            env={**environment, **prepared.environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            status = child.wait(deadline)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
            raise TimeoutError(log.read_text(encoding="utf-8", errors="replace")) from None
    text = log.read_text(encoding="utf-8", errors="replace")
    return losses_in(prepared.folder), f"exit status {status}\n{text}"


def place(path: str, folder: Path) -> Path:
    """Return where a path of a launcher is within the folder it is laid out in."""
    return folder / path.replace("$HOME", "home").lstrip("/")


def arguments_for(text: str, case: Mapping[str, Any], scorer: str) -> list[str]:
    """Return arguments that make a converted script small, and name what is here in its world."""
    fields = {name: ast.unparse(value) for name, value in fields_of(text).items()}
    chosen = {name: value for name, value in SIZES.items() if name in fields}
    if "http" in fields.get("remote_rm_url", ""):
        chosen["remote_rm_url"] = scorer
    local = [name for name in case["models"] if "$" in name]
    if local:
        chosen["model"] = served_name(local[0])
    return [part for name, value in chosen.items() for part in (f"--{name}", str(value))]


def served_name(model: str) -> str:
    """Return the name under which a server has a model: of a folder, its last part."""
    return model.rpartition("/")[2] if "$" in model else model


def rows_of(item: Mapping[str, Any]) -> list[Row]:
    """Return the rows of a data set: those of its `rows`, the same ones every time."""
    rng = random.Random(item.get("path") or item["hub"])
    return [_ROWS[item["rows"]](rng, index, item) for index in range(NUM_ROWS)]


def write_parquet(path: Path, rows: list[Row]) -> None:
    """Write rows as verl reads them."""
    import pyarrow  # type: ignore[import-untyped]
    import pyarrow.parquet  # type: ignore[import-untyped]

    path.parent.mkdir(parents=True, exist_ok=True)
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)


def _rl_row(rng: random.Random, index: int, item: Mapping[str, Any]) -> Row:
    source = item["data_source"]
    question, truth = _TASKS.get(source, _sum)(rng)
    return {
        "data_source": source,
        "prompt": [{"role": "user", "content": question}],
        "ability": "math",
        "reward_model": {"style": "rule", "ground_truth": truth},
        "extra_info": {"split": Path(item["path"]).stem, "index": index},
    }


def _gsm8k_row(rng: random.Random, index: int, item: Mapping[str, Any]) -> Row:
    question, truth = _sum(rng)
    answer = f"It is the sum of the two.\n#### {truth}"
    return {
        **_rl_row(rng, index, {**item, "data_source": "openai/gsm8k"}),
        "extra_info": {"index": index, "question": question, "answer": answer},
    }


def _context_row(rng: random.Random, index: int, item: Mapping[str, Any]) -> Row:
    question, _ = _sum(rng)
    return {"context_messages": [{"role": "user", "content": question}]}


def _orca_row(rng: random.Random, index: int, item: Mapping[str, Any]) -> Row:
    question, truth = _sum(rng)
    return {"system_prompt": "", "question": question, "response": f"It is {truth}."}


def _messages_row(rng: random.Random, index: int, item: Mapping[str, Any]) -> Row:
    turns = []
    for _ in range(rng.choice((1, 1, 2, 3))):
        question, truth = _sum(rng)
        turns += [{"role": "user", "content": question}, {"role": "assistant", "content": truth}]
    return {"messages": turns}


def _sum(rng: random.Random) -> tuple[str, str]:
    first, second = rng.randint(1, 50), rng.randint(1, 50)
    text = rng.choice(("What is {} + {}?", "Add {} and {}.", "I have {} apples and buy {}. Now?"))
    return text.format(first, second), str(first + second)


def _question(rng: random.Random) -> tuple[str, Row]:
    question, truth = _sum(rng)
    return question, {"target": [truth]}


def _countdown(rng: random.Random) -> tuple[str, Row]:
    numbers = [rng.randint(1, 30) for _ in range(3)]
    truth = {"target": sum(numbers), "numbers": numbers}
    return f"Reach {sum(numbers)} with {numbers}. Answer in <answer> </answer>.", truth


def _logic(rng: random.Random) -> tuple[str, dict[str, str]]:
    truth = {name: rng.choice(("knight", "knave")) for name in ("Ada", "Bo")}
    return "Ada says that Bo is a knave. Who is what?", truth


def _riddle(rng: random.Random) -> tuple[str, str]:
    word = rng.choice(("candle", "shadow", "echo", "river", "stamp"))
    return f"Which thing has {len(word)} letters and begins with {word[0]}?", word


def _function(rng: random.Random) -> tuple[str, str]:
    name = rng.choice(("double", "reverse", "largest"))
    return f"Write a Python function `{name}`.", name


def _summary(rng: random.Random) -> tuple[str, str]:
    return "Shorten: the parcel came late and the box was wet.", "A late and wet parcel."


_TASKS: dict[str, Callable[[random.Random], tuple[str, Any]]] = {
    "countdown": _countdown,
    "searchR1_nq": _question,
    "logic": _logic,
    "riddles": _riddle,
    "puzzles": _riddle,
    "functions": _function,
    "summaries": _summary,
}
"""By data source; every other one asks for sums."""
_ROWS: dict[str, Callable[[random.Random, int, Mapping[str, Any]], Row]] = {
    "rl": _rl_row,
    "gsm8k": _gsm8k_row,
    "messages": _messages_row,
    "context_messages": _context_row,
    "orca": _orca_row,
}


def losses_in(folder: Path) -> list[float]:
    """Return the losses that scripts below a folder have written so far, in order."""
    lines = [
        json.loads(line)
        for path in folder.rglob("metrics.jsonl")
        for line in path.read_text(encoding="utf-8").splitlines()
        if line.endswith("}")
    ]
    return [line["loss"] for line in lines if "loss" in line]
