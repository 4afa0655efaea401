"""The trainers that are converted. Each is one `TrainerKind` in a folder of its own."""

from __future__ import annotations

from mint_migrate.rules.trl.cpo.kind import CPO
from mint_migrate.rules.trl.dpo.kind import DPO
from mint_migrate.rules.trl.grpo.kind import GRPO
from mint_migrate.rules.trl.kind import TrainerKind
from mint_migrate.rules.trl.kto.kind import KTO
from mint_migrate.rules.trl.online_dpo.kind import ONLINE_DPO
from mint_migrate.rules.trl.orpo.kind import ORPO
from mint_migrate.rules.trl.ppo.kind import PPO, PPO_V2
from mint_migrate.rules.trl.reward.kind import REWARD
from mint_migrate.rules.trl.rloo.kind import RLOO
from mint_migrate.rules.trl.sft.kind import SFT

_ALL = (
    CPO,
    DPO,
    GRPO,
    KTO,
    ONLINE_DPO,
    ORPO,
    PPO,
    PPO_V2,
    REWARD,
    RLOO,
    SFT,
)
KINDS: dict[str, TrainerKind] = {kind.trainer: kind for kind in _ALL}
"""By canonical name of the trainer."""
