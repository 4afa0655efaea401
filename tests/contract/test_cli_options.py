"""The command line is a contract: adding, renaming or removing an option is a decision.

A failure here asks for a line in the changelog and for the list below to follow.
"""

from __future__ import annotations

import pytest
from mint_migrate import cli

FROZEN = {
    "": ["--help", "--version", "-h"],
    "migrate": [
        "--base-model",
        "--check",
        "--diff",
        "--distillation",
        "--force",
        "--format",
        "--help",
        "--in-place",
        "--jobs",
        "--num-processes",
        "--ppo",
        "--reward-model",
        "--report",
        "--scale-lr",
        "--source-version",
        "--strict",
        "--verbose",
        "-h",
        "-o",
        "-v",
        "PATHS...",
    ],
    "run": ["--base-model", "--help", "--state-dir", "--tiny", "-h", "SCRIPT"],
    "verify": [
        "--base-model",
        "--data",
        "--format",
        "--help",
        "--plot",
        "--steps",
        "-h",
        "CONVERTED?",
        "ORIGINAL",
    ],
    "ask": ["--format", "--help", "-h", "QUESTION?..."],
    "explain": ["--format", "--help", "-h", "CODE"],
    "mappings": ["--format", "--help", "--source-version", "-h", "SYMBOL?"],
    "scan": ["--format", "--help", "-h", "PATHS?..."],
    "todo": ["--format", "--help", "-h", "PATHS?..."],
    "undo": ["--force", "--help", "-h", "PATH?"],
    "schema": ["--help", "-h"],
    "doctor": ["--format", "--help", "-h"],
}


def parser_named(name: str):
    if not name:
        return cli.global_parser()
    return cli.parser_of(next(each for each in cli.COMMANDS if each.name == name))


def described(parser) -> list[str]:
    """Return the options of *parser*, and its arguments in capitals: `?` optional, `...` many."""
    listed = []
    for action in parser._actions:
        mark = {"*": "?...", "+": "...", "?": "?"}.get(action.nargs, "")
        listed += action.option_strings or [f"{action.dest.upper()}{mark}"]
    return sorted(listed)


def test_the_commands_are_frozen():
    assert ["", *(command.name for command in cli.COMMANDS)] == list(FROZEN)


@pytest.mark.parametrize("name", FROZEN)
def test_the_options_of_a_command_are_frozen(name):
    assert described(parser_named(name)) == sorted(FROZEN[name])


@pytest.mark.parametrize("name", FROZEN)
def test_every_option_is_explained(name):
    silent = [action.dest for action in parser_named(name)._actions if not action.help]
    assert silent == []


@pytest.mark.parametrize("name", FROZEN)
def test_no_option_may_be_abbreviated(name):
    assert parser_named(name).allow_abbrev is False
