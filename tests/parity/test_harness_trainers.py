"""What the harness records of every kind of trainer, on the real ones and a tiny model."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from mint_migrate.parity.harness.spec import (
    ADAPTER,
    ENDING,
    REACHED,
    RECORD,
    REPLAY,
    ChildSpec,
)
from support.server import environment
from support.tiny import build_small

pytestmark = [pytest.mark.parity, pytest.mark.timeout(300)]

NUM_STEPS = 2

HEAD = """
from datasets import Dataset
from peft import LoraConfig
{imports}

def short(completions, **kwargs):
    return [-0.01 * len(completion) for completion in completions]

def letters(completions, gold, **kwargs):
    return [float(text.count(letter)) for text, letter in zip(completions, gold)]

PAIRS = [dict(prompt=f"Say {{i}}:", chosen=" yes" * (i % 4 + 1), rejected=" no") for i in range(9)]
MARKS = [dict(prompt=f"Say {{i}}:", completion=" yes" * (i % 3 + 1), label=i % 3 > 0)
         for i in range(9)]
PROMPTS = [dict(prompt=f"Say {{i}}:", gold="abcdefghi"[i]) for i in range(9)]
SHARED = dict(output_dir="out", per_device_train_batch_size=4, gradient_accumulation_steps=2,
              learning_rate=1e-3, report_to="none", logging_steps=1, max_steps=9)
LORA = LoraConfig(r=4, lora_alpha=32, target_modules="all-linear")
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A script that trains one way."""

    imports: str
    body: str
    quantities: frozenset[str]
    """Names that must be recorded."""
    num_samples: int = 0
    """Completions that a step is trained on."""


REWARDS = frozenset({"rewards/chosen", "rewards/rejected", "rewards/margins"})
SAMPLED = frozenset({"reward", "reward_std", "advantages", "completions/mean_length"})
EACH = frozenset({"rewards/short/mean", "rewards/letters/mean"})
CASES = {
    "DPO": Case(
        imports="from trl import DPOConfig, DPOTrainer",
        body="DPOTrainer(model={model!r}, args=DPOConfig(**SHARED), peft_config=LORA,"
        " train_dataset=Dataset.from_list(PAIRS)).train()",
        quantities=REWARDS,
    ),
    "KTO": Case(
        imports="from trl import KTOConfig, KTOTrainer",
        body="KTOTrainer(model={model!r}, args=KTOConfig(**SHARED), peft_config=LORA,"
        " train_dataset=Dataset.from_list(MARKS)).train()",
        quantities=frozenset(),
    ),
    "ORPO": Case(
        imports="from trl.experimental.orpo import ORPOConfig, ORPOTrainer",
        body="from transformers import AutoTokenizer, AutoModelForCausalLM\n"
        "ORPOTrainer(model=AutoModelForCausalLM.from_pretrained({model!r}),"
        " args=ORPOConfig(**SHARED), peft_config=LORA,"
        " train_dataset=Dataset.from_list(PAIRS),"
        " processing_class=AutoTokenizer.from_pretrained({model!r})).train()",
        quantities=REWARDS | {"nll_loss"},
    ),
    "CPO without an adapter": Case(
        imports="from trl.experimental.cpo import CPOConfig, CPOTrainer",
        body="from transformers import AutoTokenizer, AutoModelForCausalLM\n"
        "CPOTrainer(model=AutoModelForCausalLM.from_pretrained({model!r}),"
        " args=CPOConfig(**SHARED), train_dataset=Dataset.from_list(PAIRS),"
        " processing_class=AutoTokenizer.from_pretrained({model!r})).train()",
        quantities=REWARDS,
    ),
    "GRPO": Case(
        imports="from trl import GRPOConfig, GRPOTrainer",
        body="GRPOTrainer(model={model!r}, args=GRPOConfig(**SHARED, beta=0.1, num_generations=4,"
        " max_completion_length=6, use_vllm=True, num_iterations=2), peft_config=LORA,"
        " reward_funcs=[short, letters], train_dataset=Dataset.from_list(PROMPTS)).train()",
        quantities=SAMPLED | EACH | {"kl"},
        num_samples=8,
    ),
    "RLOO": Case(
        imports="from trl import RLOOConfig, RLOOTrainer",
        body="RLOOTrainer(model={model!r}, args=RLOOConfig(**SHARED, num_generations=4,"
        " max_completion_length=6), peft_config=LORA, reward_funcs=[short, letters],"
        " train_dataset=Dataset.from_list(PROMPTS)).train()",
        quantities=SAMPLED | EACH,
        num_samples=8,
    ),
    "Online DPO": Case(
        imports="from trl.experimental.online_dpo import OnlineDPOConfig, OnlineDPOTrainer",
        body="from transformers import AutoTokenizer\n"
        "OnlineDPOTrainer(model={model!r}, args=OnlineDPOConfig(**SHARED, max_new_tokens=6),"
        " peft_config=LORA, reward_funcs=short,"
        " processing_class=AutoTokenizer.from_pretrained({model!r}),"
        " train_dataset=Dataset.from_list(PROMPTS)).train()",
        quantities=REWARDS | {"objective/kl", "objective/scores"},
        num_samples=16,
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """What a child has left behind."""

    output: Path
    steps: list[dict[str, Any]]
    completions: list[dict[str, Any]]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_small(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module", params=CASES)
def recorded(
    request: pytest.FixtureRequest, model: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Case, Recorded]:
    """Train one of the scripts in the harness."""
    case, folder = CASES[request.param], tmp_path_factory.mktemp("case")
    script = folder / "train.py"
    text = HEAD.format(imports=case.imports) + case.body.format(model=str(model)) + "\n"
    script.write_text(text, encoding="utf-8")
    output = folder / "output"
    output.mkdir()
    spec = ChildSpec(
        script=str(script), args=(), output=str(output), num_steps=NUM_STEPS, is_original=True
    )
    spec.write(folder / "spec.json")
    done = subprocess.run(
        [sys.executable, "-m", "mint_migrate.parity.harness", str(folder / "spec.json")],
        env=environment(CUDA_VISIBLE_DEVICES=""),
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return case, Recorded(
        output=output, steps=_lines(output / RECORD), completions=_lines(output / REPLAY)
    )


def _lines(file: Path) -> list[dict[str, Any]]:
    if not file.is_file():
        return []
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def test_every_step_has_its_numbers_and_what_the_trainer_knows_beside(
    recorded: tuple[Case, Recorded],
) -> None:
    case, found = recorded
    assert (found.output / ENDING).read_text() == REACHED
    assert (found.output / ADAPTER / "adapter_model.safetensors").is_file()
    assert [step["step"] for step in found.steps] == list(range(NUM_STEPS))
    for step in found.steps:
        assert math.isfinite(step["loss"])
        assert step["grad_norm"] > 0
        assert step["learning_rate"] > 0
    assert case.quantities <= found.steps[0].keys()


def test_completions_are_written_where_and_only_where_training_asks_for_them(
    recorded: tuple[Case, Recorded],
) -> None:
    case, found = recorded
    if not case.num_samples:
        assert not (found.output / REPLAY).exists()
        return
    first = [line for line in found.completions if line["step"] == 0]
    assert len(first) == case.num_samples
    assert all(line["prompt"] and 0 < len(line["completion"]) <= 6 for line in first)
    # Padding is id 0 in this vocabulary, and its model stops at 0 and 2.
    assert all(not {0, 2} & set(line["completion"][:-1]) for line in found.completions)
    if "advantages" in case.quantities:
        tokens = sum(len(line["completion"]) for line in first)
        assert found.steps[0]["num_loss_tokens"] == tokens
        assert len(found.steps[0]["advantages"]) == case.num_samples
