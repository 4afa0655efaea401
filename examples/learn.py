"""From nothing to two learned tasks on this machine: base model, server, SFT, GRPO, a table.

    python learn.py             # works in ./.learn, which may be deleted at any time

Exit status: 0 when both tasks reach their target, otherwise 1.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
NAME = "tiny"
START_S = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """A script, how well it should do, and which key of its metrics says how well it does."""

    title: str
    script: str
    measure: str
    target: float
    learning_rate: str
    """Command line flag, or environment variable, that sets the learning rate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grade:
    """A lesson's measure before and after, and the time it took."""

    lesson: Lesson
    before: float
    after: float
    seconds: float

    def __str__(self) -> str:
        """Return a row of the table."""
        return (
            f"{self.lesson.title:6}{self.before:8.1%}{self.after:8.1%}"
            f"{self.lesson.target:8.0%}{self.seconds:9.0f}"
        )


LESSONS = (
    Lesson(
        title="SFT",
        script="sft_reverse.py",
        measure="accuracy",
        target=0.95,
        learning_rate="--learning-rate",
    ),
    Lesson(
        title="GRPO",
        script="rl/reverse_rl.py",
        measure="held_out_reward",
        target=0.90,
        learning_rate="MINT_RL_LR",
    ),
)


@contextmanager
def running_server(base: Path, folder: Path) -> Iterator[str]:
    """Start the bundled runtime on a free port; yield its address; stop it in the end."""
    ready = folder / "ready.json"
    ready.unlink(missing_ok=True)
    command = [sys.executable, "-m", "mint_runtime", "serve", "--base-model", f"{NAME}={base}"]
    command += ["--port", "0", "--state-dir", str(folder / "state"), "--ready-file", str(ready)]
    with (folder / "server.log").open("w") as log:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=log)
    try:
        deadline = time.monotonic() + START_S
        while not ready.exists():
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"the server did not start; see {folder / 'server.log'}")
            time.sleep(0.1)
        yield json.loads(ready.read_text())["url"]
    finally:
        process.terminate()
        process.wait()


def make_base(folder: Path) -> Path:
    """Return the folder of the tiny base model, made now unless an earlier run left it."""
    base = folder / "base"
    # The last file to be written: without it, an earlier run was interrupted.
    if not (base / "tokenizer_config.json").exists():
        run([str(HERE / "pretrain_tiny.py"), str(base)], os.environ)
    return base


def run(arguments: list[str], environment: Mapping[str, str]) -> float:
    """Run a script to its end and return how long it took, in seconds."""
    started = time.monotonic()
    subprocess.run([sys.executable, *arguments], env=environment, check=True)
    return time.monotonic() - started


def study(lesson: Lesson, url: str, folder: Path, learning_rate: float | None) -> Grade:
    """Run a lesson and return how it went."""
    output = folder / lesson.title.lower()
    shutil.rmtree(output, ignore_errors=True)
    environment = {
        **os.environ,
        "MINT_BASE_URL": url,
        "MINT_API_KEY": "sk-local",
        "MINT_BASE_MODEL": NAME,
        "MINT_RL_OUTPUT_DIR": str(output),
    }
    arguments = [str(HERE / lesson.script)]
    if lesson.learning_rate.startswith("--"):
        arguments += ["--base-model", NAME, "--output-dir", str(output)]
        arguments += [] if learning_rate is None else [lesson.learning_rate, str(learning_rate)]
    elif learning_rate is not None:
        environment[lesson.learning_rate] = str(learning_rate)
    seconds = run(arguments, environment)
    records = map(json.loads, (output / "metrics.jsonl").read_text().splitlines())
    measured = [record[lesson.measure] for record in records if lesson.measure in record]
    return Grade(lesson=lesson, before=measured[0], after=measured[-1], seconds=seconds)


def main() -> int:
    """Do it all and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--folder", type=Path, default=Path(".learn"))
    parser.add_argument("--learning-rate", type=float, help="of both scripts, instead of their own")
    args = parser.parse_args()
    folder = args.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    # Threads only get in each other's way on matrices this small.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    # The only model is a folder, so nothing needs to be looked up.
    os.environ.setdefault("HF_HUB_OFFLINE", "1")

    base = make_base(folder)
    with running_server(base, folder) as url:
        grades = [study(lesson, url, folder, args.learning_rate) for lesson in LESSONS]

    print(
        f"\n{'':6}{'before':>8}{'after':>8}{'target':>8}{'seconds':>9}   held-out strings reversed"
    )
    print(*grades, sep="\n")
    return 0 if all(grade.after > grade.lesson.target for grade in grades) else 1


if __name__ == "__main__":
    sys.exit(main())
