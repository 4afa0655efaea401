"""Rule: steps, evaluation, saving, logging and resuming of the loop."""

from __future__ import annotations

import ast
import re
from typing import TypedDict

from mint_migrate.model.facts import Argument
from mint_migrate.model.plan import Fidelity
from mint_migrate.model.script import Names, Schedule
from mint_migrate.rules.base import Blocked
from mint_migrate.rules.trl.config import ConfigPlan
from mint_migrate.rules.trl.state import TrainerPlan
from mint_migrate.rules.trl.windows import Windows

OPTIMIZER_FIELDS = ("adam_beta1", "adam_beta2", "adam_epsilon", "weight_decay", "max_grad_norm")
SPEED = re.compile(r"train_runtime|train_\w+_per_second")
"""Names of what the result of `train()` says about time."""
TRACKERS = frozenset({"wandb", "tensorboard"})


class LoopFields(TypedDict):
    """The fields of `LoopScript` that no kind decides by itself."""

    names: Names
    schedule: Schedule
    ref: dict[str, str]
    every: dict[str, str]
    length: str
    lora_options: tuple[str, ...]
    tokenizer: bool
    eval_dataset: bool
    eval_optional: bool
    evaluation: str
    eval_on_start: bool
    eval_batch_size: str
    saving: str
    save_total_limit: bool
    keeps_all: bool
    resume: bool
    tracker: str
    tracker_starts: bool
    tracker_project: str
    run_name: bool
    logging_first_step: bool
    summarizes: bool
    times: bool


class EpochsFields(TypedDict):
    """The fields that `EpochsScript` has besides."""

    order: str
    order_seed: str
    epoch_end: str
    micro_batches: bool
    drop_last: bool
    shuffle_dataset: bool
    eos_token: str


def plan_loop(plan: TrainerPlan, schedule: Schedule) -> LoopFields:
    """Decide length, evaluation, saving, logging and resuming."""
    config, arguments = plan.config, plan.arguments
    length = _length(config)
    config.need("seed")
    evaluation = _evaluation(config, arguments)
    saving = _saving(config)
    _logging(config)
    tracker, starts = _tracker(config)
    resume = any(
        item.keyword == "resume_from_checkpoint" or item.index == 0
        for item in plan.train_use.arguments
    )
    resume = resume or config.has("resume_from_checkpoint")
    config.exact("resume_from_checkpoint", f"{plan.names['train']}(resume_from_checkpoint=...)")
    dataset = plan.given("eval_dataset") if evaluation != "no" else None
    return LoopFields(
        names=plan.names,
        schedule=schedule,
        ref={name: config.ref(name) for name in (*OPTIMIZER_FIELDS, "seed")},
        every={
            "logging": _interval(config, "logging_steps"),
            "eval": _interval(config, "eval_steps") if evaluation in {"steps", "any"} else "",
            "save": _interval(config, "save_steps") if saving in {"steps", "any"} else "",
            "evaluates": f"config.{_strategy(config)}" if evaluation == "any" else "",
            "saves": "config.save_strategy" if saving == "any" else "",
        },
        length=length,
        lora_options=plan.model.options,
        tokenizer=plan.given("processing_class") is not None,
        eval_dataset=dataset is not None,
        eval_optional=dataset is not None and (evaluation == "any" or _may_be_none(dataset)),
        evaluation=evaluation if dataset is not None else "no",
        eval_on_start=dataset is not None and _flag(config, "eval_on_start"),
        eval_batch_size=config.ref_as("eval_batch_size", "per_device_eval_batch_size"),
        saving=saving,
        save_total_limit="save_total_limit" in config.fields and saving != "no",
        keeps_all="save_total_limit" in config.open,
        resume=resume,
        tracker=tracker,
        tracker_starts=starts,
        tracker_project=_project(config) if tracker else '"huggingface"',
        run_name="run_name" in config.fields,
        logging_first_step=_shows_first(config),
        summarizes=plan.train_use.target is not None,
        times=plan.train_use.target is not None and bool(SPEED.search(config.ledger.facts.text)),
    )


def plan_epochs(
    plan: TrainerPlan, windows: Windows, facts: dict[str, str | bool | int | None]
) -> EpochsFields:
    """Decide in which order rows are read, and how they make steps."""
    config = plan.config
    order = _order(config)
    _note_old_order(config, facts)
    drop_last = _flag(config, "dataloader_drop_last")
    if drop_last and not windows.needs_micro_batches:
        per_device = config.text("per_device_train_batch_size")
        config.put(
            "micro_batch_size", per_device or config.default("per_device_train_batch_size") or "8"
        )
    return EpochsFields(
        order=order,
        order_seed=_order_seed(config, facts),
        epoch_end=windows.epoch_end,
        micro_batches=windows.averages,
        drop_last=drop_last,
        shuffle_dataset=_flag(config, "shuffle_dataset"),
        eos_token=_eos(config),
    )


def _strategy(config: ConfigPlan) -> str:
    """Return the name that the evaluation strategy has in the script's release."""
    return "eval_strategy" if "eval_strategy" in config.fields else "evaluation_strategy"


def _may_be_none(dataset: Argument) -> bool:
    text = dataset.value.text
    return " if " in text or ".get(" in text


def _length(config: ConfigPlan) -> str:
    if not config.has("max_steps"):
        config.need("num_train_epochs")
        return "epochs"
    if config.is_dynamic("max_steps"):
        config.need("num_train_epochs")
        return "either"
    value = config.literal("max_steps")
    if isinstance(value, int) and value > 0:
        config.fields.pop("num_train_epochs", None)
        return "max_steps"
    config.fields.pop("max_steps", None)
    config.need("num_train_epochs")
    return "epochs"


def _order(config: ConfigPlan) -> str:
    name = "train_sampling_strategy"
    if not config.has(name):
        return "random"
    value = config.literal(name)
    if value not in {"random", "sequential"}:
        raise Blocked(
            "MM215",
            f"`{name}={value!r}` makes batches from the lengths of the rows, which is not "
            "converted",
            config.arguments[name].found,
        )
    config.exact(name, "the order of the rows")
    return str(value)


def _order_seed(config: ConfigPlan, facts: dict[str, str | bool | int | None]) -> str:
    """Return the seed of the data order: `data_seed` where that release looked at it."""
    if "data_seed" in config.fields and facts["data_seed_used"]:
        return "config.data_seed"
    return "config.seed"


def _note_old_order(config: ConfigPlan, facts: dict[str, str | bool | int | None]) -> None:
    if facts["data_order"] == "global_generator":
        config.ledger.notices.append(
            "MM215: this release drew the data order from the global random state; the "
            "result shuffles with "
            "seed + epoch, as later releases do"
        )


def _choice(config: ConfigPlan, names: tuple[str, ...], default: str) -> str:
    """Return a strategy: no, steps, epoch or best.

    Raises:
        Blocked: another one is given.
    """
    given = [name for name in names if config.has(name)]
    for name in given:
        text = config.text(name) or ""
        if config.is_dynamic(name) and "Strategy." not in text:
            note = "chosen at run time; no, steps and epoch are understood"
            config.decide(name, Fidelity.APPROXIMATE, "MM260", f"config.{name}", note)
            config.put(name, text)
            return "any"
        config.exact(name, "the loop")
    for name in given:
        if len(given) > 1 and config.arguments[name].value.literal == "None":
            continue
        text = config.text(name) or ""
        if "Strategy." in text:
            value: object = text.rsplit(".", 1)[-1].lower()
        else:
            value = config.literal(name)
        chosen = "no" if value in {False, None} else str(value)
        if chosen not in {"no", "steps", "epoch", "best"}:
            found = config.arguments[name].found
            raise Blocked("MM292", f"`{name}={text}` is not no, steps or epoch", found)
        return chosen
    return default


def _evaluation(config: ConfigPlan, arguments: dict[str, Argument]) -> str:
    names = ("evaluation_strategy", "eval_strategy")
    chosen = _choice(config, names, "no")
    for name in ("do_eval", "eval_on_start", "eval_steps", "per_device_eval_batch_size"):
        if config.has(name):
            config.exact(name, "evaluate()" if chosen != "no" else "nothing to do")
    if chosen == "best":
        raise Blocked("MM219", "the evaluation strategy `best` is not converted")
    if chosen in {"steps", "any"}:
        if config.has("eval_steps") and config.arguments["eval_steps"].value.literal != "None":
            config.put("eval_steps", config.text("eval_steps") or "")
        else:
            config.put(
                "eval_steps",
                config.text("logging_steps") or config.default("logging_steps") or "10",
            )
            config.defaults.append("eval_steps")
    size = config.text("per_device_eval_batch_size")
    if size is not None and (chosen != "no" or "eval_dataset" in arguments):
        config.put("eval_batch_size", size, like="per_device_eval_batch_size")
    return chosen


def _saving(config: ConfigPlan) -> str:
    chosen = _choice(config, ("save_strategy",), "steps")
    if chosen == "best":
        config.ledger.decisions.pop(config.arguments["save_strategy"].found, None)
        config.decide(
            "save_strategy",
            Fidelity.APPROXIMATE,
            "MM219",
            "save_checkpoint()",
            "every epoch is saved, the best is not marked",
        )
        chosen = "epoch"
    if (
        chosen == "steps"
        and config.has("save_steps")
        and config.arguments["save_steps"].value.literal == "0"
    ):
        chosen = "no"
    if chosen in {"steps", "any"}:
        config.need("save_steps", config.text("save_steps"))
        if config.has("save_steps") and "save_steps" in config.defaults:
            config.defaults.remove("save_steps")
    config.exact(
        "save_steps", "save_checkpoint()" if chosen in {"steps", "any"} else "nothing to do"
    )
    if config.has("save_total_limit"):
        if config.arguments["save_total_limit"].value.literal != "None" and chosen != "no":
            config.put("save_total_limit", config.text("save_total_limit") or "")
        config.exact(
            "save_total_limit", "save_checkpoint(keep=...)" if chosen != "no" else "nothing to do"
        )
    return chosen


def _logging(config: ConfigPlan) -> None:
    if config.has("logging_strategy"):
        chosen = _choice(config, ("logging_strategy",), "steps")
        if chosen != "steps":
            config.fields.pop("logging_strategy", None)
            config.ledger.decisions.pop(config.arguments["logging_strategy"].found, None)
            config.decide(
                "logging_strategy",
                Fidelity.APPROXIMATE,
                "MM226",
                "config.logging_steps",
                "progress is printed every few steps; metrics.jsonl has every step",
            )
    config.need("logging_steps")


def _interval(config: ConfigPlan, name: str) -> str:
    """Return a step interval; a number below 1 is a share of all steps."""
    argument = config.arguments.get(name)
    literal = argument.value.literal if argument is not None else None
    if name == "eval_steps" and literal in {None, "None"} and not config.is_dynamic(name):
        # Unset, it is `logging_steps`.
        given = config.arguments.get("logging_steps")
        literal = given.value.literal if given is not None else None
    value = ast.literal_eval(literal) if literal is not None else None
    if literal is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise Blocked(
            "MM292", f"`{name}={literal}` is not a number", argument.found if argument else None
        )
    if value is not None and 0 < value < 1:
        return f"max(1, math.ceil(num_steps * config.{name}))"
    return f"config.{name}"


def _shows_first(config: ConfigPlan) -> bool:
    """Say whether the first step is always shown; not where that is only known at run time."""
    name = "logging_first_step"
    if config.is_dynamic(name):
        note = "whether the first step is printed; metrics.jsonl has every step"
        config.decide(name, Fidelity.DROPPED, "MM222", "nothing", note)
        return False
    return _flag(config, name)


def _flag(config: ConfigPlan, name: str) -> bool:
    if not config.has(name):
        return False
    value = bool(config.literal(name))
    config.exact(name, "train()")
    return value


def _tracker(config: ConfigPlan) -> tuple[str, bool]:
    """Return the tracker to log to, and whether the loop starts its run itself."""
    config.exact("project", "wandb.init(project=...)")
    if not config.has("report_to"):
        config.fields.pop("run_name", None)
        return "", False
    argument = config.arguments["report_to"]
    literal = argument.value.literal
    chosen = ""
    if literal is not None:
        value = ast.literal_eval(literal)
        listed = [value] if isinstance(value, str) else []
        listed = list(value) if isinstance(value, list | tuple) else listed
        known = [item for item in listed if item in TRACKERS]
        chosen = known[0] if known else ""
        rest = [item for item in listed if item not in {"none", "all", chosen}]
        if rest or "all" in listed:
            config.decide(
                "report_to",
                Fidelity.APPROXIMATE,
                "MM226",
                "metrics.jsonl",
                f"logging to {', '.join(rest) or 'every installed tracker'} is not carried "
                "over; metrics.jsonl has every step",
            )
        else:
            config.exact("report_to", chosen or "nothing to do")
    else:
        config.decide(
            "report_to",
            Fidelity.APPROXIMATE,
            "MM226",
            "metrics.jsonl",
            "which tracker is used is only known at run time; metrics.jsonl has every step",
        )
    if chosen != "wandb":
        config.fields.pop("run_name", None)
    starts = "wandb.init(" not in config.ledger.facts.text
    return chosen, chosen == "wandb" and starts


def _project(config: ConfigPlan) -> str:
    if config.is_dynamic("project"):
        config.put("project", config.text("project") or "")
        return "config.project"
    return config.text("project") or '"huggingface"'


def _eos(config: ConfigPlan) -> str:
    text = config.text("eos_token")
    config.exact("eos_token", "tokenizer.eos_token")
    if text is None or text == "None":
        return ""
    if config.is_dynamic("eos_token"):
        config.put("eos_token", text)
        return "config.eos_token"
    return text
