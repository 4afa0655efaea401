"""What each command takes: one small function per command that declares its options.

`argparse`, because a question to the tables should not cost more to parse than to answer: it adds
about 10 ms, a framework on top of pydantic two hundred.
"""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path

WIDTH = 80
EXIT_STATUS = (
    "Exit status: 0 nothing is left for a person (also: no source framework is used); "
    "1 something needs a person, or `--check` would change something or found a TODO, or `ask` "
    "found nothing, or `verify` found a difference; 2 usage error, an input that is missing or "
    "does not parse, or a failure. A directory gives the highest of its files."
)
STREAMS = "Results go to stdout; progress, findings and summaries go to stderr."


class Parser(argparse.ArgumentParser):
    """An argument parser of this program: no abbreviations, paragraphs kept, 80 columns."""

    def __init__(self, name: str, description: str, epilog: str = "") -> None:
        """Make the parser of the command *name*, empty for the program itself."""
        super().__init__(
            prog=f"mint-migrate {name}".strip(),
            description=paragraphs(description),
            epilog=paragraphs(epilog),
            allow_abbrev=False,
            formatter_class=lambda prog: argparse.RawDescriptionHelpFormatter(
                prog, max_help_position=28, width=WIDTH
            ),
        )

    def as_values(self, arguments: Sequence[str]) -> list[str]:
        """Return *arguments* with a blank before flags of other programs, which are then values."""
        own = self._option_string_actions
        return [
            f" {word}" if word.startswith("-") and word.partition("=")[0] not in own else word
            for word in arguments
        ]


def paragraphs(text: str) -> str:
    """Return *text* wrapped, its blank lines kept."""
    wrapped = (textwrap.fill(part, WIDTH, break_on_hyphens=False) for part in text.split("\n\n"))
    return "\n\n".join(wrapped)


def migrate(parser: Parser) -> None:
    """Declare the options of `migrate`."""
    parser.add_argument("paths", metavar="PATH", nargs="+", type=Path, help="script or directory")
    _flag(parser, "--diff", "print the diff; write nothing")
    _flag(parser, "--check", "write nothing; exit 1 if something would change or a TODO is left")
    _flag(parser, "--in-place", "replace the script; git must be clean, or use --force")
    _flag(parser, "--force", "overwrite an edited output, or uncommitted work in place")
    parser.add_argument(
        "--report",
        metavar="md|json",
        action="append",
        default=[],
        help="write a report beside the output, too; repeatable",
    )
    _format(parser)
    parser.add_argument(
        "--source-version",
        metavar="trl==X.Y.Z",
        help="release the script was written for (default: inferred, and said)",
    )
    parser.add_argument(
        "--num-processes",
        metavar="N",
        type=_positive,
        default=1,
        help="training processes that the launcher started (default: 1)",
    )
    parser.add_argument("--base-model", metavar="NAME", help="base model to train instead")
    _flag(parser, "--scale-lr", "scale the learning rate of a full fine-tuning for LoRA")
    parser.add_argument(
        "--ppo",
        choices=("critic-free",),
        help="convert PPO without its critic: another algorithm (default: refuse PPO)",
    )
    parser.add_argument(
        "--reward-model",
        choices=("generative",),
        help="train reward models without a head: another algorithm (default: refuse them)",
    )
    parser.add_argument(
        "--distillation",
        choices=("reverse-kl",),
        help="distill by reverse KL on own samples: another objective (default: refuse others)",
    )
    _flag(parser, "--strict", "approximate items count as work for a person")
    parser.add_argument(
        "--jobs",
        metavar="N",
        type=_positive,
        help="files migrated at the same time (default: as many as pay)",
    )
    parser.add_argument(
        "-o", metavar="DIR|FILE|-", dest="output", help="write there; `-` is standard output"
    )
    _flag(parser, "-v", "list the exact items, too", "--verbose")


def run(parser: Parser) -> None:
    """Declare the options of `run`."""
    parser.add_argument("script", metavar="SCRIPT", type=Path, help="a converted script")
    _flag(parser, "--tiny", "use tiny random models and stand-in data")
    parser.add_argument(
        "--base-model",
        metavar="NAME=DIR",
        action="append",
        default=[],
        help="folder of a base model; repeatable",
    )
    parser.add_argument("--state-dir", metavar="DIR", type=Path, help="keep the checkpoints there")
    _rest(parser, "what follows `--` goes to the script")


def verify(parser: Parser) -> None:
    """Declare the options of `verify`."""
    parser.add_argument("original", metavar="ORIGINAL", type=Path, help="the original script")
    parser.add_argument(
        "converted",
        metavar="CONVERTED",
        type=Path,
        nargs="?",
        help="default: <stem>_mint.py, else a temporary migration",
    )
    parser.add_argument(
        "--steps", metavar="N", type=_positive, default=20, help="optimizer steps (default: 20)"
    )
    parser.add_argument(
        "--base-model",
        metavar="DIR",
        type=Path,
        help="model of both sides (default: a tiny random one)",
    )
    parser.add_argument(
        "--data", metavar="FILE", type=Path, help="data of both sides (default: synthetic)"
    )
    parser.add_argument("--plot", metavar="FILE.svg", type=Path, help="draw both loss curves")
    _format(parser)
    _rest(parser, "what follows `--` goes to both scripts")


def ask(parser: Parser) -> None:
    """Declare the options of `ask`."""
    parser.add_argument(
        "question", metavar="QUESTION", nargs="*", help="in your own words (default: what there is)"
    )
    _format(parser)


def explain(parser: Parser) -> None:
    """Declare the options of `explain`."""
    parser.add_argument("code", metavar="MMnnn", help="a code from a report")
    _format(parser)


def mappings(parser: Parser) -> None:
    """Declare the options of `mappings`."""
    parser.add_argument(
        "symbol",
        metavar="SYMBOL",
        nargs="?",
        help='such as trl.SFTConfig.packing, packing, "trl dpo --beta", data.seed or --eps_clip',
    )
    parser.add_argument(
        "--source-version",
        metavar="trl==X.Y.Z",
        help="tell what holds in that release (default: in all of them)",
    )
    _format(parser)


def scan(parser: Parser) -> None:
    """Declare the options of `scan`."""
    parser.add_argument(
        "paths", metavar="PATH", nargs="*", type=Path, help="default: this directory"
    )
    parser.add_argument(
        "--format",
        choices=("table", "csv", "json"),
        default="table",
        help="what stdout carries (default: table)",
    )


def todo(parser: Parser) -> None:
    """Declare the options of `todo`."""
    parser.add_argument(
        "paths", metavar="PATH", nargs="*", type=Path, help="default: this directory"
    )
    _format(parser)


def undo(parser: Parser) -> None:
    """Declare the options of `undo`."""
    parser.add_argument(
        "path",
        metavar="PATH",
        nargs="?",
        type=Path,
        default=Path(),
        help="a replaced file, or a project's directory (default: this one)",
    )
    _flag(parser, "--force", "restore files that were edited since, too")


def schema(parser: Parser) -> None:
    """Declare nothing: `schema` has no options."""


def doctor(parser: Parser) -> None:
    """Declare the options of `doctor`."""
    _format(parser)


Declare = Callable[[Parser], None]


def _flag(parser: Parser, name: str, meaning: str, *more: str) -> None:
    parser.add_argument(name, *more, action="store_true", help=meaning)


def _format(parser: Parser) -> None:
    parser.add_argument(
        "--format",
        choices=("text", "json"),
        default="text",
        help="what stdout carries (default: text)",
    )


def _rest(parser: Parser, meaning: str) -> None:
    # Split off before parsing, so that the arguments may look like anything; listed for the help.
    parser.usage = f"{parser.format_usage().removeprefix('usage: ').rstrip()} [-- ARG ...]"
    parser.epilog = f"ARG: {meaning}."
    parser.set_defaults(rest=())


def _positive(text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1 on, found {text!r}")
    return value
