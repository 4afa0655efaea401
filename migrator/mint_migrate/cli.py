"""The command line: which command is meant, its options, its exit status.

Each command imports what it needs when it runs, so that `--help` and `ask` pay for neither libcst
nor rich. If the first argument is a command or a global option it runs; otherwise `migrate` is
meant, and a file called `run` is `./run`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mint_migrate import __version__

if TYPE_CHECKING:
    from collections.abc import Callable

EXIT_STATUS = (
    "Exit status: 0 nothing is left for a person (also: no source framework is used); "
    "1 something needs a person, or `--check` would change something or found a TODO, or `ask` "
    "found nothing, or `verify` found a difference; 2 usage error, an input that is missing or "
    "does not parse, or a failure. A directory gives the highest of its files."
)
STREAMS = "Results go to stdout; progress, findings and summaries go to stderr."
GLOBAL_OPTIONS = frozenset({"--help", "-h", "--version"})

app = typer.Typer(
    name="mint-migrate",
    help="Turn LLM post-training scripts into MinT scripts, and say what happened to every argument."
    "\n\n`mint-migrate train.py` is short for `mint-migrate migrate train.py`.",
    epilog=f"{EXIT_STATUS}\n\n{STREAMS}",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    # Rich help would cost every command the import of rich.
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Paths = Annotated[list[Path], typer.Argument(metavar="PATH", help="Scripts or directories.")]
JsonOrText = Annotated[
    str, typer.Option("--format", metavar="text|json", help="What stdout carries.")
]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="List the exact items, too.")]


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its status."""
    arguments = with_command(list(sys.argv[1:] if argv is None else argv))
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            # A terminal that cannot show a character of the user's script must not end the run.
            reconfigure(errors="backslashreplace")
    app(args=arguments, prog_name="mint-migrate")


def with_command(argv: list[str]) -> list[str]:
    """Return *argv* with `migrate` in front where no command and no global option is."""
    if not argv or argv[0] in GLOBAL_OPTIONS or argv[0] in command_names():
        return argv
    return ["migrate", *argv]


def command_names() -> tuple[str, ...]:
    """Return the names of the commands."""
    return tuple(info.name for info in app.registered_commands if info.name)


def _finish(action: Callable[[], int]) -> None:
    """Run *action* and exit with its status; an error of ours is told in its own words, status 2."""
    from mint_migrate import console
    from mint_migrate.errors import MigrateError

    try:
        status = action()
    except MigrateError as error:
        console.err_error(error)
        status = 2
    raise typer.Exit(status)


@app.callback()
def _global(
    version: Annotated[
        bool, typer.Option("--version", help="Print the release and exit.", is_eager=True)
    ] = False,
) -> None:
    """Take the global options."""
    if version:
        sys.stdout.write(f"mint-migrate {__version__}\n")
        raise typer.Exit


@app.command(
    "migrate",
    epilog=EXIT_STATUS,
    short_help="Write <stem>_mint.py beside each script; show the diff and the decisions.",
)
def _migrate(
    paths: Paths,
    diff: Annotated[bool, typer.Option("--diff", help="Print the diff; write nothing.")] = False,
    check: Annotated[
        bool,
        typer.Option(
            "--check", help="Write nothing; exit 1 if something would change or a TODO is left."
        ),
    ] = False,
    in_place: Annotated[
        bool,
        typer.Option("--in-place", help="Replace the script; git must be clean, or --force."),
    ] = False,
    force: Annotated[
        bool,
        typer.Option("--force", help="Overwrite an edited output, or uncommitted work in place."),
    ] = False,
    report: Annotated[
        list[str] | None,
        typer.Option("--report", metavar="md|json", help="Write a report, too. Repeatable."),
    ] = None,
    format_: JsonOrText = "text",
    source_version: Annotated[
        str | None,
        typer.Option(metavar="trl==X.Y.Z", help="Release the script was written for."),
    ] = None,
    num_processes: Annotated[
        int, typer.Option(min=1, metavar="N", help="Training processes the launcher started.")
    ] = 1,
    base_model: Annotated[
        str | None, typer.Option(metavar="NAME", help="Base model to train instead.")
    ] = None,
    scale_lr: Annotated[
        bool,
        typer.Option("--scale-lr", help="Scale the learning rate of a full fine-tuning for LoRA."),
    ] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Approximate items count as work for a person.")
    ] = False,
    jobs: Annotated[
        int, typer.Option(min=1, metavar="N", help="Files migrated at the same time.")
    ] = 1,
    output: Annotated[
        str | None,
        typer.Option(
            "-o", metavar="DIR|FILE|-", help="Write there instead; `-` is standard output."
        ),
    ] = None,
    verbose: Verbose = False,
) -> None:
    """Write <stem>_mint.py beside each script; show the diff and what became of every argument.

    The scripts are read, never executed. Outputs that were edited are not overwritten without
    --force; what --in-place replaces can be brought back with `mint-migrate undo`.
    """
    from mint_migrate.cli_migrate import Arguments, migrate

    arguments = Arguments(
        paths=tuple(paths),
        diff=diff,
        check=check,
        in_place=in_place,
        force=force,
        reports=tuple(report or ()),
        format=format_,
        source_version=source_version,
        num_processes=num_processes,
        base_model=base_model,
        scale_lr=scale_lr,
        strict=strict,
        num_jobs=jobs,
        output=output,
        verbose=verbose,
    )
    _finish(lambda: migrate(arguments))


@app.command("run", short_help="Start the runtime and run a converted script on it.")
def _run(
    script: Annotated[Path, typer.Argument(metavar="SCRIPT", help="A converted script.")],
    args: Annotated[
        list[str] | None, typer.Argument(metavar="[-- ARGS]", help="Arguments of the script.")
    ] = None,
    tiny: Annotated[
        bool, typer.Option("--tiny", help="Use tiny random models and stand-in data.")
    ] = False,
    base_model: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=DIR", help="Folder of a base model. Repeatable."),
    ] = None,
    state_dir: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Keep the checkpoints there.")
    ] = None,
) -> None:
    """Start the bundled runtime on a free loopback port and run a converted script on it.

    The script is executed. Its exit status is passed on; the runtime is stopped whatever happens.
    """
    from mint_migrate.cli_bridge import run

    _finish(
        lambda: run(
            script,
            tuple(args or ()),
            tiny=tiny,
            base_models=tuple(base_model or ()),
            state_dir=state_dir,
        )
    )


@app.command("verify", short_help="Train original and converted side by side and compare.")
def _verify(
    script: Annotated[Path, typer.Argument(metavar="ORIGINAL", help="The original script.")],
    rest: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[CONVERTED] [-- ARGS]", help="The converted script; arguments of both."
        ),
    ] = None,
    steps: Annotated[int, typer.Option(min=1, metavar="N", help="Optimizer steps.")] = 20,
    base_model: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Model for both sides; else a tiny one.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Data for both sides; else synthetic.")
    ] = None,
    format_: JsonOrText = "text",
) -> None:
    """Train the original and the converted script side by side and compare them step by step.

    Both scripts are executed, in scratch copies of their folder and without network.
    """
    from mint_migrate.cli_bridge import verify

    _finish(
        lambda: verify(
            script,
            tuple(rest or ()),
            num_steps=steps,
            base_model=base_model,
            data=data,
            format_=format_,
        )
    )


@app.command("ask", short_help="Answer a question from the mapping tables.")
def _ask(
    question: Annotated[list[str], typer.Argument(metavar="QUESTION", help="In your words.")],
    format_: JsonOrText = "text",
) -> None:
    """Answer from the mapping tables, with sources; "not found" names the nearest entries."""
    from mint_migrate.cli_answers import ask

    _finish(lambda: ask(" ".join(question), format_=format_))


@app.command("explain", short_help="Explain a code such as MM203.")
def _explain(
    code: Annotated[str, typer.Argument(metavar="MMnnn", help="A code from a report.")],
    format_: JsonOrText = "text",
) -> None:
    """Print the page of a code: what is found, what is written, what is lost, what to do."""
    from mint_migrate.cli_answers import explain

    _finish(lambda: explain(code, format_=format_))


@app.command("mappings", short_help="Show the mapping tables, or one symbol's rows.")
def _mappings(
    symbol: Annotated[
        str | None, typer.Argument(metavar="[SYMBOL]", help="Such as trl.SFTConfig.packing.")
    ] = None,
    format_: JsonOrText = "text",
) -> None:
    """Show what becomes of a symbol of a source framework, or list the tables."""
    from mint_migrate.cli_answers import mappings

    _finish(lambda: mappings(symbol, format_=format_))


@app.command("todo", short_help="List what the outputs still ask of a person.")
def _todo(
    paths: Annotated[
        list[Path] | None, typer.Argument(metavar="[PATH]", help="Default: this directory.")
    ] = None,
    format_: JsonOrText = "text",
) -> None:
    """List the `TODO[mint-migrate MMnnn]` markers; exit 1 while one is left."""
    from mint_migrate.cli_files import todo

    _finish(lambda: todo(tuple(paths or (Path(),)), format_=format_))


@app.command("undo", short_help="Restore what the last --in-place run replaced.")
def _undo(
    path: Annotated[
        Path | None, typer.Argument(metavar="[PATH]", help="A file, or a project's directory.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Restore files that were edited since, too.")
    ] = False,
) -> None:
    """Restore what the last run replaced: --in-place, or --force over an edited output."""
    from mint_migrate.cli_files import undo

    _finish(lambda: undo(path or Path(), force=force))


@app.command("schema", short_help="Print the JSON Schema of the report.")
def _schema() -> None:
    """Print the JSON Schema of `--format json` and `--report json`."""
    from mint_migrate.cli_files import schema

    _finish(schema)


@app.command("doctor", short_help="Show versions, and what is missing for which command.")
def _doctor(format_: JsonOrText = "text") -> None:
    """Show versions, and what is missing for which command; exit 1 if something is."""
    from mint_migrate.cli_doctor import doctor

    _finish(lambda: doctor(format_=format_))
