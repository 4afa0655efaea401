"""The converted policy optimization with leave-one-out baselines as its templates need it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mint_migrate.model.rollouts_script import RolloutsScript


@dataclass(frozen=True, slots=True, kw_only=True)
class RlooScript(RolloutsScript):
    """Everything `rloo.py.j2` looks at."""

    template: ClassVar[str] = "rloo.py.j2"
    on_policy: bool
    """Each round makes one update: every ratio is 1, and the server's own loss has the gradient."""
    bounds: tuple[str, str]
    """Lowest and highest ratio, as expressions."""
    clips_rewards: bool
    normalizes_advantages: bool
