"""Two updates per batch of completions, held near the base model."""

from datasets import load_dataset
from peft import LoraConfig
from trl import GRPOConfig, GRPOTrainer


def vowels(completions, **kwargs):
    return [sum(text.count(letter) for letter in "aeiou") / (1 + len(text)) for text in completions]


def has_digit(completions, answer, **kwargs):
    return [float(gold[0] in text) for text, gold in zip(completions, answer, strict=True)]


trainer = GRPOTrainer(
    model="Qwen/Qwen3-0.6B",
    reward_funcs=[vowels, has_digit],
    args=GRPOConfig(
        output_dir="grpo-out",
        beta=0.5,
        epsilon=0.1,
        epsilon_high=0.2,
        loss_type="grpo",
        num_iterations=2,
        num_generations=4,
        per_device_train_batch_size=4,
        gradient_accumulation_steps=2,
        max_completion_length=12,
        learning_rate=2e-3,
        max_steps=40,
        scale_rewards="batch",
        report_to="none",
        use_vllm=True,
    ),
    train_dataset=load_dataset("acme/questions", split="train"),
    peft_config=LoraConfig(r=8, lora_alpha=32, target_modules="all-linear"),
)
trainer.train()
