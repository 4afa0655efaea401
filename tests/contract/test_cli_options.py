"""The command line is a contract: adding, renaming or removing an option is a decision.

A failure here asks for a line in the changelog and for the list below to follow.
"""

from __future__ import annotations

import pytest
import typer
from mint_migrate.cli import app

FROZEN = {
    "": ["--help", "--version", "-h"],
    "migrate": [
        "--base-model",
        "--check",
        "--diff",
        "--force",
        "--format",
        "--help",
        "--in-place",
        "--jobs",
        "--num-processes",
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
    "ask": ["--format", "--help", "-h", "QUESTION..."],
    "explain": ["--format", "--help", "-h", "CODE"],
    "mappings": ["--format", "--help", "-h", "SYMBOL?"],
    "todo": ["--format", "--help", "-h", "PATHS?..."],
    "undo": ["--force", "--help", "-h", "PATH?"],
    "schema": ["--help", "-h"],
    "doctor": ["--format", "--help", "-h"],
}


def described(command) -> list[str]:
    """Return the options of *command*, and its arguments in capitals: `?` optional, `...` many."""
    context = command.context_class(command, info_name="x", help_option_names=["-h", "--help"])
    listed = []
    for parameter in command.get_params(context):
        if parameter.param_type_name == "option":
            listed += [*parameter.opts, *parameter.secondary_opts]
        else:
            optional = "" if parameter.required else "?"
            listed.append(f"{parameter.name}{optional}{'...' * (parameter.nargs == -1)}".upper())
    return sorted(listed)


def test_the_commands_are_frozen():
    assert ["", *typer.main.get_command(app).commands] == list(FROZEN)


@pytest.mark.parametrize("name", FROZEN)
def test_the_options_of_a_command_are_frozen(name):
    group = typer.main.get_command(app)
    assert described(group.commands[name] if name else group) == FROZEN[name]


@pytest.mark.parametrize("name", FROZEN)
def test_every_option_is_explained(name):
    group = typer.main.get_command(app)
    command = group.commands[name] if name else group
    silent = [each.name for each in command.params if not getattr(each, "help", None)]
    assert silent == []
