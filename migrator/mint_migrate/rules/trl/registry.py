"""The trainers that are converted. Each is one `TrainerKind` in a folder of its own."""

from __future__ import annotations

from mint_migrate.rules.trl.dpo.kind import DPO
from mint_migrate.rules.trl.kind import TrainerKind
from mint_migrate.rules.trl.sft.kind import SFT

KINDS: dict[str, TrainerKind] = {kind.trainer: kind for kind in (DPO, SFT)}
"""By canonical name of the trainer."""
