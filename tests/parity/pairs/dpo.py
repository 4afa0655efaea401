"""Prefer the chosen answers."""

from datasets import load_dataset
from peft import LoraConfig
from trl import DPOConfig, DPOTrainer

trainer = DPOTrainer(
    model="Qwen/Qwen3-0.6B",
    args=DPOConfig(
        output_dir="dpo-out",
        beta=0.2,
        learning_rate=1e-3,
        per_device_train_batch_size=4,
        gradient_accumulation_steps=2,
        max_steps=40,
        logging_steps=3,
        max_length=48,
        report_to="none",
    ),
    train_dataset=load_dataset("acme/pairs", split="train"),
    peft_config=LoraConfig(r=8, lora_alpha=32, target_modules="all-linear"),
)
trainer.train()
