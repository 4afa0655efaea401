"""Sums, and short answers."""

import re

from datasets import load_dataset
from peft import LoraConfig
from trl import GRPOConfig, GRPOTrainer

dataset = load_dataset("acme/sums", split="train")


def exact_answer(completions, answer, **kwargs):
    """1 if the last number in the completion is the answer."""
    found = [re.findall(r"-?\d+", completion[0]["content"]) for completion in completions]
    pairs = zip(found, answer, strict=True)
    return [1.0 if numbers and numbers[-1] == gold else 0.0 for numbers, gold in pairs]


def short(completions, **kwargs):
    return [-0.01 * len(completion[0]["content"]) for completion in completions]


training_args = GRPOConfig(
    output_dir="qwen3-sums",
    learning_rate=1e-3,
    per_device_train_batch_size=8,
    gradient_accumulation_steps=2,
    num_generations=8,
    max_completion_length=24,
    max_steps=200,
    warmup_steps=10,
    reward_weights=[1.0, 0.5],
    seed=3,
)

trainer = GRPOTrainer(
    model="Qwen/Qwen3-0.6B",
    reward_funcs=[exact_answer, short],
    args=training_args,
    train_dataset=dataset,
    peft_config=LoraConfig(r=32, target_modules="all-linear"),
)
trainer.train()
trainer.save_model()
