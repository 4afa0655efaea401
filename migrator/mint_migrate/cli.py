"""The command line: which command is meant, and its exit status.

Each command imports what it needs when it runs, so that `--help` and `ask` pay for neither libcst
nor rich. If the first argument is a command or a global option it runs; otherwise `migrate` is
meant, and a file called `run` is `./run`.
"""

from __future__ import annotations

import gc
import os
import sys
from argparse import Namespace
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mint_migrate import __version__, cli_options
from mint_migrate.cli_options import EXIT_STATUS, STREAMS, Parser

GLOBAL_OPTIONS = ("-h", "--help", "--version")
STOPPED_READER = 141
"""Exit status when stdout was closed early: what a shell shows for a process ended by SIGPIPE."""
_WITH_REST = ("run", "verify")
_WITH_FLAGS = ("mappings",)
"""Commands that take a flag of another program, such as `--eps_clip`, for a value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One command: what it is for, what it takes, what it does."""

    name: str
    summary: str
    """For the list of commands."""
    description: str
    declare: cli_options.Declare
    execute: Callable[[Namespace], int]
    """Takes the parsed options and returns the exit status."""
    epilog: str = ""


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its status."""
    # Nearly all that a run makes lives to its end: looking for garbage costs a tenth of the time.
    gc.set_threshold(100_000, 20, 20)
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            # A terminal that cannot show a character of the user's script must not end the run.
            reconfigure(errors="backslashreplace")
    try:
        status = run(sys.argv[1:] if argv is None else argv)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader, `head` say, has what it wanted. Python would complain again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = STOPPED_READER
    sys.exit(status)


def run(argv: Sequence[str]) -> int:
    """Run the command that *argv* means and return its exit status.

    Raises:
        SystemExit: help was asked for, or the options cannot be parsed.
    """
    if not argv or argv[0] in GLOBAL_OPTIONS:
        return _run_global(argv)
    arguments = list(argv)
    rest: tuple[str, ...] = ()
    by_name = {command.name: command for command in COMMANDS}
    if arguments[0] not in by_name:
        _refuse_misspelled_command(arguments[0])
        arguments.insert(0, "migrate")
    command = by_name[arguments.pop(0)]
    if command.name in _WITH_REST:
        arguments, rest = split_rest(arguments)
    parser = parser_of(command)
    if command.name in _WITH_FLAGS:
        arguments = parser.as_values(arguments)
    options = parser.parse_intermixed_args(arguments)
    if rest:
        options.rest = rest
    return _execute(command, options)


def split_rest(arguments: Sequence[str]) -> tuple[list[str], tuple[str, ...]]:
    """Return what stands before the first `--` and, whatever it looks like, what follows."""
    if "--" not in arguments:
        return list(arguments), ()
    position = list(arguments).index("--")
    return list(arguments[:position]), tuple(arguments[position + 1 :])


def parser_of(command: Command) -> Parser:
    """Return the parser of *command*."""
    parser = Parser(command.name, command.description, command.epilog)
    command.declare(parser)
    return parser


def global_parser() -> Parser:
    """Return the parser of the program itself, whose help lists the commands."""
    listed = "\n".join(f"  {each.name:9} {each.summary}" for each in COMMANDS)
    parser = Parser(
        "",
        "Turn LLM post-training scripts into MinT scripts, and say what happened to every "
        "argument.\n\n`mint-migrate train.py` is short for `mint-migrate migrate train.py`; "
        "`mint-migrate COMMAND --help` lists the options of a command.",
    )
    parser.usage = "mint-migrate [COMMAND] ..."
    parser.epilog = "\n\n".join(
        [f"commands:\n{listed}", cli_options.paragraphs(EXIT_STATUS), STREAMS]
    )
    parser.add_argument("--version", action="version", version=f"mint-migrate {__version__}")
    return parser


def _run_global(argv: Sequence[str]) -> int:
    parser = global_parser()
    if not argv:
        parser.print_help(sys.stderr)
        return 2
    parser.parse_args(argv[:1])
    return 0


def _refuse_misspelled_command(word: str) -> None:
    """Exit with a suggestion where *word* names no file and is nearly a command."""
    if not word.isidentifier() or Path(word).exists():
        return
    from difflib import get_close_matches

    near = get_close_matches(word, [command.name for command in COMMANDS], n=1)
    if near:
        global_parser().error(f"there is no command or file `{word}`; is `{near[0]}` meant?")


def _execute(command: Command, options: Namespace) -> int:
    """Run *command*; an error of ours is told in its own words and gives status 2."""
    from mint_migrate import console
    from mint_migrate.errors import MigrateError

    try:
        return command.execute(options)
    except MigrateError as error:
        console.err_error(error)
        return 2
    except KeyboardInterrupt:
        console.err("interrupted")
        return 130


def _migrate(options: Namespace) -> int:
    from mint_migrate.cli_migrate import Arguments, migrate

    return migrate(
        Arguments(
            paths=tuple(options.paths),
            diff=options.diff,
            check=options.check,
            in_place=options.in_place,
            force=options.force,
            reports=tuple(options.report),
            format=options.format,
            source_version=options.source_version,
            num_processes=options.num_processes,
            base_model=options.base_model,
            scale_lr=options.scale_lr,
            ppo=options.ppo,
            reward_model=options.reward_model,
            distillation=options.distillation,
            strict=options.strict,
            num_jobs=options.jobs,
            output=options.output,
            verbose=options.verbose,
        )
    )


def _run(options: Namespace) -> int:
    from mint_migrate.cli_bridge import run

    return run(
        options.script,
        options.rest,
        tiny=options.tiny,
        base_models=options.base_model,
        state_dir=options.state_dir,
    )


def _verify(options: Namespace) -> int:
    from mint_migrate.cli_bridge import verify

    return verify(
        options.original,
        options.converted,
        options.rest,
        num_steps=options.steps,
        base_model=options.base_model,
        data=options.data,
        plot=options.plot,
        format_=options.format,
    )


def _ask(options: Namespace) -> int:
    from mint_migrate.cli_answers import ask

    return ask(" ".join(options.question), format_=options.format)


def _explain(options: Namespace) -> int:
    from mint_migrate.cli_answers import explain

    return explain(options.code, format_=options.format)


def _mappings(options: Namespace) -> int:
    from mint_migrate.cli_answers import mappings

    return mappings(options.symbol, format_=options.format, source_version=options.source_version)


def _scan(options: Namespace) -> int:
    from mint_migrate.cli_scan import scan

    return scan(tuple(options.paths) or (Path(),), format_=options.format)


def _todo(options: Namespace) -> int:
    from mint_migrate.cli_files import todo

    return todo(tuple(options.paths) or (Path(),), format_=options.format)


def _undo(options: Namespace) -> int:
    from mint_migrate.cli_files import undo

    return undo(options.path, force=options.force)


def _schema(_options: Namespace) -> int:
    from mint_migrate.cli_files import schema

    return schema()


def _doctor(options: Namespace) -> int:
    from mint_migrate.cli_doctor import doctor

    return doctor(format_=options.format)


COMMANDS = (
    Command(
        name="migrate",
        summary="write <stem>_mint.py beside each script; show diff and decisions",
        description="Write <stem>_mint.py beside each script, and show the diff and what became "
        "of every argument.\n\nThe scripts are read, never executed. Outputs that were edited are "
        "not overwritten without --force; what --in-place replaces can be brought back with "
        "`mint-migrate undo`.",
        declare=cli_options.migrate,
        execute=_migrate,
        epilog=EXIT_STATUS,
    ),
    Command(
        name="run",
        summary="start the runtime and run a converted script on it",
        description="Start the bundled runtime on a free loopback port and run a converted script "
        "on it.\n\nThe script is executed. Its exit status is passed on; the runtime is stopped "
        "whatever happens.",
        declare=cli_options.run,
        execute=_run,
    ),
    Command(
        name="verify",
        summary="train original and converted side by side and compare",
        description="Train the original and the converted script side by side and compare them "
        "step by step.\n\nBoth scripts are executed, in scratch copies of their folder and without "
        "network. Exit status: 0 equal, 1 differs, 2 could not run.",
        declare=cli_options.verify,
        execute=_verify,
    ),
    Command(
        name="ask",
        summary="answer a question from the mapping tables",
        description="Answer from the mapping tables, with sources. What they do not hold is "
        '"not found", with the nearest entries, and exit status 1.',
        declare=cli_options.ask,
        execute=_ask,
    ),
    Command(
        name="explain",
        summary="explain a code such as MM203",
        description="Print the page of a code: what is found, what is written, what is lost, what "
        "to do.",
        declare=cli_options.explain,
        execute=_explain,
    ),
    Command(
        name="mappings",
        summary="show what becomes of a symbol, or list the tables",
        description="Show what becomes of a symbol of a source framework, or list the tables.",
        declare=cli_options.mappings,
        execute=_mappings,
    ),
    Command(
        name="scan",
        summary="list every use of a source framework, without converting",
        description="List every use of a source framework in scripts, notebooks, shell scripts and "
        "YAML files, with what the tables say becomes of it. Nothing is converted or written.",
        declare=cli_options.scan,
        execute=_scan,
    ),
    Command(
        name="todo",
        summary="list what the outputs still ask of a person",
        description="List the `TODO[mint-migrate MMnnn]` markers; exit status 1 while one is left.",
        declare=cli_options.todo,
        execute=_todo,
    ),
    Command(
        name="undo",
        summary="restore what the last --in-place run replaced",
        description="Restore what the last run replaced: --in-place, or --force over an edited "
        "output.",
        declare=cli_options.undo,
        execute=_undo,
    ),
    Command(
        name="schema",
        summary="print the JSON Schema of the report",
        description="Print the JSON Schema of `--format json` and `--report json`.",
        declare=cli_options.schema,
        execute=_schema,
    ),
    Command(
        name="doctor",
        summary="show versions, and what is missing for which command",
        description="Show versions, and what is missing for which command; exit status 1 if "
        "something is.",
        declare=cli_options.doctor,
        execute=_doctor,
    ),
)
