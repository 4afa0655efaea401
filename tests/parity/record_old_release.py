"""Record what the scripts of an old release really train, for `test_old_releases.py` to replay.

Run by hand, in an environment that holds that release and nothing of this project:

    python3.11 -m venv old
    old/bin/pip install torch==2.13.0
    old/bin/pip install trl==0.12.2 transformers==4.46.3 peft==0.13.2 accelerate==1.1.1 \
        datasets==3.1.0 "numpy<2.3"
    old/bin/python tests/parity/record_old_release.py fixtures/before/trl_old/0.12.2

Every script of the folder is run in a process of its own, inside the world of
`support/old_world.py`, and its first steps are written to
`fixtures/losses/trl-<version>-<case>.json` with the versions of the libraries. The script is not
changed; around it, the training runs on the CPU in float32 and reports to nobody, and the adapter
starts from the world's own numbers.

Releases that were recorded, each with libraries of its time: TRL 0.7.11 (transformers 4.38.2),
0.9.6 (4.42.4), 0.12.2 (4.46.3), 0.15.2 (4.49.0), 0.16.1 (4.50.3), 0.18.2 (4.52.4), 0.19.1 (4.53.3),
0.24.0 (4.57.1) and 1.9.0 (5.12.0). The two oldest also want "numpy<2", "pandas<2.3", pyarrow 15 or
16, and rich; BCO of 0.16.1 wants scikit-learn.
"""

from __future__ import annotations

import contextlib
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

NUM_STEPS = 10
PACKAGES = ("trl", "transformers", "peft", "accelerate", "datasets", "tokenizers", "torch")


class Enough(BaseException):
    """The steps that are kept have been taken."""


def main(arguments: list[str]) -> int:
    """Record scripts into files, or every script of a folder into `fixtures/losses`.

    Args:
        arguments: script, file, script, file, ... or one folder.
    """
    given = Path(arguments[0]).resolve()
    if given.is_file():
        paths = [Path(argument).resolve() for argument in arguments]
        return _record(list(zip(paths[0::2], paths[1::2], strict=True)))
    failed = []
    version = importlib.metadata.version("trl")
    for script in sorted(given.glob("*.py")):
        target = TESTS.parent / "fixtures" / "losses" / f"trl-{version}-{script.stem}.json"
        command = [sys.executable, __file__, str(script), str(target)]
        if subprocess.run(command, check=False).returncode:
            failed.append(script.name)
    print(f"{given.name}: failed {failed}" if failed else f"{given.name}: all recorded")
    return len(failed)


def _record(pairs: list[tuple[Path, Path]]) -> int:
    """Run scripts one after the other, each in a fresh world, and write their figures."""
    quiet = {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"}
    os.environ.update(quiet | {"ACCELERATE_MIXED_PRECISION": "no", "WANDB_MODE": "disabled"})
    import torch

    torch.set_num_threads(1)
    steps: list[dict[str, Any]] = []
    length: dict[str, Any] = {}
    _train_on_cpu()
    _watch_training(steps, length)
    for script, target in pairs:
        steps.clear()
        length.clear()
        _run(script)
        if not steps:
            sys.stderr.write(f"{script} trained nothing\n")
            return 1
        content = {
            "versions": {name: importlib.metadata.version(name) for name in PACKAGES},
            "seed": SEED,
            "adapter": adapter_digest(),
            **length,
            "steps": steps,
        }
        target.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        print(f"{target.name}: {len(steps)} steps, first loss {steps[0]['loss']:.6f}")
    return 0


def _run(script: Path) -> None:
    """Run a script inside a world of its own until it has taken enough steps."""
    with tempfile.TemporaryDirectory() as folder:
        write_world(Path(folder))
        os.chdir(folder)
        sys.argv = [str(script)]
        with contextlib.suppress(Enough):
            runpy.run_path(str(script), run_name="__main__")
        os.chdir("/")


def _train_on_cpu() -> None:
    """Train in float32 on the CPU and report to nobody."""
    arguments = importlib.import_module("transformers").TrainingArguments
    finish = arguments.__post_init__

    def plain(self: Any) -> None:
        self.use_cpu, self.report_to = True, "none"
        for name in ("bf16", "fp16", "tf32"):
            if getattr(self, name, None):
                setattr(self, name, False)
        finish(self)

    arguments.__post_init__ = plain


def _count(inputs: Any) -> tuple[int | None, int]:
    """Return the tokens that count in a batch and its rows.

    None where the trainer cuts the rows of the batch later.
    """
    if "completion_mask" in inputs:
        mask = inputs["completion_mask"]
        return int(mask[..., 1:].sum()), int(mask.shape[0]) // 2
    if "chosen_input_ids" in inputs and "chosen_labels" not in inputs:
        return None, int(inputs["chosen_input_ids"].shape[0])
    if "completion_labels" in inputs:
        names: tuple[str, ...] = ("completion_labels",)
    else:
        names = ("chosen_labels", "rejected_labels") if "chosen_labels" in inputs else ("labels",)
    counts = [int((inputs[name][..., 1:] != -100).sum()) for name in names]
    return sum(counts), int(inputs[names[0]].shape[0])


def _watch_training(steps: list[dict[str, Any]], length: dict[str, Any]) -> None:
    """Make every Trainer start from the world's adapter and note each of its optimizer steps."""
    import torch
    from torch.optim.optimizer import register_optimizer_step_pre_hook

    transformers = importlib.import_module("transformers")
    fresh = {"loss": 0.0, "num_loss_tokens": 0, "num_rows": 0}
    window: dict[str, Any] = dict(fresh)

    class Watch(transformers.TrainerCallback):
        """Writes the starting adapter, and leaves after enough steps."""

        def on_train_begin(self, _args: Any, state: Any, _control: Any, **kwargs: Any) -> None:
            load_adapter(kwargs["model"])
            length["num_steps"] = state.max_steps

        def on_step_end(self, *_args: Any, **_kwargs: Any) -> None:
            steps.append({"step": len(steps), **window})
            window.clear()
            window.update(fresh)
            if len(steps) == NUM_STEPS:
                raise Enough

    def before_update(optimizer: Any, _args: Any, _kwargs: Any) -> None:
        window["learning_rate"] = float(optimizer.param_groups[0]["lr"])
        if "grad_norm" not in window:
            gradients = [item.grad for group in optimizer.param_groups for item in group["params"]]
            norms = torch.stack([item.norm() for item in gradients if item is not None])
            window["grad_norm"] = float(norms.norm())

    def train(self: Any, *args: Any, **kwargs: Any) -> Any:
        step, clip = self.training_step, self.accelerator.clip_grad_norm_

        def counted_step(model: Any, inputs: Any, *rest: Any, **named: Any) -> Any:
            tokens, rows = _count(inputs)
            window["num_loss_tokens"] = (
                None if tokens is None else window["num_loss_tokens"] + tokens
            )
            window["num_rows"] += rows
            loss = step(model, inputs, *rest, **named)
            window["loss"] += float(loss)
            return loss

        def noted_clip(*rest: Any, **named: Any) -> Any:
            norm = clip(*rest, **named)
            window["grad_norm"] = float(norm)
            return norm

        self.training_step, self.accelerator.clip_grad_norm_ = counted_step, noted_clip
        self.add_callback(Watch())
        return original(self, *args, **kwargs)

    register_optimizer_step_pre_hook(before_update)
    original = transformers.Trainer.train
    transformers.Trainer.train = train


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
