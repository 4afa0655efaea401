"""Rule: how the micro-batches of a release make optimizer steps.

A step is `gradient_accumulation_steps` micro-batches. Releases differ in how their losses are
joined, and in what becomes of the micro-batches at the end of an epoch that do not fill a step.
"""

from __future__ import annotations

from dataclasses import dataclass

from mint_migrate.model.plan import Fidelity
from mint_migrate.rules.trl.config import JOINED, ConfigPlan

CODE = "MM235"


@dataclass(frozen=True, slots=True, kw_only=True)
class Windows:
    """What the loop has to know of micro-batches."""

    averages: bool
    """Each micro-batch is averaged by itself."""
    epoch_end: str
    """own_step | own_step_not_counted | carried_over"""

    @property
    def needs_micro_batches(self) -> bool:
        """Whether the loop reads the size and the number of micro-batches."""
        return self.averages or self.epoch_end != "own_step"


def plan_windows(config: ConfigPlan, facts: dict[str, str | bool | int | None]) -> Windows:
    """Decide how micro-batches become steps, and say where the result does it otherwise."""
    several = accumulates(config)
    is_shared = several or config.ledger.options.num_processes > 1
    epoch_end = str(facts["epoch_end"]) if several else "own_step"
    if epoch_end == "carried_over":
        config.ledger.notices.append(
            f"{CODE}: steps go on over the end of an epoch, as in this release; with fewer batches "
            "in an epoch than gradient_accumulation_steps it also took a step at every epoch's end,"
            " the result does not"
        )
    if epoch_end == "own_step_not_counted":
        _say_what_was_lost(config)
        if _counts_steps(config):
            epoch_end = "own_step"
    averages = facts["accumulation"] == "mean_of_micro_batches" and is_shared
    return Windows(averages=averages, epoch_end=epoch_end)


def accumulates(config: ConfigPlan) -> bool:
    """Say whether several micro-batches may make one step."""
    name = JOINED[1]
    return config.has(name) and (config.is_dynamic(name) or config.literal(name) != 1)


def _counts_steps(config: ConfigPlan) -> bool:
    """Say whether the length of training is given in steps."""
    if not config.has("max_steps") or config.is_dynamic("max_steps"):
        return False
    value = config.literal("max_steps")
    return isinstance(value, int) and value > 0


def _say_what_was_lost(config: ConfigPlan) -> None:
    """Rows that the release did not read at the end of an epoch; never with single rows."""
    size = JOINED[0]
    if config.has(size) and not config.is_dynamic(size) and config.literal(size) == 1:
        return
    note = (
        "where rows % gradient_accumulation_steps is not 0 and less than the micro-batches left at "
        "the end of an epoch, this release read only so many of them and added their gradient to "
        "the next step; the result makes a step of all that are left"
    )
    argument = config.arguments[JOINED[1]]
    config.decide(JOINED[1], Fidelity.APPROXIMATE, CODE, "config.batch_size", note)
    config.ledger.differ(argument.found, CODE, note, config.place)
