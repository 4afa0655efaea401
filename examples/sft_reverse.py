"""Teach a model to reverse strings of digits, with supervised fine-tuning on MinT.

    MINT_BASE_URL=http://127.0.0.1:8000 MINT_API_KEY=sk-local python sft_reverse.py

The server does the work: this script sends batches and learning rates, and needs no PyTorch. It
saves the state to resume from and the weights to sample from, and measures how many strings of a
held-out set are reversed without a mistake.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from pathlib import Path
from typing import Any

import mint
from mint import types

NUM_DIGITS = 5


def is_held_out(digits: str) -> bool:
    """Say whether a string is kept for evaluation: one in seven, any digit in any place."""
    return int(digits) % 7 == 3


def draw(rng: random.Random, count: int, *, held_out: bool) -> list[str]:
    """Return random strings of digits, all of them held out or none."""
    strings: list[str] = []
    while len(strings) < count:
        digits = "".join(rng.choices("0123456789", k=NUM_DIGITS))
        if is_held_out(digits) == held_out:
            strings.append(digits)
    return strings


def prompt_tokens(digits: str, tokenizer: Any) -> list[int]:
    """Return the question; the answer starts right behind it."""
    return tokenizer.encode(f"Q: Reverse {digits}.\nA:")


def build_datum(digits: str, tokenizer: Any) -> types.Datum:
    """Return one example: position t predicts token t + 1, and only the answer is trained on."""
    prompt = prompt_tokens(digits, tokenizer)
    answer = [*tokenizer.encode(f" {digits[::-1]}"), tokenizer.eos_token_id]
    tokens = prompt + answer
    return types.Datum(
        model_input=types.ModelInput.from_ints(tokens=tokens[:-1]),
        loss_fn_inputs={
            "target_tokens": tokens[1:],
            "weights": [0.0] * (len(prompt) - 1) + [1.0] * len(answer),
        },
    )


def learning_rate_at(step: int, args: argparse.Namespace) -> float:
    """Return the learning rate of a step: linear warm-up over ten steps, then linearly to 0."""
    return args.learning_rate * min((step + 1) / 10, 1 - step / args.steps)


def accuracy(sampling_client: mint.SamplingClient, strings: list[str], tokenizer: Any) -> float:
    """Return the fraction of strings that greedy decoding reverses exactly."""
    params = types.SamplingParams(
        max_tokens=NUM_DIGITS + 3, temperature=0.0, stop=[tokenizer.eos_token_id]
    )
    # All requests are in flight before the first answer is awaited.
    futures = [
        sampling_client.sample(
            types.ModelInput.from_ints(tokens=prompt_tokens(digits, tokenizer)), 1, params
        )
        for digits in strings
    ]
    answers = [
        tokenizer.decode(future.result().sequences[0].tokens, skip_special_tokens=True)
        for future in futures
    ]
    hits = [answer.strip() == digits[::-1] for answer, digits in zip(answers, strings, strict=True)]
    return sum(hits) / len(hits)


def train(args: argparse.Namespace) -> float:
    """Train, save, and return the accuracy on strings that were never trained on."""
    training_client = mint.ServiceClient().create_lora_training_client(
        base_model=args.base_model, rank=args.rank, seed=args.seed
    )
    tokenizer = training_client.get_tokenizer()
    held_out = draw(random.Random(args.seed), 100, held_out=True)
    rng = random.Random(args.seed + 1)
    output_dir = Path(args.output_dir)
    output_dir.mkdir(parents=True, exist_ok=True)

    with (output_dir / "metrics.jsonl").open("w") as metrics:

        def evaluate(step: int) -> float:
            found = accuracy(
                training_client.save_weights_and_get_sampling_client(), held_out, tokenizer
            )
            metrics.write(json.dumps({"step": step, "accuracy": found}) + "\n")
            print(f"step {step}/{args.steps}  accuracy {found:.1%}", flush=True)
            return found

        evaluate(0)
        for step in range(args.steps):
            started = time.monotonic()
            batch = [
                build_datum(digits, tokenizer)
                for digits in draw(rng, args.batch_size, held_out=False)
            ]
            learning_rate = learning_rate_at(step, args)
            # Both requests are queued before either is awaited: one round trip a step, not two.
            passed = training_client.forward_backward(batch, loss_fn="cross_entropy")
            updated = training_client.optim_step(
                types.AdamParams(
                    learning_rate=learning_rate,
                    beta1=0.9,
                    beta2=0.95,
                    eps=1e-8,
                    weight_decay=0.0,
                    grad_clip_norm=0.0,
                )
            )
            # The loss is a sum over tokens; per token, it compares between batch sizes.
            num_tokens = args.batch_size * (NUM_DIGITS + 2)
            record = {
                "step": step,
                "loss": passed.result().metrics["loss:sum"] / num_tokens,
                "learning_rate": learning_rate,
                **(updated.result().metrics or {}),
                "seconds": round(time.monotonic() - started, 3),
            }
            metrics.write(json.dumps(record) + "\n")
            print(
                f"step {step + 1}/{args.steps}  loss {record['loss']:.4f}  lr {learning_rate:.1e}  "
                f"{record['seconds']:.2f} s",
                flush=True,
            )
        found = evaluate(args.steps)

    state = training_client.save_state(name="reverse").result()
    weights = training_client.save_weights_for_sampler(name="reverse").result()
    print(f"to resume: {state.path}\nto sample: {weights.path}")
    return found


def parse_arguments() -> argparse.Namespace:
    """Return the settings of the command line; the defaults suit the model of pretrain_tiny.py."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--base-model", default="tiny")
    parser.add_argument("--rank", type=int, default=32)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--learning-rate", type=float, default=5e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output-dir", default="sft-reverse")
    return parser.parse_args()


if __name__ == "__main__":
    train(parse_arguments())
