"""DPO through `forward_backward_custom` of the published client equals a step of TRL's trainer.

The reference policy is an adapter after some steps and the trained one is it after some more, so
that neither is the base model and the loss is not log 2. TRL reads both from files the runtime has
saved. The runtime's gradient is read off an optimizer step: with both betas 0 and an enormous
epsilon, Adam subtracts `learning_rate / eps` times the gradient.
"""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tarfile
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from support.server import environment, running_client, running_server
from support.tiny import build_small
from torch import Tensor

pytestmark = [pytest.mark.parity, pytest.mark.timeout(600)]

BETA = 0.3
PAIRS = [
    {"prompt_ids": [5, 6, 7], "chosen_ids": [8, 9], "rejected_ids": [30]},
    {"prompt_ids": [11], "chosen_ids": [12, 13, 14, 15], "rejected_ids": [40, 41, 42]},
    {"prompt_ids": [5, 17, 18, 19], "chosen_ids": [20], "rejected_ids": [50, 51, 52, 53]},
]
LOSS_TOLERANCE = 1e-5
"""Relative: sums of log-probabilities in float32, in another order."""
GRADIENT_TOLERANCE = 1e-5
"""Relative to the largest entry of a matrix.

Float32 through two layers, and the gradient is the difference of two float32 weights.
"""

SCRIPT = """
import torch
import mint
from mint import types

setup = {setup}
service = mint.ServiceClient()
# TRL refuses an adapter on the head.
training = service.create_lora_training_client(
    base_model="tiny", rank=4, seed=7, train_unembed=False
)


def datum(prompt, completion):
    tokens = prompt + completion
    mask = [0.0] * (len(prompt) - 1) + [1.0] * len(completion)
    return types.Datum(
        model_input=types.ModelInput.from_ints(tokens[:-1]),
        loss_fn_inputs=dict(target_tokens=tokens[1:], weights=mask),
    )


def train(steps):
    for _ in range(steps):
        training.forward_backward(data[:3], "cross_entropy").result()
        training.optim_step(types.AdamParams(learning_rate=2e-2)).result()


def totals(logprobs):
    rows = [
        (one * torch.tensor(each.loss_fn_inputs["weights"].tolist())).sum()
        for one, each in zip(logprobs, data)
    ]
    return torch.stack(rows)


def dpo(batch, logprobs):
    chosen, rejected = (totals(logprobs) - reference).chunk(2)
    loss = -torch.nn.functional.logsigmoid(setup["beta"] * (chosen - rejected)).mean()
    return loss, dict(dpo_loss=float(loss.detach()))


data = [datum(pair["prompt_ids"], pair["chosen_ids"]) for pair in setup["pairs"]]
data += [datum(pair["prompt_ids"], pair["rejected_ids"]) for pair in setup["pairs"]]
paths = {{}}
train(2)
paths["reference"] = training.save_weights_for_sampler("reference").result().path
output = training.forward(data, "cross_entropy").result()
reference = totals([torch.tensor(one["logprobs"].tolist()) for one in output.loss_fn_outputs])
train(2)
paths["policy"] = training.save_weights_for_sampler("policy").result().path
metrics = training.forward_backward_custom(data, dpo).result().metrics
plain = types.AdamParams(learning_rate=1e6, beta1=0.0, beta2=0.0, eps=1e6)
training.optim_step(plain).result()
paths["stepped"] = training.save_weights_for_sampler("stepped").result().path
rest = service.create_rest_client()
urls = {{
    name: rest.get_checkpoint_archive_url_from_tinker_path(path).result().url
    for name, path in paths.items()
}}
result = {{"loss": metrics["dpo_loss"], "urls": urls}}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Loss and gradient of the same step on one side."""

    loss: float
    gradient: dict[str, Tensor]
    """By the names of the adapter's file."""


@pytest.fixture(scope="module")
def steps(tmp_path_factory: pytest.TempPathFactory) -> tuple[Step, Step]:
    """Return the step through the runtime and the step of TRL."""
    folder = tmp_path_factory.mktemp("dpo")
    model = build_small(folder / "model")
    ours = runtime_step(model, folder)
    return ours, trl_step(model, folder)


def runtime_step(model: Path, folder: Path) -> Step:
    """Take the step through the client; leave the adapters in `folder`."""
    setup = {"beta": BETA, "pairs": PAIRS}
    with running_server(model, folder / "state") as server, running_client(server.url) as client:
        result = client.run(SCRIPT.format(setup=repr(setup)))
        for name, url in result["urls"].items():
            download(url, folder / name)
    before, after = (
        load_file(folder / name / "adapter_model.safetensors") for name in ("policy", "stepped")
    )
    return Step(loss=result["loss"], gradient={name: before[name] - after[name] for name in before})


def download(url: str, folder: Path) -> None:
    """Unpack an archive of a checkpoint."""
    with urllib.request.urlopen(url) as response:
        content = response.read()
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        archive.extractall(folder, filter="data")


def trl_step(model: Path, folder: Path) -> Step:
    """Take the step with TRL, from the adapters in `folder`."""
    pairs = folder / "pairs.json"
    pairs.write_text(json.dumps({"beta": BETA, "pairs": PAIRS}), encoding="utf-8")
    script = Path(__file__).with_name("trl_dpo_step.py")
    paths = [model, folder / "reference", folder / "policy", pairs, folder / "trl.pt"]
    done = subprocess.run(
        [sys.executable, str(script), *map(str, paths)],
        env=environment(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    found = torch.load(folder / "trl.pt")
    return Step(loss=found["loss"], gradient=found["gradient"])


def test_loss_equals_trls(steps):
    ours, theirs = steps

    assert ours.loss == pytest.approx(theirs.loss, rel=LOSS_TOLERANCE)
    # Policy and reference differ, so that the loss says something.
    assert abs(theirs.loss - 0.6931) > 0.01


def test_gradient_of_every_matrix_equals_trls(steps):
    ours, theirs = steps

    assert set(ours.gradient) == set(theirs.gradient)
    departures = {
        name: float((ours.gradient[name] - exact).abs().max() / exact.abs().max())
        for name, exact in theirs.gradient.items()
    }
    assert max(departures.values()) < GRADIENT_TOLERANCE, departures
