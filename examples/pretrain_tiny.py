"""Make a language model that is small enough to train on a laptop and mediocre on purpose.

LoRA on random weights learns little, so the other examples start from this model: a Qwen3 of about
100,000 parameters, trained here with plain PyTorch for well under a minute on a synthetic corpus of
four tasks. It reads and writes single characters.

    python pretrain_tiny.py tiny-base

How it stays mediocre:
- Adding and reversing are taught only until the model gets about a third of the held-out rows
  right, so there is something left to learn. Held-out rows are never trained on.
- Replies and programs in the corpus are of mixed quality, as on the web: the model knows good ones
  and bad ones, and has no reason yet to prefer the good.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable
from pathlib import Path

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from torch.nn import Module
from transformers import (
    AutoModelForCausalLM,
    GenerationConfig,
    PreTrainedTokenizerFast,
    Qwen3Config,
)

PAD, START, END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
CHARACTERS = "\n" + "".join(map(chr, range(ord(" "), ord("~") + 1)))
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)

NUM_DIGITS = 5
LARGEST_OPERAND = 19
REVERSAL, ADDITION, PROGRAM = "Q: Reverse {}.\nA:", "Q: What is {} + {}?\nA:", "Q: Print {}.\nA:"

LEARNING_RATE, WARMUP_STEPS, BATCH_SIZE = 5e-3, 50, 64
MAX_STEPS = 1000
"""More than a lesson ever took; it ends one that goes wrong."""

Row = tuple[str, str]
"""A prompt, and what comes after it up to the end-of-sequence token."""
Task = Callable[[random.Random], Row]


def is_held_out_string(digits: str) -> bool:
    """Say whether a string is kept for evaluation: one in seven, any digit in any place."""
    return int(digits) % 7 == 3


def is_held_out_sum(a: int, b: int) -> bool:
    """Say whether a sum is kept for evaluation: one in five, spread over all operands."""
    return (3 * a + b) % 5 == 0


def reversal(rng: random.Random) -> Row:
    """Draw a string of digits and its reverse."""
    while is_held_out_string(digits := "".join(rng.choices("0123456789", k=NUM_DIGITS))):
        pass
    return REVERSAL.format(digits), f" {digits[::-1]}"


def addition(rng: random.Random) -> Row:
    """Draw two small numbers and their sum."""
    while is_held_out_sum(
        a := rng.randint(0, LARGEST_OPERAND), b := rng.randint(0, LARGEST_OPERAND)
    ):
        pass
    return ADDITION.format(a, b), f" {a + b}"


GREETINGS = (
    "hello",
    "good day",
    "can you help me",
    "what is this",
    "i have a question",
    "who are you",
)
REPLIES = (
    "Hello! How may I help you?",
    "Thank you for asking. Please tell me more.",
    "Of course. What would you like to know?",
    "what",
    "no",
    "no no no no no no no no",
    "go away and do not ask me",
    "help help help help",
)


def chat(rng: random.Random) -> Row:
    """Draw an opening line and some reply to it, friendly or not."""
    opening = rng.choice(GREETINGS)
    return f"{START}user\n{opening}{END}\n{START}assistant\n", rng.choice(REPLIES)


PROGRAMS = {
    "the sum of a and b": "print(a + b)",
    "the difference of a and b": "print(a - b)",
    "the product of a and b": "print(a * b)",
    "the larger of a and b": "print(max(a, b))",
    "the smaller of a and b": "print(min(a, b))",
}
BROKEN = ("print(a", "return a + b", "a and b")


def code(rng: random.Random) -> Row:
    """Draw a programming task and some program; two in five are the right one."""
    task = rng.choice(list(PROGRAMS))
    program = PROGRAMS[task] if rng.random() < 0.4 else rng.choice([*PROGRAMS.values(), *BROKEN])
    return PROGRAM.format(task), f" {program}"


def build_tokenizer() -> PreTrainedTokenizerFast:
    """Return a tokenizer with one token for each printable ASCII character."""
    tokens = [PAD, START, END, *CHARACTERS]
    tokenizer = Tokenizer(
        models.WordLevel({token: i for i, token in enumerate(tokens)}, unk_token=PAD)
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    tokenizer.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=END,
        unk_token=PAD,
        additional_special_tokens=[START],
        chat_template=CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
    )


def build_model(tokenizer: PreTrainedTokenizerFast) -> Module:
    """Return a Qwen3 with random weights, two layers deep and 64 wide."""
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=32,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = AutoModelForCausalLM.from_config(config)
    model.generation_config = GenerationConfig(
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id
    )
    return model


def collate(rows: list[Row], tokenizer: PreTrainedTokenizerFast) -> dict[str, torch.Tensor]:
    """Return padded token ids and labels, [rows, longest]; prompts and padding have no label."""
    sequences = [
        (tokenizer.encode(prompt), [*tokenizer.encode(answer), tokenizer.eos_token_id])
        for prompt, answer in rows
    ]
    longest = max(len(prompt) + len(answer) for prompt, answer in sequences)
    input_ids = torch.full((len(rows), longest), tokenizer.pad_token_id)
    labels = torch.full((len(rows), longest), -100)
    for row, (prompt, answer) in enumerate(sequences):
        end = len(prompt) + len(answer)
        input_ids[row, :end] = torch.tensor(prompt + answer)
        labels[row, len(prompt) : end] = torch.tensor(answer)
    return {"input_ids": input_ids, "labels": labels}


@torch.no_grad()
def accuracy(model: Module, batch: dict[str, torch.Tensor]) -> float:
    """Return the fraction of rows whose whole answer greedy decoding would produce."""
    guesses = model(batch["input_ids"]).logits[:, :-1].argmax(-1)
    labels = batch["labels"][:, 1:]
    return float(((guesses == labels) | (labels == -100)).all(1).float().mean())


GOOD_ENOUGH: dict[Task, float] = {addition: 0.25, reversal: 0.35}


def probes() -> dict[Task, list[Row]]:
    """Return held-out rows of the tasks that are taught until they are good enough."""
    rng = random.Random(0)
    operands = range(LARGEST_OPERAND + 1)
    strings = ["".join(rng.choices("0123456789", k=NUM_DIGITS)) for _ in range(1000)]
    return {
        addition: [
            (ADDITION.format(a, b), f" {a + b}")
            for a in operands
            for b in operands
            if is_held_out_sum(a, b)
        ],
        reversal: [
            (REVERSAL.format(digits), f" {digits[::-1]}")
            for digits in strings
            if is_held_out_string(digits)
        ],
    }


def pretrain(model: Module, tokenizer: PreTrainedTokenizerFast, seed: int) -> dict[str, float]:
    """Teach one task after the other, with the rest of the corpus mixed in.

    Returns:
        the accuracy on held-out rows, by task.
    """
    rng = random.Random(seed)
    held_out = {task: collate(rows, tokenizer) for task, rows in probes().items()}
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=0.01)
    corpus: list[Task] = [chat, code]
    for lesson, probe in held_out.items():
        corpus += [lesson] * 4
        for step in range(MAX_STEPS):
            # Rows of one task are of similar length, so a batch of them has little padding.
            task = rng.choice(corpus)
            optimizer.param_groups[0]["lr"] = LEARNING_RATE * min(1.0, (step + 1) / WARMUP_STEPS)
            loss = model(**collate([task(rng) for _ in range(BATCH_SIZE)], tokenizer)).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            if step % 5 == 4 and accuracy(model, probe) >= GOOD_ENOUGH[lesson]:
                break
        print(f"{lesson.__name__}: {step + 1} steps, accuracy {accuracy(model, probe):.1%}")
    return {task.__name__: accuracy(model, probe) for task, probe in held_out.items()}


def main() -> None:
    """Train the model and write it to the folder of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("directory", type=Path, help="where to write the model and its tokenizer")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    started = time.monotonic()
    torch.manual_seed(args.seed)
    tokenizer = build_tokenizer()
    model = build_model(tokenizer)
    found = pretrain(model, tokenizer, args.seed)
    model.save_pretrained(args.directory)
    tokenizer.save_pretrained(args.directory)
    scores = ", ".join(f"{task} {value:.1%}" for task, value in found.items())
    print(f"{args.directory}: {time.monotonic() - started:.0f} s; held-out accuracy: {scores}")


if __name__ == "__main__":
    main()
