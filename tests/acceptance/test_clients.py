"""The published clients, each in its own environment, against a real server.

A client's program runs once, when the first of its checks is asked for; every check is a test.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from acceptance.programs import registry
from acceptance.programs.harness import MINT_022, MINT_038, TINKER_038
from acceptance.programs.together import same
from support.clients import Site, finish, running_site

CLIENTS = (MINT_022, TINKER_038, MINT_038)
CHECKS = [(client, name) for client in CLIENTS for name in registry.names(client)]
# The first test on a machine builds the environments.
pytestmark = [pytest.mark.environments, pytest.mark.timeout(1200)]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Yield the server."""
    with running_site(tmp_path_factory.mktemp("site")) as running:
        yield running


@pytest.fixture(scope="module")
def results(site: Site) -> Callable[[str], dict[str, Any]]:
    """Return a function from a client to the answers of its checks, by name."""

    @functools.cache
    def run(client: str) -> dict[str, Any]:
        output, errors = finish(site.start(client, "main"))
        answers = [json.loads(line) for line in output.splitlines()]
        return {"": errors} | {answer["check"]: answer for answer in answers}

    return run


@pytest.mark.parametrize(("client", "name"), CHECKS, ids=[f"{c}-{n}" for c, n in CHECKS])
def test_client(client: str, name: str, results: Callable[[str], dict[str, Any]]) -> None:
    found = results(client)
    assert name in found, f"the program ended before this check:\n{found['']}"
    assert found[name]["ok"], found[name]["detail"]


def test_clients_of_all_kinds_at_once_agree_with_one_alone(site: Site) -> None:
    alone, _ = finish(site.start(MINT_022, "job", "2"))
    processes = [site.start(client, "job", "2") for client in CLIENTS]
    together = [finish(process) for process in processes]
    for output, errors in together:
        assert output, errors
        same(json.loads(output), json.loads(alone))
