"""The tokens and the mask of every row are those that TRL's own preparation makes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.pieces import pieces
from support.scripts import LORA, SFT, converted, migrated

TEXTS = [
    {"text": "one short line"},
    {"text": "two " * 40},
    {"text": "é 日本 ends<|endoftext|>"},
    {"text": ""},
]
CHATS = [
    {
        "messages": [
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": "Hello there"},
        ]
    },
    {
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "long " * 40},
            {"role": "assistant", "content": "no"},
        ]
    },
]
PAIRS = [
    {"prompt": "2 + 2 =", "completion": " 4"},
    {"prompt": "say " * 20, "completion": "so " * 30},
]
CHAT_PAIRS = [
    {
        "prompt": [{"role": "user", "content": "Hi"}],
        "completion": [{"role": "assistant", "content": "Hello there"}],
    },
    {
        "prompt": [
            {"role": "system", "content": "Brief."},
            {"role": "user", "content": "Why " * 10},
        ],
        "completion": [{"role": "assistant", "content": "Because"}],
    },
]
# The template of the tiny model, with marks around what the assistant says.
MARKED = """\
{%- for message in messages %}
{{- "<|im_start|>" + message["role"] + "\\n" }}
{%- if message["role"] == "assistant" %}
{%- generation %}{{- message["content"] + "<|im_end|>" }}{%- endgeneration %}
{{- "\\n" }}
{%- else %}
{{- message["content"] + "<|im_end|>\\n" }}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- "<|im_start|>assistant\\n" }}{%- endif %}
"""
PLAIN = MARKED.replace("{%- generation %}", "").replace("{%- endgeneration %}", "")
TALKS = [*CHATS, {"messages": [*CHATS[0]["messages"], *CHATS[1]["messages"][1:]]}]
TOKENS = [{"input_ids": list(range(1, 9))}, {"input_ids": list(range(2, 60))}]
CASES: list[tuple[str, str, list[dict[str, Any]]]] = [
    ("text", "", TEXTS),
    ("text cut", "max_length=16", TEXTS),
    ("text uncut", "max_length=None", TEXTS),
    ("text keep end", "max_length=16, truncation_mode='keep_end'", TEXTS),
    ("text field", "dataset_text_field='body'", [{"body": row["text"]} for row in TEXTS]),
    ("messages", "", CHATS),
    ("messages cut", "max_length=24", CHATS),
    ("prompt completion", "", PAIRS),
    ("prompt completion cut", "max_length=40", PAIRS),
    ("prompt completion all tokens", "completion_only_loss=False", PAIRS),
    ("chat prompt completion", "", CHAT_PAIRS),
    ("chat prompt completion all tokens", "completion_only_loss=False", CHAT_PAIRS),
    ("assistant", "assistant_only_loss=True", TALKS),
    ("assistant cut", "assistant_only_loss=True, max_length=40", TALKS),
    ("assistant in completions", "assistant_only_loss=True", CHAT_PAIRS),
    (
        "assistant in prompts too",
        "assistant_only_loss=True, completion_only_loss=False",
        [{"prompt": TALKS[2]["messages"][:3], "completion": TALKS[2]["messages"][3:]}],
    ),
    ("tokens", "", TOKENS),
    ("tokens cut", "max_length=12", TOKENS),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from mint_runtime.tiny_model import build_tiny_model

    path = tmp_path_factory.mktemp("tiny") / "model"
    build_tiny_model(path, vocab_size=512)
    return path


def theirs(
    folder: Path, fields: dict[str, Any], rows: list[dict[str, Any]]
) -> list[tuple[list[int], list[int]]]:
    """Return (tokens, mask) of the rows as TRL prepares and collates them."""
    from datasets import Dataset
    from transformers import AutoTokenizer
    from trl import SFTConfig, SFTTrainer

    config = SFTConfig(
        output_dir=str(folder / "out"), report_to="none", use_cpu=True, bf16=False, **fields
    )
    tokenizer = AutoTokenizer.from_pretrained(folder)
    if fields.get("assistant_only_loss"):
        tokenizer.chat_template = MARKED
    trainer = SFTTrainer(
        model=str(folder),
        args=config,
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
    )
    found = []
    for row in trainer.train_dataset:
        batch = trainer.data_collator([row])
        labels = batch["labels"][0].tolist()
        found.append((batch["input_ids"][0].tolist(), [int(label != -100) for label in labels]))
    return found


def ours(
    folder: Path, fields: str, rows: list[dict[str, Any]], shown: bool, template: str = MARKED
) -> list[tuple[list[int], list[int]]]:
    """Return (tokens, mask) of the rows as the converted script makes them."""
    from transformers import AutoTokenizer

    script = SFT.format(config=f'output_dir="o", {fields}', lora=LORA, trainer="", after="")
    if shown:
        script = script.replace(
            "dataset = load",
            f"dataset = load_dataset.from_list({rows!r})\ndataset = dataset or load",
        )
    space = pieces(converted(migrated(script)), "tokenize_row")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    if "assistant_only_loss" in fields:
        tokenizer.chat_template = template
    found = []
    for row in rows:
        result = space["tokenize_row"](row, tokenizer, space["config"])
        tokens, mask = result if isinstance(result, tuple) else (result, [1] * len(result))
        found.append((list(tokens), list(mask)))
    return found


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("shown", [False, True], ids=["columns hidden", "columns shown"])
@pytest.mark.parametrize(
    ("fields", "rows"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_rows_become_the_tokens_of_trl(folder, fields, rows, shown):
    given = eval(f"dict({fields})")
    expected = theirs(folder, given, rows)
    found = ours(folder, fields, rows, shown)
    found = [(tokens, mask) for tokens, mask in found if any(mask)]
    assert found == expected


def test_a_template_without_marks_stops_the_script(folder):
    with pytest.raises(ValueError, match="no token of a row is the assistant's"):
        ours(folder, "assistant_only_loss=True", CHATS, shown=True, template=PLAIN)
