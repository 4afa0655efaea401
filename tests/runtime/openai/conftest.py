"""A service over a fake engine whose base model has a real tokenizer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.fake_engine import FakeEngine
from support.service import Api, running_api


@pytest.fixture(scope="session")
def tokenizer(tiny_directory: Path) -> Any:
    """Return the tokenizer of the tiny model."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(tiny_directory)


@pytest.fixture
def api(tmp_path: Path, tiny_directory: Path) -> Iterator[Api]:
    """Yield a service whose fake engine draws what a test tells it to."""
    with running_api(tmp_path / "state", engine=FakeEngine(str(tiny_directory))) as running:
        yield running


@pytest.fixture
def draws(api: Api, tokenizer: Any) -> Callable[..., list[int]]:
    """Return a function that makes the engine draw a text, by default with a stop token behind."""

    def set_text(text: str, *, ends: bool = True) -> list[int]:
        tokens = tokenizer.encode(text, add_special_tokens=False)
        api.engine.tokens = [*tokens, tokenizer.eos_token_id] if ends else tokens
        api.engine.stop_reason = "stop" if ends else "length"
        return tokens

    return set_text
