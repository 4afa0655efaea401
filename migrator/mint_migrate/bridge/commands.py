"""`run` and `verify` as the command line calls them: texts in, values out, nothing printed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from mint_migrate.bridge.errors import CannotRun
from mint_migrate.bridge.process import Interrupted
from mint_migrate.bridge.run import RunOptions, parse_base_model, run_script
from mint_migrate.bridge.runtime import model_folder
from mint_migrate.files import write
from mint_migrate.parity.plot import loss_plot
from mint_migrate.parity.verify import VerifyOptions, VerifyResult, verify


def run_command(
    script: Path,
    args: Sequence[str] = (),
    *,
    base_models: Sequence[str] = (),
    tiny: bool = False,
    state_dir: Path | None = None,
    notify: Callable[[str], None] = lambda _line: None,
) -> int:
    """Run a converted script on a runtime of its own and return the script's exit status.

    Args:
        script: the script.
        args: what follows `--` on the command line.
        base_models: `NAME=DIR` texts.
        tiny: stand-in models and data instead of what the script names.
        state_dir: where checkpoints are kept.
        notify: receives progress, for stderr.

    Raises:
        BridgeError: exit status 2.
    """
    options = RunOptions(
        base_models=tuple(parse_base_model(text) for text in base_models),
        tiny=tiny,
        state_dir=state_dir,
    )
    return run_script(script, args, options, notify=notify)


def verify_command(
    original: Path,
    converted: Path | None = None,
    args: Sequence[str] = (),
    *,
    num_steps: int = VerifyOptions().num_steps,
    base_model: Path | None = None,
    data: Path | None = None,
    plot: Path | None = None,
    convert: Callable[[Path, Path], None] | None = None,
    whole: Callable[[Path], str | None] = lambda _original: None,
    notify: Callable[[str], None] = lambda _line: None,
) -> VerifyResult:
    """Compare a script with its conversion; `exit_status` of the result is the command's.

    Args:
        original: the script that trains with TRL.
        converted: its conversion, or None to find or make it.
        args: what follows `--` on the command line, for both scripts.
        num_steps: optimizer steps to compare.
        base_model: folder of a model that stands for every model name.
        data: file of rows that stands for every data set.
        plot: where an SVG of both curves is written.
        convert, whole: see `mint_migrate.parity.verify.verify`.
        notify: receives progress, for stderr.

    Raises:
        BridgeError: exit status 2.
        SystemExit: this process was asked to end; the children are gone.
    """
    if plot is not None and plot.suffix != ".svg":
        raise CannotRun(f"the plot is an SVG file; {plot} does not end with .svg")
    options = VerifyOptions(
        num_steps=num_steps,
        base_model=model_folder(str(base_model)) if base_model else None,
        data=data,
        args=tuple(args),
    )
    try:
        result = verify(original, converted, options, convert=convert, whole=whole, notify=notify)
    except Interrupted as error:
        raise SystemExit(128 + error.signum) from None
    if plot is not None:
        write(plot, loss_plot(result).encode())
    return result
