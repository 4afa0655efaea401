"""The entry points that a launcher may start, and who plans each."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass

from mint_migrate.launches.entries import rows_of
from mint_migrate.launches.processes import Read
from mint_migrate.model.launched_script import LaunchedScript
from mint_migrate.rules.launched.settings import Owner, Settings
from mint_migrate.tables.lookup import Tables

Planner = Callable[[Settings, Read], LaunchedScript]

_PLANNERS = {
    ("verl", "main_ppo"): "verl.rl.plan_rl",
    ("verl", "main_dapo"): "verl.rl.plan_rl",
    ("openrlhf", "train_ppo_ray"): "openrlhf.rl.plan_rl",
    ("openrlhf", "train_ppo"): "openrlhf.rl.plan_rl",
    ("openrlhf", "train_sft"): "openrlhf.sft.plan_sft",
    ("openrlhf", "train_dpo"): "openrlhf.dpo.plan_dpo",
    ("openrlhf", "train_kto"): "openrlhf.kto.plan_kto",
    ("openrlhf", "train_rm"): "openrlhf.reward_model.plan_reward_model",
    ("verl", "main_generation"): "verl.generation.plan_generation",
    ("verl", "fsdp_sft_trainer"): "verl.sft.plan_sft",
    ("verl", "sft_trainer"): "verl.sft.plan_sft",
}
"""Where the planner of an entry point is, below `rules`: read when it is needed."""
_UNKNOWN = {"verl": "MM307", "openrlhf": "MM406"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One entry point."""

    owner: Owner

    @property
    def plan(self) -> Planner:
        """Return what fills the record of a launch.

        It raises `Blocked` where a training cannot be converted.
        """
        place = _PLANNERS.get((self.owner.framework, self.owner.entry), "launched.refused.refuse")
        module, _, name = place.rpartition(".")
        planner: Planner = getattr(importlib.import_module(f"mint_migrate.rules.{module}"), name)
        return planner

    def canonical(self, name: str, tables: Tables) -> str:
        """Return the name under which rules know an option."""
        if self.owner.framework != "openrlhf":
            return name
        flat = {new: old for old, new in tables.renamed_flags(self.owner.entry).items()}
        return flat.get(name, name)

    def infer_version(self, keys: frozenset[str], tables: Tables) -> tuple[str, tuple[str, ...]]:
        """Return the newest release that has most of the options, and what says so."""
        framework, entry = self.owner.framework, self.owner.entry
        releases = tables.releases(framework)
        missing = {
            release: keys - tables.config_keys(framework, entry, release) for release in releases
        }
        best = min(reversed(releases), key=lambda release: len(missing[release]))
        newest = releases[-1]
        if best == newest:
            return best, ("the newest recorded release has most of the options",)
        gone = sorted(missing[newest] - missing[best])
        shown = ", ".join(f"`{name}`" for name in gone[:4])
        return best, (f"{shown} {'is' if len(gone) == 1 else 'are'} in no later release",)


def entry_named(framework: str, entry: str) -> Entry:
    """Return an entry point of a framework."""
    rows = rows_of(framework, entry)
    return Entry(
        owner=Owner(framework=framework, entry=entry, rows=rows, unknown=_UNKNOWN[framework])
    )
