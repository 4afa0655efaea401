"""What the template of verl's generation looks at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mint_migrate.model.launched_script import LaunchedScript


@dataclass(frozen=True, slots=True, kw_only=True)
class VerlGenerationScript(LaunchedScript):
    """A launch of `verl.trainer.main_generation`: nothing is trained."""

    template: ClassVar[str] = "verl_generation.py.j2"
    headline: ClassVar[str] = "Responses to the prompts of a file"
    sampling: tuple[tuple[str, str], ...]
    """(name, expression) of the sampling parameters."""
