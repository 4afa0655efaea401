"""`GMPOTrainer(...)` is GRPO with a loss of its own; everything else is GRPO's.

The ratio of a completion is the geometric mean of its tokens' ratios, each clipped in log space on
the side that its advantage pushes to. Formulas: TRL v1.16.0, `experimental/gmpo/gmpo_trainer.py`.
"""

from __future__ import annotations

from dataclasses import replace

from mint_migrate.rules.trl.grpo.kind import GRPO
from mint_migrate.rules.trl.grpo.loss import UNREAD_BY_GEOMETRIC

GMPO = replace(
    GRPO,
    trainer="trl.GMPOTrainer",
    config="trl.GMPOConfig",
    short="gmpo",
    headline="Geometric-mean policy optimization",
    decided=GRPO.decided | UNREAD_BY_GEOMETRIC,
    positional=lambda version: ("model", "reward_funcs", "args"),
)
