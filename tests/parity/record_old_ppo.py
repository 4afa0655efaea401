"""Record what PPO driven step by step really computes where its critic always answers 0.

Run by hand, in an environment that holds such a release and nothing of this project:

    python3.11 -m venv old
    old/bin/pip install torch==2.13.0
    old/bin/pip install trl==0.11.4 transformers==4.45.2 peft==0.12.0 accelerate==0.34.2 \
        datasets==2.21.0 pyarrow==16.1.0 "numpy<2" "pandas<2.3" rich tyro
    old/bin/python tests/parity/record_old_ppo.py fixtures/before/ppo_old/0.11.4

Every script of the folder is run in a process of its own, inside the world of
`support/old_world.py`. Its responses, scores and figures are written to
`fixtures/losses/trl-<version>-ppo-<case>.json`. The script is not changed; around it, the value
head is set to 0 and frozen, and the adapter starts from the world's own numbers.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import os
import runpy
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

TESTS = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TESTS))

from support.old_world import SEED, adapter_digest, load_adapter, write_world  # noqa: E402

PACKAGES = ("trl", "transformers", "peft", "accelerate", "datasets", "tokenizers", "torch")
FIGURES = (
    "objective/kl",
    "objective/kl_coef",
    "ppo/mean_non_score_reward",
    "ppo/mean_scores",
    "ppo/std_scores",
    "ppo/loss/policy",
    "ppo/policy/policykl",
    "ppo/policy/clipfrac",
)


def main(arguments: list[str]) -> int:
    """Record one script into a file, or every script of a folder into `fixtures/losses`."""
    given = Path(arguments[0]).resolve()
    if given.is_file():
        return _record(given, Path(arguments[1]).resolve())
    failed = 0
    version = importlib.metadata.version("trl")
    for script in sorted(given.glob("*.py")):
        target = TESTS.parent / "fixtures" / "losses" / f"trl-{version}-ppo-{script.stem}.json"
        command = [sys.executable, __file__, str(script), str(target)]
        failed += subprocess.run(command, check=False).returncode != 0
    return failed


def _record(script: Path, target: Path) -> int:
    """Run one script in a fresh world and write its figures."""
    os.environ |= {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "ACCELERATE_USE_CPU": "true"}
    import torch

    torch.set_num_threads(1)
    steps: list[dict[str, Any]] = []
    _silence_the_critic()
    _watch(steps)
    with tempfile.TemporaryDirectory() as folder:
        write_world(Path(folder))
        os.chdir(folder)
        sys.argv = [str(script)]
        runpy.run_path(str(script), run_name="__main__")
        os.chdir("/")
    content = {
        "versions": {name: importlib.metadata.version(name) for name in PACKAGES},
        "seed": SEED,
        "adapter": adapter_digest(),
        "steps": steps,
    }
    target.write_text(json.dumps(content) + "\n", encoding="utf-8")
    print(f"{target.name}: {len(steps)} steps, first kl {steps[0]['objective/kl']:.6f}")
    return 0


def _silence_the_critic() -> None:
    """Make every value head answer 0 for good."""
    head = importlib.import_module("trl").AutoModelForCausalLMWithValueHead
    load = head.from_pretrained.__func__

    def silent(cls: Any, *args: Any, **kwargs: Any) -> Any:
        model = load(cls, *args, **kwargs)
        for parameter in model.v_head.parameters():
            parameter.data.zero_()
            parameter.requires_grad_(False)
        load_adapter(model.pretrained_model)
        return model

    head.from_pretrained = classmethod(silent)


def _watch(steps: list[dict[str, Any]]) -> None:
    """Note what goes into every step and what comes out of it."""
    from torch.optim.optimizer import register_optimizer_step_pre_hook

    trainer = importlib.import_module("trl").PPOTrainer
    original = trainer.step
    norms: list[float] = []

    def before_update(optimizer: Any, _args: Any, _kwargs: Any) -> None:
        gradients = [item.grad for group in optimizer.param_groups for item in group["params"]]
        found = [item for item in gradients if item is not None]
        norms.append(sum(float(item.norm()) ** 2 for item in found) ** 0.5)

    def step(self: Any, queries: Any, responses: Any, scores: Any, *rest: Any) -> Any:
        norms.clear()
        stats = original(self, queries, responses, scores, *rest)
        samples = [
            {"prompt": query.tolist(), "completion": response.tolist(), "score": float(score)}
            for query, response, score in zip(queries, responses, scores, strict=True)
        ]
        figures = {name: float(stats[name]) for name in FIGURES}
        steps.append({**figures, "num_updates": len(norms), "norms": [*norms], "samples": samples})
        return stats

    register_optimizer_step_pre_hook(before_update)
    trainer.step = step


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
