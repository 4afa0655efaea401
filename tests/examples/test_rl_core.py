"""Settings, adapters and the loop, the last against a real server."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from rl_core import Journal, RLAdapter, RLConfig, check_adapter, run_grpo
from support.server import ROOT, Client, running_client, running_server
from support.tiny import build_small


def test_the_defaults_are_those_of_the_documentation():
    documented = {
        "base_model": "Qwen/Qwen3-0.6B",
        "rank": 16,
        "train_mlp": True,
        "train_attn": True,
        "train_unembed": True,
        "batch_size": 8,
        "group_size": 4,
        "max_tokens": 16,
        "temperature": 0.8,
        "loss_fn": "importance_sampling",
        "kl_penalty_coef": 0.0,
        "learning_rate": 2e-5,
        "beta1": 0.9,
        "beta2": 0.999,
        "eps": 1e-8,
        "weight_decay": 0.0,
    }
    found = dataclasses.asdict(RLConfig())
    assert {name: found[name] for name in documented} == documented


@pytest.mark.parametrize(
    ("variable", "text", "name", "value"),
    [
        ("MINT_BASE_MODEL", "tiny", "base_model", "tiny"),
        ("MINT_LORA_RANK", "4", "rank", 4),
        ("MINT_RL_STEPS", "7", "steps", 7),
        ("MINT_RL_BATCH", "3", "batch_size", 3),
        ("MINT_RL_GROUPS_PER_BATCH", "3", "batch_size", 3),
        ("MINT_RL_GROUP", "6", "group_size", 6),
        ("MINT_RL_LR", "1e-3", "learning_rate", 1e-3),
        ("MINT_RL_MAX_TOKENS", "9", "max_tokens", 9),
        ("MINT_RL_TEMPERATURE", "1", "temperature", 1.0),
    ],
)
def test_the_environment_decides_before_the_presets(monkeypatch, variable, text, name, value):
    monkeypatch.setenv(variable, text)
    preset = {name: RLConfig.__dataclass_fields__[name].default}
    assert getattr(RLConfig.from_env(**preset), name) == value


def test_presets_decide_before_the_defaults():
    assert RLConfig.from_env(steps=99).steps == 99


def test_a_variable_that_is_no_number_is_named(monkeypatch):
    monkeypatch.setenv("MINT_RL_STEPS", "many")
    with pytest.raises(ValueError, match="MINT_RL_STEPS is 'many'; it must be of type int"):
        RLConfig.from_env()


class Duck:
    """An adapter that inherits nothing."""

    def build_dataset(self):
        return [1]

    def make_prompt(self, sample, tokenizer):
        return [sample]

    def compute_reward(self, response, sample):
        return 0.0


def test_any_object_with_the_three_methods_is_an_adapter():
    check_adapter(Duck())


@pytest.mark.parametrize("name", sorted(RLAdapter.__abstractmethods__))
def test_a_missing_method_is_named(name):
    duck = Duck()
    setattr(duck, name, None)
    with pytest.raises(TypeError, match=f"Duck has no {name}; see RLAdapter"):
        check_adapter(duck)


def test_nothing_to_train_on_is_said_before_a_server_is_asked(tmp_path):
    duck = Duck()
    duck.build_dataset = list
    with pytest.raises(ValueError, match=r"Duck.build_dataset\(\) returned nothing"):
        run_grpo(duck, RLConfig(output_dir=str(tmp_path)))


def test_records_after_the_checkpoint_are_dropped_on_resumption(tmp_path):
    journal = Journal(str(tmp_path))
    for step in range(3):
        journal.log({"step": step})
        if step == 1:
            journal.saved(step + 1, "tinker://run/weights/step-2")
    resumed = Journal(str(tmp_path))
    assert (resumed.next_step, resumed.state_path) == (2, "tinker://run/weights/step-2")
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [0, 1]


RUN = """
import sys
sys.path.insert(0, {folder!r})
import mint
from mint import types
from rl_core import RLConfig, run_grpo

class Low:
    "Rewards tokens of the lower half of the vocabulary; inherits nothing."
    seen = []
    def build_dataset(self): return list(range(5, 25))
    def make_prompt(self, sample, tokenizer):
        self.seen.append(sample)
        return [sample, sample + 1]
    def compute_reward(self, response, sample): return len(response) % 3
adapter = Low()
def run(steps, **changes):
    cfg = RLConfig(base_model="tiny", rank=4, steps=steps, batch_size=4, max_tokens=6,
                   learning_rate=1e-3, save_every=2, output_dir={output!r}, **changes)
    return run_grpo(adapter, cfg)
"""


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """Yield a client of a server with a random model."""
    folder = tmp_path_factory.mktemp("grpo")
    with (
        running_server(build_small(folder / "tiny"), folder / "state") as server,
        running_client(server.url) as running,
    ):
        yield running


def script(output: Path, rest: str) -> str:
    return RUN.format(folder=str(ROOT / "examples" / "rl"), output=str(output)) + rest


def test_a_run_goes_on_where_it_was_left(client: Client, tmp_path: Path) -> None:
    first = client.run(script(tmp_path, "run(3)\nresult = adapter.seen"))
    second = client.run(script(tmp_path, "path = run(5)\nresult = [path, adapter.seen]"))
    records = list(map(json.loads, (tmp_path / "metrics.jsonl").read_text().splitlines()))
    assert [record["step"] for record in records] == [0, 1, 2, 3, 4]
    path, seen = second
    assert path.endswith("/sampler_weights/final")
    # Twenty samples, four a step: the resumed steps take those that the first three left.
    assert sorted(first + seen) == list(range(5, 25))


def test_the_final_weights_can_be_sampled_from(client: Client, tmp_path: Path) -> None:
    sample = """
sampler = mint.ServiceClient().create_sampling_client(model_path=run(1))
params = types.SamplingParams(max_tokens=3, stop=[])
answer = sampler.sample(types.ModelInput.from_ints([5, 6]), 2, params).result()
result = [len(sequence.tokens) for sequence in answer.sequences]
"""
    assert client.run(script(tmp_path, sample)) == [3, 3]


def test_a_run_with_a_kl_penalty_records_the_distance(client: Client, tmp_path: Path) -> None:
    client.run(script(tmp_path, "run(4, kl_penalty_coef=0.1)"))
    first, *later = map(json.loads, (tmp_path / "metrics.jsonl").read_text().splitlines())
    # Nothing has been learned yet: policy and base model are the same. Float32, other batches.
    assert first["kl"] == pytest.approx(0.0, abs=1e-5)
    # Afterwards it is about 1e-3 either way, by what was drawn, and so now and then near zero.
    assert max(abs(record["kl"]) for record in later) > 1e-4
