"""Sums, and short answers, with a built-in loss."""

import json
import re
from pathlib import Path
from types import SimpleNamespace

import mint
import torch
from datasets import load_dataset
from mint import types


def prompts_in_order(num_rows: int, per_step: int, seed: int):
    """Yield the row numbers of each step: one generator for the run, whole batches only."""
    generator = torch.Generator().manual_seed(seed)
    while True:
        order = torch.randperm(num_rows, generator=generator).tolist()
        for start in range(0, num_rows - per_step + 1, per_step):
            yield order[start : start + per_step]


def score(rows: list[dict], completions: list[list[dict]]) -> torch.Tensor:
    """Return the weighted sum of the reward functions, shape [completions]."""
    columns = {name: [row[name] for row in rows] for name in rows[0] if name != "prompt"}
    prompts = [row["prompt"] for row in rows]
    rewards = [
        torch.tensor(reward(prompts=prompts, completions=completions, **columns))
        for reward in reward_funcs
    ]
    return sum(
        weight * values
        for weight, values in zip(training_args.reward_weights, rewards, strict=True)
    )


def group_advantages(rewards: torch.Tensor) -> torch.Tensor:
    """Center and scale the rewards of each prompt's group, shape [completions]."""
    groups = rewards.view(-1, training_args.num_generations)
    return (
        (groups - groups.mean(1, keepdim=True)) / (groups.std(1, keepdim=True) + 1e-4)
    ).flatten()


def build_datum(
    prompt: list[int], sequence, advantage: float, num_completion_tokens: int
) -> types.Datum:
    """Return one completion as training data; the prompt is not trained on."""
    tokens, rest = prompt + list(sequence.tokens), len(prompt) - 1
    scaled = advantage / num_completion_tokens
    return types.Datum(
        model_input=types.ModelInput.from_ints(tokens=tokens[:-1]),
        loss_fn_inputs={
            "target_tokens": tokens[1:],
            "weights": [0.0] * rest + [1.0] * len(sequence.tokens),
            "logprobs": [0.0] * rest + list(sequence.logprobs),
            "advantages": [0.0] * rest + [scaled] * len(sequence.tokens),
        },
    )


def train() -> mint.TrainingClient:
    """Sample, score and update `max_steps` times; return the client that holds the adapter."""
    training_client = mint.ServiceClient().create_lora_training_client(
        base_model="Qwen/Qwen3-0.6B", rank=32, seed=training_args.seed
    )
    tokenizer = training_client.get_tokenizer()
    sampling_params = types.SamplingParams(
        max_tokens=training_args.max_completion_length,
        temperature=1.0,
        top_p=1.0,
        stop=[tokenizer.eos_token_id, tokenizer.pad_token_id],
    )
    output_dir = Path(training_args.output_dir)
    output_dir.mkdir(parents=True, exist_ok=True)
    batches = prompts_in_order(len(dataset), training_args.prompts_per_step, training_args.seed)

    with (output_dir / "metrics.jsonl").open("w") as metrics:
        for step in range(training_args.max_steps):
            # 1. Sample a group of completions for each prompt from the current weights.
            sampling_client = training_client.save_weights_and_get_sampling_client()
            rows = [dataset[i] for i in next(batches)]
            prompts = [
                tokenizer.apply_chat_template(
                    row["prompt"], add_generation_prompt=True, return_dict=False
                )
                for row in rows
            ]
            futures = [
                sampling_client.sample(
                    prompt=types.ModelInput.from_ints(tokens=prompt),
                    num_samples=training_args.num_generations,
                    sampling_params=sampling_params,
                )
                for prompt in prompts
            ]
            sequences = [sequence for future in futures for sequence in future.result().sequences]
            repeated_prompts = [
                prompt for prompt in prompts for _ in range(training_args.num_generations)
            ]
            repeated_rows = [row for row in rows for _ in range(training_args.num_generations)]

            # 2. Score them and compare each with its group.
            completions = [
                [
                    {
                        "role": "assistant",
                        "content": tokenizer.decode(sequence.tokens, skip_special_tokens=True),
                    }
                ]
                for sequence in sequences
            ]
            rewards = score(repeated_rows, completions)
            advantages = group_advantages(rewards)

            # 3. One optimizer step: the ratio starts at 1, so clipping never acts.
            num_completion_tokens = sum(len(sequence.tokens) for sequence in sequences)
            batch = [
                build_datum(prompt, sequence, advantage, num_completion_tokens)
                for prompt, sequence, advantage in zip(
                    repeated_prompts, sequences, advantages.tolist(), strict=True
                )
            ]
            learning_rate = training_args.learning_rate * (
                step / training_args.warmup_steps
                if step < training_args.warmup_steps
                else (training_args.max_steps - step)
                / (training_args.max_steps - training_args.warmup_steps)
            )
            loss = training_client.forward_backward(batch, loss_fn="importance_sampling")
            update = training_client.optim_step(
                types.AdamParams(
                    learning_rate=learning_rate,
                    beta1=0.9,
                    beta2=0.999,
                    eps=1e-8,
                    weight_decay=0.0,
                    grad_clip_norm=1.0,
                )
            )
            record = {
                "step": step,
                "loss": loss.result().metrics["loss:sum"],
                "reward": rewards.mean().item(),
                "reward_std": rewards.std().item(),
                "advantages": advantages.tolist(),
                "completions/mean_length": num_completion_tokens / len(sequences),
                "learning_rate": learning_rate,
                "num_loss_tokens": num_completion_tokens,
                **(update.result().metrics or {}),
            }
            metrics.write(json.dumps(record) + "\n")

    return training_client


dataset = load_dataset("acme/sums", split="train")


def exact_answer(completions, answer, **kwargs):
    """1 if the last number in the completion is the answer."""
    found = [re.findall(r"-?\d+", completion[0]["content"]) for completion in completions]
    pairs = zip(found, answer, strict=True)
    return [1.0 if numbers and numbers[-1] == gold else 0.0 for numbers, gold in pairs]


def short(completions, **kwargs):
    return [-0.01 * len(completion[0]["content"]) for completion in completions]


training_args = SimpleNamespace(
    output_dir="qwen3-sums",
    learning_rate=1e-3,
    prompts_per_step=8 * 2 // 8,
    num_generations=8,
    max_completion_length=24,
    max_steps=200,
    warmup_steps=10,
    reward_weights=[1.0, 0.5],
    seed=3,
)
reward_funcs = [exact_answer, short]

train()
