"""Options that are only known when a converted script runs, as the template needs them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadOption:
    """One field of a class of options."""

    name: str
    annotation: str
    default: str | None
    """As a literal; None where it must be given."""
    help: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadOptions:
    """A dataclass of options."""

    name: str
    doc: str
    fields: tuple[ReadOption, ...]
    settles: tuple[tuple[str, str], ...] = ()
    """(field, expression) of what is set once all options are known."""
    properties: tuple[tuple[str, str], ...] = ()
    """(name, expression) of what is computed from them."""
    choices: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """(field, values that the loop understands, in lower case)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OptionsScript:
    """Classes of options, and what becomes of the options that are not read."""

    classes: tuple[ReadOptions, ...]
    without_effect: tuple[str, ...]
    """Lines of names, wrapped."""
    only_as: tuple[tuple[str, tuple[str, ...]], ...]
    """(option, lines of the values it may have, in lower case)."""
    settle: str
    """Name of the function that settles the options which are not read."""
    parser: str = ""
    """Name of the parser's class; "" where the script has none."""
    reads_file: bool = False
    """The parser reads the file behind `--config`."""
    sets_defaults: bool = False
    """The script sets defaults of the parser, or hands it a dictionary or a file."""
    factory: str = ""
    """Name of the function that makes the configuration of keywords; "" where nothing does."""
