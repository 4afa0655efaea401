"""Rule: how completions make rounds of samples and optimizer steps.

TRL counts completions, not prompts: a step has `per_device_train_batch_size` times
`gradient_accumulation_steps` times processes of them. A round may be larger than a step
(`generation_batch_size`, `steps_per_generation`) and be used several times (`num_iterations`).
"""

from __future__ import annotations

import ast

from mint_migrate.model.plan import Fidelity
from mint_migrate.model.rollouts_script import RoundsScript
from mint_migrate.rules.base import Blocked
from mint_migrate.rules.trl.config import JOINED, ConfigPlan, factor, plan_batch

Facts = dict[str, str | bool | int | None]

ROUND_FIELDS = frozenset(
    {"num_generations", "generation_batch_size", "steps_per_generation", "num_iterations"}
)
"""Fields of every configuration that samples, decided here."""


def plan_rounds(
    config: ConfigPlan, facts: Facts, group: str, *, averages_micro_batches: bool
) -> RoundsScript:
    """Decide the sizes of steps and rounds.

    Args:
        config: the configuration.
        facts: what holds in the release.
        group: the field with the number of completions of a prompt.
        averages_micro_batches: the loss takes a mean over each micro-batch.

    Raises:
        Blocked: a round and a step do not fit together.
    """
    _group(config, group)
    counted = () if facts["grpo_batch_counts"] == "completions" else (group,)
    raised = group if not counted and _is_raised(config, group) else None
    plan_batch(
        config, averages_micro_batches, unit="completions", times=counted, in_place_of=raised
    )
    parts = _parts(config)
    iterations = _iterations(config)
    config.exact("dataloader_drop_last", "prompt_order()", "a round is never smaller than others")
    config.exact(
        "train_sampling_strategy", "prompt_order()", "`shuffle_dataset` orders prompts, not this"
    )
    _say_prompts(config, group)
    if facts["grpo_epoch_rest"] == "kept":
        config.ledger.notices.append(
            "MM235: prompts at the end of an epoch that do not fill a step made a smaller one in "
            "this release; the result leaves them out, as later releases do"
        )
    return RoundsScript(
        size="config.round_size" if parts else "config.batch_size",
        parts=parts,
        iterations=iterations,
        order=prompt_order(config, facts),
        draws_parts=_draws(config, facts, bool(parts), averages_micro_batches),
    )


def _is_raised(config: ConfigPlan, group: str) -> bool:
    """Say whether unsloth trains with *group* rows a process, and not with those given.

    It does where they do not make whole groups: those of a step, or, in releases of TRL without
    `steps_per_generation`, those of a process.
    """
    imports = config.ledger.facts.imports
    if not any(item.qualified.split(".", 1)[0] == "unsloth" for item in imports):
        return False
    if any(_given(config, name) for name in ("generation_batch_size", "steps_per_generation")):
        return False
    sizes = [config.text(name) or config.default(name) for name in (*JOINED, group)]
    numbers = [None if text is None else _number(text) for text in sizes]
    per_device, accumulation, generations = numbers
    if per_device is None or accumulation is None or not generations:
        return False
    counts_steps = config.default("steps_per_generation") is not None
    processes = config.ledger.options.num_processes
    rows = per_device * accumulation * processes if counts_steps else per_device
    if rows % generations == 0:
        return False
    config.ledger.notices.append(
        f"unsloth takes {generations} for the batch size of {per_device}, so that a step holds "
        f"whole groups of {group}"
    )
    return True


def _group(config: ConfigPlan, group: str) -> None:
    if config.has(group):
        config.keep(group)
    config.need(group)


def _parts(config: ConfigPlan) -> str:
    """Return how many optimizer steps a round makes, as an expression; "" for one."""
    size = _given(config, "generation_batch_size")
    count = _given(config, "steps_per_generation")
    per_device = config.text(JOINED[0]) or config.default(JOINED[0]) or "8"
    if size is None and count is None:
        for name in ("generation_batch_size", "steps_per_generation"):
            config.exact(name, "config.batch_size", "a round is one step")
        return ""
    if size is not None and count is not None:
        raise Blocked(
            "MM292", "`generation_batch_size` and `steps_per_generation` exclude each other"
        )
    processes = config.ledger.options.num_processes
    factors = [factor(per_device), factor(count)] if count is not None else [factor(size or "")]
    factors += [str(processes)] if processes != 1 and count is not None else []
    text = " * ".join(factors)
    name = "generation_batch_size" if size is not None else "steps_per_generation"
    round_size, step_size = _number(text), _number(config.fields["batch_size"].text)
    if round_size is not None and step_size is not None:
        if round_size == step_size:
            config.exact(name, "config.batch_size", "a round is one step")
            return ""
        if round_size % step_size:
            raise Blocked(
                "MM292",
                f"a round of {round_size} completions is not a whole number of steps of "
                f"{step_size}; set `{name}` so that it is",
                config.arguments[name].found,
            )
    config.put("round_size", text, like=name, trailing="# completions that are sampled together")
    config.exact(name, "config.round_size")
    return "(config.round_size // config.batch_size)"


def _given(config: ConfigPlan, name: str) -> str | None:
    text = config.text(name)
    return None if text == "None" else text


def _number(text: str) -> int | None:
    """Return the value of a product of literals."""
    value = 1
    for part in text.split(" * "):
        try:
            number = ast.literal_eval(part)
        except (ValueError, SyntaxError):
            return None
        if not isinstance(number, int):
            return None
        value *= number
    return value


def _iterations(config: ConfigPlan) -> str:
    name = "num_iterations"
    if not config.has(name):
        return ""
    if not config.is_dynamic(name) and config.literal(name) == 1:
        config.exact(name, "the loop", "each round is used once")
        return ""
    config.keep(name)
    return f"config.{name}"


def prompt_order(config: ConfigPlan, facts: Facts) -> str:
    """Return how prompts are ordered: run, epochs or sequential."""
    name = "shuffle_dataset"
    if config.has(name):
        shuffles = config.literal(name)
        config.exact(name, "prompt_order()")
        if shuffles is False:
            return "sequential"
    return str(facts["grpo_prompt_order"])


def _draws(config: ConfigPlan, facts: Facts, parts: bool, micro_batches: bool) -> bool:
    """Say whether it matters that the release shuffles a round before it cuts it."""
    if not facts["grpo_shuffles_round"] or not (parts or micro_batches):
        return False
    note = (
        "which completions of a round share a step or micro-batch was drawn from the global "
        "random state; the result draws it with `seed`"
    )
    names = ("generation_batch_size", "steps_per_generation", JOINED[1], JOINED[0])
    name = next((item for item in names if config.has(item)), None)
    if name is None:
        config.ledger.notices.append(f"MM215: {note}")
        return True
    found = config.arguments[name].found
    target = config.ledger.decisions.pop(found).target
    config.decide(name, Fidelity.APPROXIMATE, "MM215", target, note)
    config.ledger.differ(found, "MM215", note, config.place)
    return True


def _say_prompts(config: ConfigPlan, group: str) -> None:
    """Say in the report how many prompts a round has, and how that follows."""
    size = config.fields.get("round_size") or config.fields["batch_size"]
    each = config.fields[group].text
    completions, generations = _number(size.text), _number(each)
    if completions is None or generations is None:
        config.ledger.notices.append(
            f"a round has ({size.text}) / ({each}) prompts: completions / {group}"
        )
        return
    if completions % generations:
        raise Blocked(
            "MM292",
            f"a round of {completions} completions does not hold whole groups of {generations}; "
            "if the launcher started several processes, pass --num-processes N",
        )
    config.ledger.notices.append(
        f"a round has {completions // generations} prompts: {completions} completions / "
        f"{generations} {group}"
    )
