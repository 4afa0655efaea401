"""Whether a file may use a source framework at all: one cheap look at its bytes."""

from __future__ import annotations

import re

MENTION = re.compile(rb"\b(?:trl|peft|transformers|accelerate|bitsandbytes|unsloth|deepspeed)\b")
TRAINER = re.compile(rb"^[ \t]*class[ \t]+\w*Trainer\b", re.MULTILINE)


def mentions_source_package(content: bytes) -> bool:
    """Say whether the bytes name a source package anywhere; False means there is nothing to do."""
    return MENTION.search(content) is not None


def defines_trainer(content: bytes) -> bool:
    """Say whether the bytes define a class that is called a trainer."""
    return TRAINER.search(content) is not None
