"""Whether a file may use a source framework at all: one cheap look at its bytes."""

from __future__ import annotations

import re

PACKAGES = (
    *(b"trl", b"peft", b"transformers", b"accelerate", b"bitsandbytes", b"unsloth", b"deepspeed"),
)
LIBRARIES = (b"verl", b"openrlhf")
MENTION = re.compile(rb"\b(?:%s)\b" % b"|".join(PACKAGES + LIBRARIES))
OTHERS = (*LIBRARIES, b"tinker", b"minpost")
"""Further source frameworks, which the inventory lists."""
_LISTED = re.compile(rb"\b(?:%s)" % b"|".join(PACKAGES + OTHERS))
LAUNCHED: tuple[bytes, ...] = (
    b"distributed_type",
    b"per_device_train_batch_size",
    b"model_name_or_path",
)
LAUNCHED += (b"gradient_accumulation_steps", b"num_train_epochs", b"lr_scheduler_type")
"""What configuration files of trainings and launchers hold."""
SCORING = re.compile(
    rb"^(?:async[ \t]+)?def[ \t]+(?:\w*score\w*|reward_func|step)\b|^class[ \t]+AgentExecutor\b",
    re.MULTILINE,
)
TRAINER = re.compile(rb"^[ \t]*class[ \t]+\w*Trainer\b", re.MULTILINE)
# A name in an import, a string given to importlib, or a launcher's `-m`; not a part of a word.
# Our own outputs are looked at as well, for the markers in them.
_WORTH_PARSING = re.compile(
    rb"(?<![\w.])(?:trl|unsloth|verl|openrlhf)(?![\w-])"
    rb"|[\n\" ]mint-migrate \S+, sha256 [0-9a-f]{16}"
)
# Looking for a plain substring is twenty times faster than for an expression.
_NEEDED = (b"trl", b"unsloth", *LIBRARIES, b"mint-migrate ")


def mentions_source_package(content: bytes) -> bool:
    """Say whether the bytes name a source package anywhere; False means there is nothing to do."""
    return MENTION.search(content) is not None


def defines_trainer(content: bytes) -> bool:
    """Say whether the bytes define a class that is called a trainer."""
    return TRAINER.search(content) is not None


def scores_responses(content: bytes) -> bool:
    """Say whether the bytes may define what a launcher of verl or OpenRLHF calls."""
    return SCORING.search(content) is not None


def is_worth_parsing(content: bytes) -> bool:
    """Say whether the bytes may be a script to migrate, or one of our outputs."""
    if not any(word in content for word in _NEEDED):
        return False
    return _WORTH_PARSING.search(content) is not None


def may_use_framework(content: bytes, *, is_config: bool) -> bool:
    """Say whether the bytes may hold a use that the inventory lists, in a configuration or else."""
    if is_config:
        return any(word in content for word in LAUNCHED)
    if not any(word in content for word in PACKAGES + OTHERS):
        return False
    return _LISTED.search(content) is not None
