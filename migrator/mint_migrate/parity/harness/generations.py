"""Write down every completion that the original generates, for the runtime to answer with.

Whatever a trainer is called, it generates through `GenerationMixin.generate`; there the padding is
taken off again. A completion ends with its first end-of-sequence token. The file exists from the
first completion on that training asks for; it then also holds those that the script generated
before training. Where training takes its first step without one, nothing is written: the script
does not train on what it generates.
"""

from __future__ import annotations

import functools
import importlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mint_migrate.parity.harness.spec import REPLAY

Line = dict[str, object]


class Generations:
    """Collects completions of one process and decides whether they are written."""

    def __init__(self, output: Path) -> None:
        self.file = output / REPLAY
        self.step = 0
        self.is_training = False
        self._is_wanted: bool | None = None
        self._before: list[Line] = []

    @property
    def are_trained_on(self) -> bool:
        """Tell whether training asks for completions."""
        return bool(self._is_wanted)

    def add(self, lines: list[Line]) -> None:
        """Take completions in the order of their prompts."""
        if self.is_training and self._is_wanted is None:
            self._is_wanted = True
        if self._is_wanted is None:
            self._before += lines
            return
        if self._is_wanted:
            with self.file.open("a", encoding="utf-8") as file:
                file.writelines(json.dumps(line) + "\n" for line in (*self._before, *lines))
        self._before = []

    def stepped(self) -> None:
        """Note that an optimizer step has been taken."""
        self.step += 1
        self._is_wanted = bool(self._is_wanted)


def record_generations(output: Path) -> Generations:
    """Make every model of this process note what it generates, from now on."""
    generations = Generations(output)
    owner = importlib.import_module("transformers").GenerationMixin
    generate = owner.generate

    @functools.wraps(generate)
    def recorded(self: Any, *args: Any, **kwargs: Any) -> Any:
        found = generate(self, *args, **kwargs)
        tokens = args[0] if args else kwargs.get("input_ids", kwargs.get("inputs"))
        if tokens is not None and not self.config.is_encoder_decoder:
            stops = _stop_tokens(self, args, kwargs)
            generations.add(
                list(
                    completions_of(
                        tokens, kwargs.get("attention_mask"), found, stops, generations.step
                    )
                )
            )
        return found

    owner.generate = recorded
    return generations


def _stop_tokens(model: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> frozenset[int]:
    """Return the tokens after which a row is padding."""
    config = kwargs.get("generation_config", args[1] if len(args) > 1 else None)
    ends = kwargs.get("eos_token_id", (config or model.generation_config).eos_token_id)
    if ends is None:
        return frozenset()
    return frozenset(ends if isinstance(ends, list | tuple) else [int(ends)])


def completions_of(
    tokens_BP: Any, mask_BP: Any, found: Any, stops: frozenset[int], step: int
) -> Iterator[Line]:
    """Yield a line per generated row: B prompts of P columns, each continued equally often."""
    rows = getattr(found, "sequences", found).tolist()
    prompts = tokens_BP.tolist()
    masks = mask_BP.tolist() if mask_BP is not None else [[1] * len(row) for row in prompts]
    per_prompt = len(rows) // len(prompts)
    for number, row in enumerate(rows):
        prompt, mask = prompts[number // per_prompt], masks[number // per_prompt]
        completion = row[len(prompt) :]
        length = next((n for n, token in enumerate(completion, 1) if token in stops), None)
        yield {
            "step": step,
            "prompt": [token for token, is_real in zip(prompt, mask, strict=True) if is_real],
            "completion": completion[:length],
        }
