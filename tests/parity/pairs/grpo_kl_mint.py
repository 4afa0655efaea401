"""Two updates per batch of completions, held near the base model, with a loss of its own."""

import json
from pathlib import Path

import mint
import torch
from datasets import load_dataset
from mint import types

BETA, EPSILON, EPSILON_HIGH, NUM_ITERATIONS = 0.5, 0.1, 0.2, 2
NUM_GENERATIONS, PROMPTS_PER_STEP, MAX_TOKENS = 4, 2, 12
LEARNING_RATE, MAX_STEPS = 2e-3, 40


def vowels(completions, **kwargs):
    return [sum(text.count(letter) for letter in "aeiou") / (1 + len(text)) for text in completions]


def has_digit(completions, answer, **kwargs):
    return [float(gold[0] in text) for text, gold in zip(completions, answer, strict=True)]


def rows_in_order(num_rows):
    """Yield row numbers as TRL draws them: one generator for the run."""
    generator = torch.Generator().manual_seed(42)
    while True:
        order = torch.randperm(num_rows, generator=generator).tolist()
        for start in range(0, num_rows - PROMPTS_PER_STEP + 1, PROMPTS_PER_STEP):
            yield order[start : start + PROMPTS_PER_STEP]


def to_datum(prompt, completion):
    """Return one completion; its weights mark its tokens."""
    tokens, rest = prompt + completion, [0.0] * (len(prompt) - 1)
    return types.Datum(
        model_input=types.ModelInput.from_ints(tokens=tokens[:-1]),
        loss_fn_inputs={"target_tokens": tokens[1:], "weights": rest + [1.0] * len(completion)},
    )


dataset = load_dataset("acme/questions", split="train")
service = mint.ServiceClient()
training_client = service.create_lora_training_client(base_model="Qwen/Qwen3-0.6B", rank=8)
reference = service.create_sampling_client(base_model="Qwen/Qwen3-0.6B")
tokenizer = training_client.get_tokenizer()
sampling_params = types.SamplingParams(max_tokens=MAX_TOKENS, temperature=1.0)
output_dir = Path("grpo-out")
output_dir.mkdir(exist_ok=True)
batches = rows_in_order(len(dataset))

with (output_dir / "metrics.jsonl").open("w") as metrics:
    for step in range(MAX_STEPS):
        record = {"step": step}
        if step % NUM_ITERATIONS == 0:
            policy = training_client.save_weights_and_get_sampling_client()
            rows = [dataset[i] for i in next(batches) for _ in range(NUM_GENERATIONS)]
            prompts = [tokenizer(row["prompt"])["input_ids"] for row in rows]
            futures = [
                policy.sample(
                    types.ModelInput.from_ints(tokens=prompt), NUM_GENERATIONS, sampling_params
                )
                for prompt in prompts[::NUM_GENERATIONS]
            ]
            sequences = [one for future in futures for one in future.result().sequences]
            texts = [tokenizer.decode(one.tokens, skip_special_tokens=True) for one in sequences]
            answers = [row["answer"] for row in rows]
            rewards = torch.tensor(vowels(texts)) + torch.tensor(has_digit(texts, answers))
            means = rewards.view(-1, NUM_GENERATIONS).mean(1).repeat_interleave(NUM_GENERATIONS)
            advantages = (rewards - means) / (rewards.std() + 1e-4)
            data = [
                to_datum(prompt, list(one.tokens))
                for prompt, one in zip(prompts, sequences, strict=True)
            ]
            old = [torch.tensor(list(one.logprobs)) for one in sequences]
            futures = [
                reference.compute_logprobs(
                    types.ModelInput.from_ints(tokens=prompt + list(one.tokens))
                )
                for prompt, one in zip(prompts, sequences, strict=True)
            ]
            base = [
                torch.tensor(future.result()[len(prompt) :])
                for prompt, future in zip(prompts, futures, strict=True)
            ]
            record |= {"reward": rewards.mean().item(), "advantages": advantages.tolist()}

        def grpo_loss(data, logprobs, old=old, base=base, advantages=advantages):
            """Return the mean over completions of the mean over their tokens."""
            losses, divergences = [], []
            for new, before, fixed, advantage in zip(logprobs, old, base, advantages, strict=True):
                new = new[-len(before) :]
                ratio = torch.exp(new - before)
                clipped = ratio.clamp(1 - EPSILON, 1 + EPSILON_HIGH)
                kl = (torch.exp(fixed - new) - (fixed - new) - 1) * ratio
                gain = torch.minimum(ratio * advantage, clipped * advantage)
                losses.append((-gain + BETA * kl).mean())
                divergences.append(kl.detach())
            loss = torch.stack(losses).mean()
            return loss, {"loss": loss.item(), "kl": torch.cat(divergences).mean().item()}

        learning_rate = LEARNING_RATE * (MAX_STEPS - step) / MAX_STEPS
        passed = training_client.forward_backward_custom(data, grpo_loss).result()
        stepped = training_client.optim_step(
            types.AdamParams(
                learning_rate=learning_rate,
                beta1=0.9,
                beta2=0.999,
                eps=1e-8,
                weight_decay=0.0,
                grad_clip_norm=1.0,
            )
        ).result()
        record |= {
            "learning_rate": learning_rate,
            "num_loss_tokens": sum(len(one.tokens) for one in sequences),
            **passed.metrics,
            **(stepped.metrics or {}),
        }
        metrics.write(json.dumps(record) + "\n")
        metrics.flush()
