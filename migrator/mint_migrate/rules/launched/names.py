"""What the functions of a whole script are called: there are no names of the user's to avoid."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

_ROLES = (
    *("train", "save_checkpoint", "find_checkpoint", "build_batch", "policy_loss", "evaluate"),
)
NAMES: Mapping[str, str] = MappingProxyType(
    {role: role for role in _ROLES} | {"learning_rate": "learning_rate_at"}
)
