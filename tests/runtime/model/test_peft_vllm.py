"""vLLM loads our adapters and draws the same tokens: the files mean the same to both."""

from __future__ import annotations

import json
import os
import subprocess

import numpy as np
import pytest
import torch
from mint_runtime.engine.commands import OpenSampler, Sample
from mint_runtime.model.adapter import new_adapter
from mint_runtime.model.peft_files import write_adapter
from support.environments import REQUIREMENTS, environment
from support.tiny import VOCAB_SIZE, build_small, load, running_engine, shake

# The first test on a machine builds the environment; each family starts vLLM once.
pytestmark = [pytest.mark.environments, pytest.mark.timeout(1800)]

FAMILIES = ("qwen3", "llama3", "gemma3")
RANK, NUM_TOKENS = 8, 24
# Two float32 programs; vLLM merges projections and has kernels of its own.
TOLERANCE = 1e-4
VARIABLES = {
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_LOGGING_LEVEL": "WARNING",
    "VLLM_NO_USAGE_STATS": "1",
    "HF_HUB_OFFLINE": "1",
    "OMP_NUM_THREADS": "1",
}


@pytest.fixture(scope="module", params=FAMILIES)
def both(request, tmp_path_factory):
    """Return the samples of vLLM and ours, with and without the adapter."""
    folder = tmp_path_factory.mktemp(request.param)
    model = build_small(folder / "model", request.param)
    base = load(model)
    # vLLM adapts the output layer of large vocabularies only.
    adapter = new_adapter(base.layers, rank=RANK, groups=frozenset({"attn", "mlp"}), seed=1)
    shake(adapter)
    (folder / "adapter").mkdir()
    write_adapter(folder / "adapter", adapter, base)
    generator = torch.Generator().manual_seed(4)
    prompts = [
        torch.randint(VOCAB_SIZE, (length,), generator=generator).tolist() for length in (5, 40)
    ]
    theirs = run_vllm(folder, model, prompts)
    with running_engine(model) as engine:
        engine.submit(OpenSampler(sampler_id="bare", base_model="tiny")).result()
        engine.submit(
            OpenSampler(sampler_id="adapted", base_model="tiny", directory=folder / "adapter")
        ).result()
        ours = {name: sample(engine, name, prompts) for name in ("bare", "adapted")}
    return theirs, ours


def run_vllm(folder, model, prompts):
    job = {
        "model": str(model),
        "adapter": str(folder / "adapter"),
        "rank": RANK,
        "prompts": prompts,
        "num_tokens": NUM_TOKENS,
    }
    (folder / "job.json").write_text(json.dumps(job), encoding="utf-8")
    run_program("vllm_samples.py", folder / "job.json", folder / "result.json")
    return json.loads((folder / "result.json").read_text(encoding="utf-8"))


def run_program(name, *arguments):
    """Run a program of `tests/environments` under vLLM; return what it prints."""
    command = [environment("vllm"), REQUIREMENTS / name, *arguments]
    done = subprocess.run(
        [str(part) for part in command],
        env={**os.environ, **VARIABLES},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout


def sample(engine, sampler, prompts):
    futures = [
        engine.submit(
            Sample(
                sampler_id=sampler,
                tokens=np.array(prompt),
                max_tokens=NUM_TOKENS,
                temperature=0.0,
                stop_tokens=(),
            )
        )
        for prompt in prompts
    ]
    drawn = [future.result().sequences[0] for future in futures]
    return {
        "tokens": [each.tokens.tolist() for each in drawn],
        "logprobs": [each.logprobs.tolist() for each in drawn],
    }


@pytest.mark.parametrize("name", ["bare", "adapted"])
def test_greedy_tokens_are_those_of_vllm(both, name):
    theirs, ours = both

    assert ours[name]["tokens"] == theirs[name]["tokens"]


@pytest.mark.parametrize("name", ["bare", "adapted"])
def test_logprobs_are_those_of_vllm(both, name):
    theirs, ours = both

    # At temperature 0 ours are those of temperature 1, as vLLM's are.
    np.testing.assert_allclose(
        ours[name]["logprobs"], theirs[name]["logprobs"], atol=TOLERANCE, rtol=0
    )


def test_adapter_changes_what_is_drawn(both):
    theirs, _ = both

    assert theirs["adapted"]["tokens"] != theirs["bare"]["tokens"]


def test_vllm_knows_the_names_of_every_expert(tmp_path):
    base = load(build_small(tmp_path / "model", "qwen3_moe"))
    adapter = new_adapter(base.layers, rank=RANK, groups=frozenset({"mlp"}), seed=1)
    (tmp_path / "adapter").mkdir()
    write_adapter(tmp_path / "adapter", adapter, base)

    found = json.loads(run_program("vllm_experts.py", tmp_path / "adapter", 8))

    expected = {
        name: [list(pair.a_RI.shape), list(pair.b_OR.shape)] for name, pair in adapter.pairs.items()
    }
    assert found == expected
