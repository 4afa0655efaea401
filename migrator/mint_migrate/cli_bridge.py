"""The commands that execute scripts: `run` and `verify`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from mint_migrate import batch, console, files
from mint_migrate.bridge.commands import run_command, verify_command
from mint_migrate.local.join import Joined, join_modules
from mint_migrate.model.outcome import Failed, Migrated, Skipped
from mint_migrate.model.source import Options, Source
from mint_migrate.stamp import stamp


def run(
    script: Path,
    args: Sequence[str],
    *,
    tiny: bool,
    base_models: Sequence[str],
    state_dir: Path | None,
) -> int:
    """Run a converted script on a runtime of its own and return the script's exit status.

    Raises:
        BridgeError: the runtime or the script cannot be started.
    """
    return run_command(
        script, args, base_models=base_models, tiny=tiny, state_dir=state_dir, notify=console.err
    )


def verify(
    original: Path,
    converted: Path | None,
    args: Sequence[str],
    *,
    num_steps: int,
    base_model: Path | None,
    data: Path | None,
    plot: Path | None,
    format_: str,
) -> int:
    """Compare two trainings, show the table, and return 0 where they are equal, else 1.

    Raises:
        BridgeError: a script, the runtime or the world around them cannot be run.
    """
    from mint_migrate.parity.render import as_json, renderable

    console.check_format(format_)
    result = verify_command(
        original,
        converted,
        args,
        num_steps=num_steps,
        base_model=base_model,
        data=data,
        plot=plot,
        convert=_convert,
        whole=_whole,
        notify=console.err,
    )
    if format_ == "json":
        console.out(json.dumps(as_json(result), indent=2, ensure_ascii=False) + "\n")
    else:
        console.out_console().print(renderable(result))
    return result.exit_status


def _whole(original: Path) -> str | None:
    """Return a script with the modules it imports from its project; None where none matters."""
    source = files.read(original)
    if not isinstance(source, Source):
        return None
    joined = join_modules(source, everything=True)
    return joined.text if isinstance(joined, Joined) else None


def _convert(original: Path, target: Path) -> None:
    """Write the migration of *original* to *target*; tell why where there is none."""
    outcome, _trace = batch.migrate_path(original, Options())
    match outcome:
        case Migrated(text=str(text), source=source):
            files.write(target, files.encode(stamp(text), source))
        case Migrated():
            console.err(f"{original}: nothing in it could be converted")
        case Failed():
            console.err_failed(outcome)
        case Skipped(code=code, reason=reason):
            console.err(f"{original}: {code} {reason}")
