"""Loss and gradient of one DPO step by TRL's own trainer; a process of its own runs this.

    python trl_dpo_step.py MODEL REFERENCE POLICY PAIRS.json RESULT.pt

REFERENCE and POLICY are adapters in peft format. TRL copies the adapter it is given as its
reference, so the trainer is built on REFERENCE and the trained copy then becomes POLICY.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from datasets import Dataset
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import DPOConfig, DPOTrainer


def main() -> None:
    """Read the arguments, compute the loss, write it with the gradient of each adapter matrix."""
    model_folder, reference, policy, pairs_file, target = sys.argv[1:]
    pairs = json.loads(Path(pairs_file).read_text(encoding="utf-8"))
    base = AutoModelForCausalLM.from_pretrained(model_folder, dtype=torch.float32)
    model = PeftModel.from_pretrained(base, reference, is_trainable=True)
    text = {"prompt": ["a"], "chosen": ["b"], "rejected": ["c"]}
    trainer = DPOTrainer(
        model=model,
        args=DPOConfig(
            output_dir=str(Path(target).parent / "trl"),
            beta=pairs["beta"],
            use_cpu=True,
            bf16=False,
            disable_dropout=True,
            report_to="none",
            save_strategy="no",
        ),
        train_dataset=Dataset.from_dict(text),
        processing_class=AutoTokenizer.from_pretrained(model_folder),
    )
    trained = {
        name.replace(".default.", "."): parameter
        for name, parameter in trainer.model.named_parameters()
        if ".default." in name
    }
    weights = load_file(Path(policy) / "adapter_model.safetensors")
    assert set(weights) == set(trained), set(weights) ^ set(trained)
    with torch.no_grad():
        for name, parameter in trained.items():
            parameter.copy_(weights[name])
    batch = trainer.data_collator(pairs["pairs"])
    loss = trainer.compute_loss(trainer.model, batch)
    loss.backward()
    gradient = {name: parameter.grad for name, parameter in trained.items()}
    torch.save({"loss": float(loss.detach()), "gradient": gradient}, target)


if __name__ == "__main__":
    main()
