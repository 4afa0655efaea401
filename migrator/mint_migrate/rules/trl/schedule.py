"""Rule: `lr_scheduler_type`, its arguments and the warm-up become one function of the step.

Formulas: transformers v5.23.0, `optimization.py`, one branch for each schedule it names.
"""

from __future__ import annotations

import ast

from mint_migrate.model.plan import Fidelity
from mint_migrate.model.script import Schedule
from mint_migrate.rules.base import Blocked
from mint_migrate.rules.trl.config import ConfigPlan

WITHOUT_WARMUP = frozenset({"constant"})
ENUM_PREFIXES = ("SchedulerType.", "transformers.SchedulerType.", "IntervalStrategy.")


def plan_schedule(config: ConfigPlan) -> Schedule:
    """Decide schedule and warm-up.

    Raises:
        Blocked: the schedule is one that cannot be computed from the step.
    """
    kind = scheduler_kind(config)
    warmup = _plan_warmup(config, kind)
    options = _options(config)
    if kind == "any":
        config.put("lr_scheduler_type", config.text("lr_scheduler_type") or "")
        config.decide(
            "lr_scheduler_type",
            Fidelity.APPROXIMATE,
            "MM212",
            "config.lr_scheduler_type",
            "chosen at run time; linear, cosine, constant and constant_with_warmup are understood",
        )
    else:
        config.exact("lr_scheduler_type", "learning_rate_at()")
    if kind == "any" and options:
        raise Blocked(
            "MM212",
            "`lr_scheduler_kwargs` belongs to a schedule that is only known at run time",
            config.arguments["lr_scheduler_kwargs"].found,
        )
    config.exact("lr_scheduler_kwargs", "learning_rate_at()")
    return _build(config, kind, warmup, options)


def scheduler_kind(config: ConfigPlan) -> str:
    """Return the schedule's name, or `any` where it is only known at run time."""
    argument = config.arguments.get("lr_scheduler_type")
    if argument is None:
        return str(config.literal("lr_scheduler_type") or "linear")
    if argument.value.literal is not None:
        return str(ast.literal_eval(argument.value.literal))
    for prefix in ENUM_PREFIXES:
        if argument.value.text.startswith(prefix):
            return argument.value.text.removeprefix(prefix).lower()
    return "any"


def _options(config: ConfigPlan) -> dict[str, str]:
    """Return `lr_scheduler_kwargs` as expressions."""
    text = config.text("lr_scheduler_kwargs")
    if text is None or text in {"None", "{}"}:
        return {}
    tree = ast.parse(text, mode="eval").body
    found: dict[str, ast.expr] = {}
    count = -1
    if isinstance(tree, ast.Dict):
        for key, value in zip(tree.keys, tree.values, strict=True):
            if isinstance(key, ast.Constant) and isinstance(key.value, str):
                found[key.value] = value
        count = len(tree.keys)
    elif isinstance(tree, ast.Call) and isinstance(tree.func, ast.Name) and tree.func.id == "dict":
        found = {item.arg: item.value for item in tree.keywords if item.arg is not None}
        count = len(tree.keywords) + len(tree.args)
    if len(found) == count:
        return {name: _option(config, name, value) for name, value in found.items()}
    raise Blocked(
        "MM212",
        f"`lr_scheduler_kwargs={text}` must be a dictionary with plain keys to become a "
        "function of the step",
        config.arguments["lr_scheduler_kwargs"].found,
    )


def _option(config: ConfigPlan, name: str, value: ast.expr) -> str:
    """Return a literal as it is; anything else goes through the configuration, where its names mean
    something.
    """
    try:
        ast.literal_eval(value)
    except ValueError:
        config.put(name, ast.unparse(value))
        return f"config.{name}"
    return ast.unparse(value)


def _plan_warmup(config: ConfigPlan, kind: str) -> str:
    """Return the number of warm-up steps as an expression in `config` and `num_steps`, or ""."""
    if kind in WITHOUT_WARMUP:
        for name in ("warmup_steps", "warmup_ratio"):
            config.fields.pop(name, None)
            if config.has(name):
                decision = config.ledger.decisions
                decision.pop(config.arguments[name].found, None)
                config.exact(name, "nothing to do", "a constant schedule ignores the warm-up")
        return ""
    steps = _number(config, "warmup_steps")
    ratio = _number(config, "warmup_ratio")
    if config.is_dynamic("warmup_steps"):
        if config.has("warmup_ratio"):
            return "config.warmup_steps or math.ceil(num_steps * config.warmup_ratio)"
        return (
            "config.warmup_steps if config.warmup_steps >= 1 else "
            "math.ceil(num_steps * config.warmup_steps)"
        )
    if steps and steps >= 1:
        return "config.warmup_steps"
    if steps:
        return "math.ceil(num_steps * config.warmup_steps)"
    if config.is_dynamic("warmup_ratio") or ratio:
        return "math.ceil(num_steps * config.warmup_ratio)"
    for name in ("warmup_steps", "warmup_ratio"):
        config.fields.pop(name, None)
    return ""


def _number(config: ConfigPlan, name: str) -> float:
    if config.is_dynamic(name):
        return 0.0
    value = config.literal(name) if config.row(name) is not None else None
    return float(value) if isinstance(value, int | float) else 0.0


def _cycles_angle(options: dict[str, str]) -> str:
    cycles = options.get("num_cycles")
    return "math.pi" if cycles is None or cycles == "0.5" else f"math.pi * 2.0 * {cycles}"


def _build(config: ConfigPlan, kind: str, warmup: str, options: dict[str, str]) -> Schedule:
    warm = "linear warm-up, then " if warmup else ""
    match kind:
        case "constant" | "constant_with_warmup":
            return Schedule(kind=kind, words=f"{warm}constant", warmup=warmup)
        case "linear":
            return Schedule(kind=kind, words=f"{warm}linear decay to 0", warmup=warmup)
        case "cosine":
            half = "half a cosine down to 0" if _cycles_angle(options) == "math.pi" else "a cosine"
            return Schedule(
                kind=kind, words=warm + half, warmup=warmup, angle=_cycles_angle(options)
            )
        case "cosine_with_restarts":
            cycles = options.get("num_cycles", "1")
            return Schedule(
                kind=kind, words=f"{warm}a cosine with restarts", warmup=warmup, cycles=cycles
            )
        case "polynomial":
            power = options.get("power", "1.0")
            return Schedule(
                kind=kind,
                words=f"{warm}polynomial decay",
                warmup=warmup,
                lowest=options.get("lr_end", "1e-7"),
                power="" if power in {"1", "1.0"} else power,
            )
        case "inverse_sqrt":
            timescale = options.get("timescale") or (
                "warmup_steps or 10_000" if warmup else "10_000"
            )
            return Schedule(
                kind=kind,
                words=f"{warm}inverse square root of the step",
                warmup=warmup,
                timescale=timescale,
            )
        case "cosine_with_min_lr" | "cosine_warmup_with_min_lr":
            return _minimum(config, kind, warm, warmup, options)
        case "warmup_stable_decay":
            return _stable(config, warm, warmup, options)
        case "any":
            return Schedule(
                kind=kind, words=f"{warm}the schedule named in the configuration", warmup=warmup
            )
    raise Blocked(
        "MM212",
        f"the schedule `{kind}` cannot be computed from the step alone",
        config.arguments["lr_scheduler_type"].found if config.has("lr_scheduler_type") else None,
    )


def _minimum(
    config: ConfigPlan, kind: str, warm: str, warmup: str, options: dict[str, str]
) -> Schedule:
    if kind == "cosine_warmup_with_min_lr":
        raise Blocked(
            "MM212",
            f"the schedule `{kind}` is not converted",
            config.arguments["lr_scheduler_type"].found,
        )
    rate = options.get("min_lr_rate")
    floor = rate if rate is not None else f"{options.get('min_lr', '0.0')} / config.learning_rate"
    return Schedule(
        kind="cosine_with_min_lr",
        words=f"{warm}a cosine down to a minimum",
        warmup=warmup,
        angle=_cycles_angle(options),
        floor=floor,
    )


def _stable(config: ConfigPlan, warm: str, warmup: str, options: dict[str, str]) -> Schedule:
    decay_type = options.get("decay_type", "'cosine'").strip("'\"")
    warmup_type = options.get("warmup_type", "'linear'").strip("'\"")
    decay = {
        "linear": "(1.0 - progress)",
        "1-sqrt": "(1.0 - math.sqrt(progress))",
        "cosine": f"0.5 * (1.0 + math.cos({_cycles_angle(options)} * progress))",
    }.get(decay_type)
    floor = options.get("min_lr_ratio", "0.0")
    has_plain_warmup = not warmup or (warmup_type == "linear" and floor in {"0", "0.0"})
    if decay is None or not has_plain_warmup or "num_stable_steps" in options:
        raise Blocked(
            "MM212",
            "this form of `warmup_stable_decay` is not converted; linear warm-up from 0 and "
            "a decay length are",
            config.arguments["lr_scheduler_type"].found,
        )
    return Schedule(
        kind="warmup_stable_decay",
        words=f"{warm}constant, then decay",
        warmup=warmup,
        floor=floor,
        decay_steps=options.get("num_decay_steps", "0"),
        decay=decay,
    )
