"""The small world in which the scripts of `fixtures/before/trl_old` train.

A model, tokenizers, rows and the adapter that training starts from, all computed from constants:
the same bytes under every release of the libraries, so that figures recorded with an old release
can be compared later without it. Needs nothing but torch and safetensors, and therefore runs in the
environment of any release of TRL.
"""

from __future__ import annotations

import hashlib
import json
import random
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

PAD, BOS, START, END = "<|pad|>", "<s>", "<|im_start|>", "<|im_end|>"
SPECIAL = (PAD, BOS, START, END)
VOCABULARY, WIDTH, INNER, LAYERS, HEADS = 320, 32, 64, 2, 2
RANK, ALPHA = 4, 8
CONTEXT = 4096
SEED = 20240229
NUM_ROWS = 26
"""Not a multiple of any batch size in the scripts: every epoch ends on an incomplete batch."""
NUM_MARKS = 28

# Pairs that are joined, in order. The last ones reach over the end of a prompt into its completion.
MERGES = (
    *(("t", "h"), ("th", "e"), ("Ġ", "the"), ("i", "n"), ("a", "n"), ("an", "d"), ("Ġ", "and")),
    *(("e", "r"), ("o", "n"), ("Ġ", "s"), ("Ġ", "w"), ("o", "u"), ("r", "e"), ("Ġ", "o")),
    *(("Ġ", "a"), ("Ġ", "b"), ("a", "t"), ("i", "s"), ("e", "n"), ("l", "l"), ("Ġ", "c")),
)

_TURN = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
MODELS: dict[str, dict[str, Any]] = {
    "tiny/chatml": {"pad": PAD, "template": _TURN},
    "tiny/bos": {"pad": PAD, "template": "{{ bos_token }}" + _TURN, "bos": BOS},
    "tiny/pad-is-eos": {"pad": END, "template": _TURN},
    "tiny/no-pad": {"pad": None, "template": _TURN},
    "tiny/short": {"pad": PAD, "template": _TURN, "limit": 40},
}
"""Model name -> what is special about its tokenizer. The weights are the same."""

WORDS = [
    "the",
    "and",
    "one",
    "other",
    "water",
    "stone",
    "river",
    "winter",
    "summer",
    "house",
    "garden",
    "window",
    "morning",
    "evening",
    "reads",
    "writes",
    "walks",
    "carries",
    "answers",
    "finds",
    "keeps",
    "small",
    "large",
    "green",
    "quiet",
    "open",
    "under",
    "over",
    "between",
]


def write_world(folder: Path) -> None:
    """Write every model and every data file below *folder*, under the names that scripts use."""
    for name in MODELS:
        write_model(folder / name, name)
    for name, rows in make_rows().items():
        text = "".join(json.dumps(row) + "\n" for row in rows)
        target = folder / "data" / f"{name}.jsonl"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")


def write_model(folder: Path, name: str) -> None:
    """Write configuration, weights and tokenizer in forms that old and new releases read."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": VOCABULARY,
        "hidden_size": WIDTH,
        "intermediate_size": INNER,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": HEADS,
        "max_position_embeddings": CONTEXT,
        "rms_norm_eps": 1e-6,
        "rope_theta": 10000.0,
        "hidden_act": "silu",
        "attention_dropout": 0.0,
        "tie_word_embeddings": False,
        "torch_dtype": "float32",
        "bos_token_id": SPECIAL.index(BOS),
        "eos_token_id": SPECIAL.index(END),
        "pad_token_id": SPECIAL.index(PAD),
    }
    (folder / "config.json").write_text(json.dumps(config, indent=2), encoding="utf-8")
    save_file(model_weights(), str(folder / "model.safetensors"), metadata={"format": "pt"})
    (folder / "tokenizer.json").write_text(json.dumps(_tokenizer(name)), encoding="utf-8")
    settings = _tokenizer_settings(name)
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")


def model_weights() -> dict[str, torch.Tensor]:
    """Return the weights of the base model, drawn in the order of their sorted names."""
    shapes: dict[str, tuple[int, ...]] = {
        "model.embed_tokens.weight": (VOCABULARY, WIDTH),
        "lm_head.weight": (VOCABULARY, WIDTH),
        "model.norm.weight": (WIDTH,),
    }
    for layer in range(LAYERS):
        prefix = f"model.layers.{layer}."
        shapes[f"{prefix}input_layernorm.weight"] = (WIDTH,)
        shapes[f"{prefix}post_attention_layernorm.weight"] = (WIDTH,)
        shapes |= {f"{prefix}{name}.weight": shape for name, shape in _linear_shapes().items()}
    return _draw(shapes, scale=0.15)


def _linear_shapes() -> dict[str, tuple[int, int]]:
    """Return (out, in) of the linear layers of one block."""
    attention = {f"self_attn.{name}_proj": (WIDTH, WIDTH) for name in "qkvo"}
    return attention | {
        "mlp.gate_proj": (INNER, WIDTH),
        "mlp.up_proj": (INNER, WIDTH),
        "mlp.down_proj": (WIDTH, INNER),
    }


def adapter_weights() -> dict[str, torch.Tensor]:
    """Return the adapter that training starts from, by the names of its file: A and B not zero."""
    shapes: dict[str, tuple[int, ...]] = {}
    for layer in range(LAYERS):
        for name, (size_out, size_in) in _linear_shapes().items():
            prefix = f"base_model.model.model.layers.{layer}.{name}"
            shapes[f"{prefix}.lora_A.weight"] = (RANK, size_in)
            shapes[f"{prefix}.lora_B.weight"] = (size_out, RANK)
    return _draw(shapes, scale=0.1)


def _draw(shapes: dict[str, tuple[int, ...]], scale: float) -> dict[str, torch.Tensor]:
    """Draw every tensor from its own generator; vectors are scales of a norm, around 1."""
    tensors = {}
    for number, name in enumerate(sorted(shapes)):
        generator = torch.Generator().manual_seed(SEED + number)
        drawn = scale * torch.randn(shapes[name], generator=generator)
        tensors[name] = 1.0 + drawn if len(shapes[name]) == 1 else drawn
    return tensors


def write_adapter(folder: Path) -> None:
    """Write the adapter in peft format."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "r": RANK,
        "lora_alpha": ALPHA,
        "lora_dropout": 0.0,
        "bias": "none",
        "target_modules": sorted({name.rsplit(".", 1)[-1] for name in _linear_shapes()}),
        "base_model_name_or_path": "tiny",
        "inference_mode": True,
    }
    (folder / "adapter_config.json").write_text(json.dumps(config), encoding="utf-8")
    save_file(adapter_weights(), str(folder / "adapter_model.safetensors"))


def adapter_digest() -> str:
    """Return a SHA-256 over the adapter's numbers: whether another torch draws the same."""
    digest = hashlib.sha256()
    for name, tensor in sorted(adapter_weights().items()):
        digest.update(name.encode() + tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()


def load_adapter(model: torch.nn.Module) -> int:
    """Overwrite the LoRA weights of a peft model with `adapter_weights`; return how many there are.

    Raises:
        AssertionError: the model's adapter is another one, such as one of another rank.
    """
    start = adapter_weights()
    found = {
        name.replace(".default.", "."): parameter
        for name, parameter in model.named_parameters()
        if ".lora_" in name
    }
    assert found.keys() == start.keys(), sorted(found.keys() ^ start.keys())
    with torch.no_grad():
        for name, parameter in found.items():
            parameter.copy_(start[name])
    return len(found)


def _byte_letters() -> list[str]:
    """Return the letters that byte-level vocabularies write for the bytes 0 to 255."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    moved = iter(range(256, 512))
    return [chr(byte if byte in plain else next(moved)) for byte in range(256)]


def _tokenizer(name: str) -> dict[str, Any]:
    """Return the content of `tokenizer.json`: bytes and a few merges, written in the older form."""
    pieces = [*SPECIAL, *_byte_letters(), *("".join(pair) for pair in MERGES)]
    settings = MODELS[name]
    template = {
        "type": "TemplateProcessing",
        "single": [
            {"SpecialToken": {"id": BOS, "type_id": 0}},
            {"Sequence": {"id": "A", "type_id": 0}},
        ],
        "pair": [
            {"Sequence": {"id": "A", "type_id": 0}},
            {"Sequence": {"id": "B", "type_id": 1}},
        ],
        "special_tokens": {BOS: {"id": BOS, "ids": [SPECIAL.index(BOS)], "tokens": [BOS]}},
    }
    byte_level = {
        "type": "ByteLevel",
        "add_prefix_space": False,
        "trim_offsets": True,
        "use_regex": True,
    }
    added = [
        {
            "id": index,
            "content": token,
            "single_word": False,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
            "special": True,
        }
        for index, token in enumerate(SPECIAL)
    ]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "normalizer": None,
        "pre_tokenizer": byte_level,
        "post_processor": template if "bos" in settings else None,
        "decoder": byte_level,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "vocab": {piece: index for index, piece in enumerate(pieces)},
            "merges": [" ".join(pair) for pair in MERGES],
        },
    }


def _tokenizer_settings(name: str) -> dict[str, Any]:
    settings = MODELS[name]
    content = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": END,
        "additional_special_tokens": [START],
        "chat_template": settings["template"],
        "model_max_length": settings.get("limit", CONTEXT),
        "clean_up_tokenization_spaces": False,
        "padding_side": "right",
    }
    if settings["pad"] is not None:
        content["pad_token"] = settings["pad"]
    if "bos" in settings:
        content["bos_token"] = BOS
    return content


def make_rows() -> dict[str, list[dict[str, Any]]]:
    """Return the rows of every data file by its name; lengths differ widely from row to row."""
    source = random.Random(SEED)

    def say(lowest: int, highest: int) -> str:
        return " ".join(source.choices(WORDS, k=source.randint(lowest, highest)))

    rows: dict[str, list[dict[str, Any]]] = {
        name: []
        for name in (
            *("text", "content", "long", "messages", "conversations", "sharegpt"),
            *("pairs", "chat_pairs", "instructions"),
        )
    }
    for number in range(NUM_ROWS):
        words = 3 if number % 3 else 30
        question, answer = f"Why {say(2, words)}?", f"Because {say(1, words)}."
        # Two of three rows end with the end token already, or almost.
        ending = ("", END, f"{END}\n")[number % 3]
        rows["text"].append({"text": f"{question} {answer}"})
        rows["content"].append({"content": f"{question} {answer}{ending}", "number": number})
        rows["long"].append({"text": say(600, 900) if number % 5 == 0 else f"{question} {answer}"})
        turns = [
            {"role": "user", "content": question},
            {"role": "assistant", "content": answer},
        ]
        if number % 2:
            turns += [
                {"role": "user", "content": say(1, 4)},
                {"role": "assistant", "content": say(1, 9)},
            ]
        rows["messages"].append({"messages": turns})
        rows["conversations"].append({"conversations": turns})
        names = {"user": "human", "assistant": "gpt"}
        rows["sharegpt"].append(
            {
                "conversations": [
                    {"from": names[turn["role"]], "value": turn["content"]} for turn in turns
                ]
            }
        )
        # Half of the prompts end with a space, which the first word of the completion takes over.
        gap = (" ", "\n")[number % 2]
        rows["pairs"].append({"prompt": f"{question}{gap}", "completion": f"and {answer}{ending}"})
        rows["chat_pairs"].append({"prompt": turns[:1], "completion": turns[1:2]})
        rows["instructions"].append({"instruction": question, "output": answer})
    return rows | _make_preferences() | {"marks": _make_marks()}


def _make_marks() -> list[dict[str, Any]]:
    """Return rows of one answer with a mark, as text, which fill steps of four."""
    source = random.Random(SEED + 2)

    def say(lowest: int, highest: int) -> str:
        return " ".join(source.choices(WORDS, k=source.randint(lowest, highest)))

    return [
        {
            # Some prompts are longer than the scripts allow, and some end with a space.
            "prompt": f"Why {say(2, 40 if number % 5 == 0 else 4)}?{(' ', '')[number % 2]}",
            "completion": f"the {say(1, 30 if number % 7 == 0 else 9)}",
            "label": number % 3 != 0,
        }
        for number in range(NUM_MARKS)
    ]


def _make_preferences() -> dict[str, list[dict[str, Any]]]:
    """Return rows of two answers each: as text, as conversations, and without a prompt."""
    source = random.Random(SEED + 1)

    def say(lowest: int, highest: int) -> str:
        return " ".join(source.choices(WORDS, k=source.randint(lowest, highest)))

    rows: dict[str, list[dict[str, Any]]] = {
        name: [] for name in ("preferences", "chat_preferences", "implicit")
    }
    for number in range(NUM_ROWS):
        question = f"Why {say(2, 25 if number % 4 == 0 else 4)}?"
        # Some prompts end with a space, which an answer's first word takes over.
        gap = (" ", "\n", "")[number % 3]
        ending = ("", END)[number % 5 == 0]
        better, worse = f"the {say(1, 12)}{ending}", f"and {say(1, 20 if number % 3 else 3)}"
        rows["preferences"].append(
            {"prompt": f"{question}{gap}", "chosen": better, "rejected": worse}
        )
        turns = [{"role": "user", "content": question}]
        if number % 3 == 0:
            turns += [
                {"role": "assistant", "content": say(1, 4)},
                {"role": "user", "content": say(1, 4)},
            ]
        answers = [[{"role": "assistant", "content": text}] for text in (better, worse)]
        rows["chat_preferences"].append(
            {"prompt": turns, "chosen": answers[0], "rejected": answers[1]}
        )
        rows["implicit"].append({"chosen": turns + answers[0], "rejected": turns + answers[1]})
    return rows
