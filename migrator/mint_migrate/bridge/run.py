"""`mint-migrate run`: a runtime for the length of one script.

The script is an ordinary child of this process: it shares the terminal, its output streams through,
and its exit status is passed on. The runtime is in a process group of its own and is stopped
whatever happens.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mint_migrate.bridge.errors import CannotRun
from mint_migrate.bridge.launched import is_launched, stand_in
from mint_migrate.bridge.names import find_names
from mint_migrate.bridge.process import Interrupted, die_with_parent, termination_raises
from mint_migrate.bridge.runtime import (
    Runtime,
    architecture_for,
    model_folder,
    require_runtime,
    serve,
    tiny_model,
)
from mint_migrate.bridge.world import build_world, parse_script, quiet_environment

INTERRUPT_GRACE_S = 10.0
"""How long a script may take to stop after Ctrl-C before it is terminated."""

ALIVE_INTERVAL_S = 1.0
"""How often the server is looked at while a script runs."""

TINY_STEPS = 20
"""Optimizer steps that synthetic data should last for in `run --tiny`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """How a script is run."""

    base_models: tuple[tuple[str, str], ...] = ()
    """Pairs of the name a script asks for and the folder that is served under it."""
    tiny: bool = False
    """Serve tiny random models and stand-in data instead of what the script names."""
    state_dir: Path | None = None
    """Where the runtime keeps checkpoints; a temporary folder, removed at the end, when absent."""
    cache: Path | None = None
    """Where tiny models are kept; the user's cache folder when absent."""


def parse_base_model(text: str) -> tuple[str, str]:
    """Return the two parts of `NAME=DIR`.

    Raises:
        CannotRun: a part is missing.
    """
    name, _, folder = text.partition("=")
    if not name or not folder:
        raise CannotRun(f"--base-model takes NAME=DIR, found {text!r}")
    return name, folder


def run_script(
    script: Path,
    args: Sequence[str] = (),
    options: RunOptions | None = None,
    *,
    notify: Callable[[str], None] = lambda _line: None,
) -> int:
    """Run a converted script on a runtime started for it; return the exit status of the script.

    A script ended by signal N counts as 128 + N, as in a shell.

    Args:
        script: the script; it runs in the current directory.
        args: its command-line arguments.
        options: see `RunOptions`.
        notify: receives progress, one sentence at a time.

    Raises:
        BridgeError: the runtime is missing or did not start, or the script cannot be read.
    """
    options = options or RunOptions()
    require_runtime()
    source = parse_script(script)
    served = base_models_of(source, args, options, script, Path.cwd())
    with contextlib.ExitStack() as stack:
        stack.enter_context(termination_raises())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mint-migrate-run-")))
        try:
            environment = _environment(source, args, options, script, folder, notify)
            if options.tiny and is_launched(source):
                added = stand_in(source, args, Path.cwd(), folder / "data")
                environment |= added.environment
                args = [*args, *added.arguments]
                for note in added.notes:
                    notify(note)
            state_dir = options.state_dir or folder / "state"
            notify(f"starting the runtime with {', '.join(served)}")
            runtime = stack.enter_context(serve(served, state_dir=state_dir, env=environment))
            notify(f"runtime ready at {runtime.url}")
            if options.state_dir is None:
                notify("checkpoints are discarded at the end; --state-dir DIR keeps them")
            return run_child(script, args, environment, runtime)
        except Interrupted as error:
            return 128 + error.signum
        except KeyboardInterrupt:
            return 128 + signal.SIGINT


def base_models_of(
    source: str, args: Sequence[str], options: RunOptions, script: Path, cwd: Path
) -> dict[str, Path | None]:
    """Return what the runtime serves: what the user gave, and stand-ins or hub names for the rest.

    Args:
        source: the script's text.
        args: its command-line arguments.
        options: see `RunOptions`.
        script: its path, for messages.
        cwd: the folder it runs in, where a name may be a model's folder.

    Raises:
        CannotRun: the script's base model cannot be told from its text and none was given.
    """
    given: dict[str, Path | None] = {
        name: model_folder(folder) for name, folder in options.base_models
    }
    names = find_names(source, args, folder=cwd)
    asked = names.base_models or names.models
    for name in asked:
        if name not in given and (options.tiny or not given):
            local = cwd / name if (cwd / name / "config.json").is_file() else None
            stand_in = (
                tiny_model(architecture_for(name), cache=options.cache) if options.tiny else local
            )
            given[name] = stand_in
    if not given:
        raise CannotRun(
            f"{script} does not say in a readable way which base model it trains; "
            "give --base-model NAME=DIR"
        )
    return given


def _environment(
    source: str,
    args: Sequence[str],
    options: RunOptions,
    script: Path,
    folder: Path,
    notify: Callable[[str], None],
) -> dict[str, str]:
    """Return the variables for script and server: the user's own, or those of a stand-in hub."""
    if not options.tiny:
        return dict(os.environ)
    world = build_world(
        source,
        folder / "hub",
        args=args,
        folder=Path.cwd(),
        num_steps=TINY_STEPS,
        cache=options.cache,
    )
    for note in world.notes:
        notify(note)
    return world.hub.apply_to(quiet_environment())


def run_child(
    script: Path, args: Sequence[str], environment: Mapping[str, str], runtime: Runtime
) -> int:
    """Run the script in the foreground and return its status as a shell would.

    Raises:
        RuntimeFailed: the server ended first. Clients retry for a long time, so the script is not
            left to find out by itself.
    """
    process = subprocess.Popen(
        [sys.executable, str(script), *args],
        env={**environment, **runtime.client_environment()},
        preexec_fn=die_with_parent(),
    )
    with _ended(process):
        while True:
            with contextlib.suppress(subprocess.TimeoutExpired):
                status = process.wait(ALIVE_INTERVAL_S)
                return status if status >= 0 else 128 - status
            if not runtime.is_alive():
                raise runtime.failure()


@contextlib.contextmanager
def _ended(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Leave the block only when the process is gone.

    A Ctrl-C at the terminal reaches the script as well, so it is given time to end by its own rules
    first.
    """
    try:
        yield
    except KeyboardInterrupt:
        with contextlib.suppress(subprocess.TimeoutExpired, KeyboardInterrupt):
            process.wait(INTERRUPT_GRACE_S)
        raise
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(INTERRUPT_GRACE_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
