"""Every loss of `DPOTrainer` trains to the numbers of TRL, through the emitted script as it is.

One process trains the originals with the real TRL, one server and one process their conversions.
The model, the rows and the adapter both sides start from are those of `support/old_world.py`: its
adapter is not zero, so that policy and reference differ from the first step on.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from mint_migrate.bridge.runtime import serve
from mint_migrate.bridge.world import quiet_environment
from mint_migrate.parity.compare import Comparison, compare
from mint_migrate.parity.steps import Step, read_steps
from support.old_world import write_adapter, write_world
from support.scripts import converted, migrated

pytestmark = [pytest.mark.parity, pytest.mark.timeout(1500)]

RECORDER = Path(__file__).with_name("record_old_release.py")
MODEL = "tiny/chatml"
NUM_STEPS = 10
GRAD_TOLERANCE = 1e-4
"""Relative: the same sums in float32, in another order."""

SCRIPT = """
from datasets import load_dataset
from peft import LoraConfig
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import DPOConfig, DPOTrainer

trainer = DPOTrainer(
    model=AutoModelForCausalLM.from_pretrained("tiny/chatml"),
    args=DPOConfig(
        output_dir="out-{name}",
        save_strategy="no",
        num_train_epochs=3,
        learning_rate=2e-3,
        {options},
    ),
    train_dataset=load_dataset("json", data_files="data/{data}.jsonl", split="train"),
    processing_class=AutoTokenizer.from_pretrained("tiny/chatml"),
    peft_config=LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM"),
)
trainer.train()
"""
WHOLE = "per_device_train_batch_size=4"
PARTS = "per_device_train_batch_size=2, gradient_accumulation_steps=3"
"""Rows and micro-batches leave a remainder: an epoch ends with a step of fewer of both."""

CASES = {
    "sigmoid": WHOLE,
    "hinge": f'{PARTS}, loss_type="hinge"',
    "ipo": f'{PARTS}, loss_type="ipo", beta=0.3',
    "exo_pair": f'{WHOLE}, loss_type="exo_pair", label_smoothing=1e-3',
    "nca_pair": f'{WHOLE}, loss_type="nca_pair"',
    "robust": f'{PARTS}, loss_type="robust", label_smoothing=0.1',
    "bco_pair": f'{WHOLE}, loss_type="bco_pair"',
    "sppo_hard": f'{WHOLE}, loss_type="sppo_hard", beta=0.5',
    "aot": f'{PARTS}, loss_type="aot"',
    "aot_unpaired": f'{PARTS}, loss_type="aot_unpaired", label_smoothing=0.1',
    "apo_zero": f'{WHOLE}, loss_type="apo_zero"',
    "apo_down": f'{WHOLE}, loss_type="apo_down"',
    "discopop": f'{WHOLE}, loss_type="discopop", discopop_tau=0.1',
    "sft": f'{PARTS}, loss_type="sft"',
    "sigmoid_norm": f'{PARTS}, loss_type="sigmoid_norm", beta=2.0',
    "several": f'{PARTS}, loss_type=["sigmoid", "bco_pair", "sft"], loss_weights=[0.8, 0.2, 1.0]',
    "forward_kl": f'{WHOLE}, f_divergence_type="forward_kl", loss_type="ipo"',
    "js_divergence": f'{WHOLE}, f_divergence_type="js_divergence", loss_type="sigmoid_norm"',
    "alpha_divergence": f'{WHOLE}, f_divergence_type="alpha_divergence", '
    "f_alpha_divergence_coef=0.3",
    "lengths": f"{PARTS}, ld_alpha=0.4, max_length=40",
    "keep_end": f'{WHOLE}, max_length=32, truncation_mode="keep_end", '
    "precompute_ref_log_probs=True",
}
DATA = {"exo_pair": "chat_preferences", "apo_zero": "implicit", "several": "implicit"}
"""Rows of the cases that do not read pairs of text."""


def run(arguments: list[str], folder: Path, environment: dict[str, str]) -> None:
    """Run Python in *folder*; fail with the end of what it says."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]


RUN_ALL = """
import runpy, sys
for name in sys.argv[1:]:
    runpy.run_path(name, run_name="__main__")
"""


@pytest.fixture(scope="module")
def comparisons(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Comparison]:
    """Train every case on both sides."""
    folder = tmp_path_factory.mktemp("losses")
    write_world(folder)
    write_adapter(folder / "adapter")
    environment = quiet_environment() | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(folder / "hub")}
    pairs: list[str] = []
    for name, options in CASES.items():
        text = SCRIPT.format(name=name, options=options, data=DATA.get(name, "preferences"))
        (folder / f"{name}.py").write_text(text, encoding="utf-8")
        result = migrated(text, base_model=f"tiny/{name}", source_version="1.16.0")
        (folder / f"{name}_mint.py").write_text(converted(result), encoding="utf-8")
        pairs += [f"{name}.py", f"{name}.json"]
    run([str(RECORDER), *pairs], folder, environment)
    # A server starts the first model of each base model from the adapter: one base model a case.
    models = {f"tiny/{name}": folder / MODEL for name in CASES}
    with serve(
        models, state_dir=folder / "state", initial_adapter=folder / "adapter", env=environment
    ) as runtime:
        scripts = [f"{name}_mint.py" for name in CASES]
        run(["-c", RUN_ALL, *scripts], folder, environment | runtime.client_environment())
    return {name: _compare(folder, name) for name in CASES}


def _compare(folder: Path, name: str) -> Comparison:
    recorded: dict[str, Any] = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    fields = ("loss", "learning_rate", "grad_norm", "num_loss_tokens")
    original = [Step(**{field: line[field] for field in fields}) for line in recorded["steps"]]
    return compare(original, read_steps(folder / f"out-{name}" / "metrics.jsonl")[: len(original)])


@pytest.mark.parametrize("case", sorted(CASES))
def test_losses_and_gradients_are_those_of_trl(
    case: str, comparisons: dict[str, Comparison]
) -> None:
    found = comparisons[case]

    assert found.is_equal, found.first_difference
    assert len(found.pairs) == NUM_STEPS
    assert max(pair.grad_norm_difference for pair in found.pairs) <= GRAD_TOLERANCE


def test_cases_train_on_different_losses(comparisons: dict[str, Comparison]) -> None:
    """A gradient that two cases share would say that an option is not looked at."""
    norms = {round(item.pairs[0].original.grad_norm or 0.0, 6) for item in comparisons.values()}
    assert len(norms) == len(CASES)
