"""Convert small launches of verl in a test."""

from __future__ import annotations

import functools
from collections.abc import Mapping

from mint_migrate.fronts.launchers import migrate_launcher
from mint_migrate.model.outcome import Migrated
from mint_migrate.model.plan import Decision
from mint_migrate.model.source import Options, Source

from support.scripts import tables

ACTOR = "actor_rollout_ref.actor"
LAUNCH = {
    "data.train_files": "train.parquet",
    "data.val_files": "test.parquet",
    "data.train_batch_size": 32,
    "data.max_prompt_length": 64,
    "data.max_response_length": 24,
    "actor_rollout_ref.model.path": "Qwen/Qwen3-0.6B",
    f"{ACTOR}.ppo_mini_batch_size": 8,
    "trainer.logger": "console",
}
"""A small launch, four optimizer steps for each rollout."""


@functools.cache
def _launched(command: str, release: str) -> Migrated:
    content = command.encode()
    source = Source(path="run.sh", content=content, text=command, newline="\n")
    options = Options(launched_version=("verl", release, "said by the test"))
    result = migrate_launcher(source, options, tables(), lambda path: None)
    assert isinstance(result, Migrated), result
    return result


def launched(
    overrides: Mapping[str, object],
    release: str = "0.9.1",
    *,
    entry: str = "verl.trainer.main_ppo",
) -> Migrated:
    """Convert a small launch of verl with some options more or others; None leaves one out."""
    options = {**LAUNCH, **overrides}
    words = [f"'{key}={value}'" for key, value in options.items() if value is not None]
    return _launched(f"python3 -m {entry} {' '.join(words)}\n", release)


def by_option(result: Migrated) -> dict[str, Decision]:
    """Return the decisions by the option they are about."""
    return {
        item.found.source_text.strip("'\"").partition("=")[0]: item for item in result.decisions
    }


def script_of(result: Migrated) -> str:
    """Return the text of a conversion, which must have happened."""
    assert result.text is not None, result.notices
    return result.text
