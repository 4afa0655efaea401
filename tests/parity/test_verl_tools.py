"""Conversations with tools are those of verl 0.9.1's own loop, token by token.

The functions come out of a converted launcher; verl's loop runs in an environment of its own.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from support.environments import REQUIREMENTS, environment
from support.verl_tools import config, draw_cases, played

pytestmark = [pytest.mark.environments, pytest.mark.timeout(1800)]

COUNT = 400


def test_conversations_are_those_of_verl(tmp_path: Path) -> None:
    cases = [*draw_cases(COUNT, seed=3)]
    given, result = tmp_path / "cases.json", tmp_path / "result.json"
    given.write_text(json.dumps(cases))
    done = subprocess.run(
        [str(environment("verl")), str(REQUIREMENTS / "verl_tools.py"), str(given), str(result)],
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    theirs = json.loads(result.read_text())

    for case, expected in zip(cases, theirs, strict=True):
        options = dict(case["settings"])
        side = options.pop("tool_response_truncate_side")
        sample, _, tool = played(case["turns"], config(**options), side=side, **case["row"])
        assert [sample.dialog, sample.own, sample.num_turns, sample.tool_rewards] == expected, case
        assert tool.open == []
    # Conversations of one turn, of several, and full ones are all among them.
    assert {min(item[2], 4) for item in theirs} == {2, 4}
    assert any(
        len(item[0]) == case["settings"]["max_response_length"]
        for case, item in zip(cases, theirs, strict=True)
    )
