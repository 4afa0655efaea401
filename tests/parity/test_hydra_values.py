"""Values of overrides are those that Hydra itself reads from the same text."""

from __future__ import annotations

import json
import random
import subprocess
from pathlib import Path

import pytest
from mint_migrate.launches.hydra import read_value
from support.environments import environment

pytestmark = pytest.mark.environments

READER = Path(__file__).resolve().parents[1] / "support" / "hydra_values.py"
ATOMS = (
    *("1", "-2", "007", "1_000", "1e-6", "1E5", "1.", "-.5", "1__0", "1_", "inf", "-inf", "null"),
    *("NULL", "None", "true", "FALSE", "abc", "a b", "Qwen/Qwen2.5", "$x", "a.b-c_d", "'q'", '"q"'),
    *("'it\\'s'", '"a\\"b"', "'a\\\\'", "'['", "'a,b'", "[]", "{}", "[1,2]", "['a','b']", "[a, b]"),
    *("{a:1,b:{c:2}}", "{'a b':1}", "[ ]", "a\\,b", "\\{x\\}", "\\\\x", "a\\ b", "x:y", "s3://b/k"),
    *("${a.b}", "${oc.env:X,3}", "%x", "int(3)", "str(3)", "2024-01-01", "1.2.3", "+1", "a=b", ""),
    *("  x ", "1 2", "true x", "[a b,c]", "0", "00", "-0", "1e+5", ".e3", "{a:[1,2],b:'c:d'}"),
)


def texts(seed: int) -> list[str]:
    """Return values of several kinds made of the same atoms."""
    draw = random.Random(seed)
    made = list(ATOMS)
    for _ in range(400):
        items = [draw.choice(ATOMS) for _ in range(draw.randint(0, 3))]
        pairs = [f"{draw.choice(['a', 'b c', '1'])}:{item}" for item in items]
        joint = draw.choice(["", " ", "_", "/"])
        made += [f"[{','.join(items)}]", f"{{{','.join(pairs)}}}", joint.join(items)]
    return made


@pytest.mark.parametrize("seed", range(2))
def test_values_are_those_that_hydra_reads(seed: int) -> None:
    given = texts(seed)
    ran = subprocess.run(
        [str(environment("verl")), str(READER)],
        input=json.dumps(given),
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    theirs = json.loads(ran.stdout)
    known = {
        text: value
        for text, value in zip(given, theirs, strict=True)
        if value is not None and "'type'" not in value
    }
    assert len(known) > len(ATOMS)
    assert {text: repr(read_value(text)) for text in known} == known
