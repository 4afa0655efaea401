"""The runs of this folder are on a server that lacks what the hosted service lacks.

`conftest.py` sets the profile that `mint-migrate run` and `verify` hand to their server. A script
that needs more ends with the client's error here, and trains where the profile is not set.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from mint_migrate.bridge.runtime import PROFILE_VARIABLE
from support.tiny_folder import tiny_folder

pytestmark = [pytest.mark.parity, pytest.mark.timeout(300)]

START = """
import mint
from mint import types

service = mint.ServiceClient()
client = service.create_lora_training_client(base_model="acme/tiny", rank=4)
datum = types.Datum(
    model_input=types.ModelInput.from_ints(tokens=[5, 6, 7]),
    loss_fn_inputs={"target_tokens": [6, 7, 8], "weights": [1.0, 1.0, 1.0]},
)
client.forward_backward([datum], loss_fn="cross_entropy").result()
client.optim_step(types.AdamParams(learning_rate=1e-3)).result()
path = client.save_state(name="once").result().path
"""
FRESH_CLIENT = """
other = service.create_lora_training_client(base_model="acme/tiny", rank=4)
other.load_state_with_optimizer(path).result()
print("resumed")
"""
SHAPE_ASKED = """
other = service.create_training_client_from_state(path)
print("resumed")
"""
TRAINED_CLIENT = """
client.load_state_with_optimizer(path).result()
print("resumed")
"""


def run(folder: Path, resume: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a script that trains a step, saves, and resumes in the given way."""
    (folder / "script.py").write_text(START + resume, encoding="utf-8")
    command = [sys.executable, "-m", "mint_migrate", "run", "script.py"]
    return subprocess.run(
        [*command, "--base-model", f"acme/tiny={tiny_folder()}"],
        cwd=folder,
        env=environment | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )


def test_resuming_as_converted_scripts_do_works_on_the_hosted_profile(tmp_path: Path) -> None:
    done = run(tmp_path, FRESH_CLIENT, dict(os.environ))
    assert done.returncode == 0, done.stderr
    assert "resumed" in done.stdout


@pytest.mark.parametrize(
    ("resume", "reason"),
    [(SHAPE_ASKED, "NotFoundError"), (TRAINED_CLIENT, "first")],
    ids=["asks for the shape of a checkpoint", "loads into a model that was trained"],
)
def test_script_that_the_hosted_service_would_refuse_fails(
    tmp_path: Path, resume: str, reason: str
) -> None:
    refused = run(tmp_path, resume, dict(os.environ))
    assert refused.returncode == 1
    assert reason in refused.stderr
    everything = {key: value for key, value in os.environ.items() if key != PROFILE_VARIABLE}
    served = run(tmp_path, resume, everything)
    assert served.returncode == 0, served.stderr
