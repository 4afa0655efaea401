"""Prefer the chosen answers, with a loss of its own over the log-probabilities of pairs."""

import json
from pathlib import Path

import mint
import torch
from datasets import load_dataset
from mint import types
from torch.nn.functional import logsigmoid

BETA, LEARNING_RATE, MAX_STEPS, PAIRS_PER_STEP, MAX_LENGTH = 0.2, 1e-3, 40, 8, 48


def encode(tokenizer, row):
    """Return prompt and answers; a prompt ends where the joint texts leave it."""
    end = tokenizer.eos_token
    prompt = tokenizer(row["prompt"])["input_ids"]
    joint = [tokenizer(row["prompt"] + row[side] + end)["input_ids"] for side in SIDES]
    shared = min(common(prompt, tokens) for tokens in joint)
    return [(tokens[:MAX_LENGTH], shared) for tokens in joint]


def common(left, right):
    """Return how many tokens two lists begin alike with."""
    pairs = zip(left, right, strict=False)
    return next((n for n, (a, b) in enumerate(pairs) if a != b), min(len(left), len(right)))


def to_datum(tokens, num_prompt):
    """Return one sequence; its weights mark the tokens of the answer."""
    mask = [0.0] * (num_prompt - 1) + [1.0] * (len(tokens) - num_prompt)
    return types.Datum(
        model_input=types.ModelInput.from_ints(tokens=tokens[:-1]),
        loss_fn_inputs={"target_tokens": tokens[1:], "weights": mask},
    )


def totals(data, logprobs):
    """Return the log-probability of each answer, chosen ones first."""
    weights = [torch.tensor(datum.loss_fn_inputs["weights"].tolist()) for datum in data]
    return torch.stack([(one * mask).sum() for one, mask in zip(logprobs, weights, strict=True)])


def rows_in_order(num_rows):
    """Yield row numbers as the Trainer draws them."""
    epoch = 0
    while True:
        generator = torch.Generator().manual_seed(42 + epoch)
        order = torch.randperm(num_rows, generator=generator).tolist()
        for start in range(0, num_rows, PAIRS_PER_STEP):
            yield order[start : start + PAIRS_PER_STEP]
        epoch += 1


SIDES = ("chosen", "rejected")
dataset = load_dataset("acme/pairs", split="train")
service = mint.ServiceClient()
training_client = service.create_lora_training_client(base_model="Qwen/Qwen3-0.6B", rank=8)
reference = service.create_sampling_client(base_model="Qwen/Qwen3-0.6B")
tokenizer = training_client.get_tokenizer()
output_dir = Path("dpo-out")
output_dir.mkdir(exist_ok=True)
batches = rows_in_order(len(dataset))

with (output_dir / "metrics.jsonl").open("w") as metrics:
    for step in range(MAX_STEPS):
        encoded = [encode(tokenizer, dataset[i]) for i in next(batches)]
        sequences = [pair[side] for side in range(2) for pair in encoded]
        data = [to_datum(*sequence) for sequence in sequences]
        futures = [
            reference.compute_logprobs(types.ModelInput.from_ints(tokens=tokens))
            for tokens, _ in sequences
        ]
        base = totals(data, [torch.tensor(future.result()[1:]) for future in futures])

        def dpo_loss(data, logprobs, base=base):
            """Return -log sigmoid(beta * (chosen - rejected)), a mean of means of 4 pairs."""
            chosen, rejected = (BETA * (totals(data, logprobs) - base)).chunk(2)
            losses = -logsigmoid(chosen - rejected)
            loss = torch.stack([part.mean() for part in losses.split(4)]).mean()
            return loss, {
                "loss": loss.item(),
                "rewards/chosen": chosen.mean().item(),
                "rewards/rejected": rejected.mean().item(),
                "rewards/margins": (chosen - rejected).mean().item(),
            }

        learning_rate = LEARNING_RATE * (MAX_STEPS - step) / MAX_STEPS
        passed = training_client.forward_backward_custom(data, dpo_loss).result()
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
        record = {
            "step": step,
            "learning_rate": learning_rate,
            "num_loss_tokens": sum(len(tokens) - start for tokens, start in sequences),
            **passed.metrics,
            **(stepped.metrics or {}),
        }
        metrics.write(json.dumps(record) + "\n")
        metrics.flush()
