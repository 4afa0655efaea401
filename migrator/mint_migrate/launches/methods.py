"""The commands of TRL, and the trainers they build."""

from __future__ import annotations

METHODS = {
    "bco": "BCO",
    "cpo": "CPO",
    "distillation": "Distillation",
    "dpo": "DPO",
    "dpo_online": "OnlineDPO",
    "gkd": "GKD",
    "grpo": "GRPO",
    "kto": "KTO",
    "nash_md": "NashMD",
    "online_dpo": "OnlineDPO",
    "orpo": "ORPO",
    "ppo": "PPO",
    "prm": "PRM",
    "reward": "Reward",
    "reward_modeling": "Reward",
    "rloo": "RLOO",
    "sft": "SFT",
    "xpo": "XPO",
}
"""Commands and scripts of TRL, with the name that their trainer and configuration start with."""
