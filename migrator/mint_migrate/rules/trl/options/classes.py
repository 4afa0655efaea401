"""Rule: the classes of options of a result, and what becomes of each option it does not read."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass, field
from textwrap import wrap

from mint_migrate.model.facts import OptionClass
from mint_migrate.model.options_script import ReadOption, ReadOptions
from mint_migrate.model.plan import Fidelity
from mint_migrate.rules.base import Blocked, Ledger
from mint_migrate.rules.trl.config import OLDER_NAMES, ConfigPlan
from mint_migrate.rules.trl.optimizer import ADAMW, ROUNDED
from mint_migrate.rules.trl.options.opened import RESUME
from mint_migrate.rules.trl.options.source import OptionSource
from mint_migrate.tables.rows import Row

MODEL_OPTIONS = "trl.ModelConfig"
MIXTURE = "trl.DatasetMixtureConfig"
REFUSED = {"datasets": ("none", "[]")}
"""Options of a mixture of data sets, which the result does not load."""
WIDTH = 112
UNREAD = frozenset(
    {"do_eval", "logging_strategy", "logging_first_step", "report_to", "project", "run_name"}
)
"""Options of what is shown while training, or without effect by themselves."""
CHOICES = {
    "lr_scheduler_type": ("linear", "cosine", "constant", "constant_with_warmup"),
    "eval_strategy": ("no", "steps", "epoch"),
    "evaluation_strategy": ("no", "steps", "epoch"),
    "save_strategy": ("no", "steps", "epoch"),
    "optim": tuple(sorted(ADAMW | ROUNDED)),
}
"""Options with several values that every loop understands."""
OF_ONE_PROCESS = {
    "device": '"cpu"',
    "distributed_state": (
        "SimpleNamespace(is_main_process=True, is_local_main_process=True, process_index=0, "
        "num_processes=1, wait_for_everyone=lambda: None)"
    ),
    "get_process_log_level": "lambda: 30",  # that of warnings
    "local_process_index": "0",
    "main_process_first": "lambda *args, **kwargs: nullcontext()",
    "n_gpu": "1",
    "process_index": "0",
    "should_log": "True",
    "should_save": "True",
    "world_size": "1",
}
"""What the Trainer's configuration computes about processes, for one that talks to a server."""


@dataclass(slots=True)
class Unread:
    """Options that the original accepts and the result does not read."""

    without_effect: set[str] = field(default_factory=set)
    only_as: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Values that an option may have, in lower case."""

    def lines(self, read: frozenset[str]) -> tuple[str, ...]:
        """Return the names without effect, those that are *read* left out, in lines."""
        return tuple(wrap(" ".join(sorted(self.without_effect - read)), WIDTH))


def config_class(
    config: ConfigPlan, source: OptionSource, name: str, reads: frozenset[str], unread: Unread
) -> ReadOptions:
    """Return the class of the configuration, and sort the options it lacks into *unread*.

    Args:
        config: the configuration, decided.
        source: where its options come from.
        name: what the class is called.
        reads: attributes that the user's own code reads of it.
        unread: takes the options it lacks.

    Raises:
        Blocked: the file's own class gives an option a value that the loop was not written for.
    """
    settles, properties, fields = _sorted_fields(config, source)
    properties += [(item, OF_ONE_PROCESS[item]) for item in sorted(reads & OF_ONE_PROCESS.keys())]
    for option in sorted(source.accepted - set(fields) - source.given.keys()):
        _sort_unread(config, source, option, unread)
    for option in fields:
        is_left = option not in config.open and option not in source.given
        decides = option in reads or option in config.ledger.fixed_options
        if is_left and decides and option != RESUME:
            _sort_unread(config, source, option, unread)
    own = {item.name: item.default for item in source.own.fields} if source.own else {}
    choices = [
        (option, _choice_values(config, source, option, unread))
        for option in sorted({*fields, *own})
        if option in CHOICES or option in unread.only_as
    ]
    for option, values in choices:
        _check_own(config, option, own.get(option), values)
        unread.only_as.pop(option, None)
    unread.without_effect -= own.keys()
    return ReadOptions(
        name=name,
        doc=f"Options that the loop reads, with the defaults of TRL {config.ledger.version}.",
        fields=tuple(_option(config.ledger, source.owner, item, config) for item in sorted(fields)),
        settles=tuple(settles),
        choices=tuple(dict.fromkeys(choices)),
        properties=tuple(properties),
    )


def _sorted_fields(
    config: ConfigPlan, source: OptionSource
) -> tuple[list[tuple[str, str]], list[tuple[str, str]], list[str]]:
    """Return what is set later, what is computed, and the options that are fields."""
    settles = [(name, text) for name, text in source.settled.items() if name in config.fields]
    properties: list[tuple[str, str]] = []
    fields = [name for name in config.fields if name in source.accepted]
    for item in config.fields.values():
        text = item.text
        if item.name not in source.accepted:
            properties.append((item.name, text))
        elif not _is_plain(item.name, text, source):
            settles.append((item.name, text))
    processes = dict(settles).get("gradient_accumulation_steps")
    if processes is not None:
        # Counts all processes once it is set.
        properties = [
            (name, "self.micro_batch_size * self.gradient_accumulation_steps")
            if name == "batch_size"
            else (name, text)
            for name, text in properties
        ]
    for _, text in (*settles, *properties):
        for name in re.findall(r"\bself\.(\w+)", text):
            if name in source.accepted and name not in fields:
                fields.append(name)
    return settles, properties, fields


def _is_plain(name: str, text: str, source: OptionSource) -> bool:
    """Say whether a field holds what was given for it, or else a default."""
    return text in {f"self.{name}", source.given.get(name)} or _is_literal(text)


def _is_literal(text: str) -> bool:
    try:
        ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return False
    return True


def _sort_unread(config: ConfigPlan, source: OptionSource, option: str, unread: Unread) -> None:
    """Decide what becomes of an option that the loop does not read."""
    row = config.row(option)
    if option in UNREAD:
        unread.without_effect.add(option)
    elif row is None:
        return
    elif (
        row.fidelity is Fidelity.MANUAL or option in config.decided or option in OLDER_NAMES
    ) or option in config.ledger.fixed_options:
        unread.only_as[option] = _values(row, _default(config.ledger, source.owner, option, config))
        if option in CHOICES:
            unread.only_as[option] = CHOICES[option]
    else:
        unread.without_effect.add(option)


def _choice_values(
    config: ConfigPlan, source: OptionSource, option: str, unread: Unread
) -> tuple[str, ...]:
    values = unread.only_as.get(option) or CHOICES[option]
    default = _default(config.ledger, source.owner, option, config)
    return values if default != "None" else ("none", *values)


def _values(row: Row, default: str | None) -> tuple[str, ...]:
    """Return the values with which the loop is the one that was written, in lower case."""
    literals = [*([default] if default is not None else []), *row.neutral]
    values = [ast.literal_eval(item) for item in literals]
    values += [value[0] for value in values if isinstance(value, list) and len(value) == 1]
    texts = [str(value).lower() for value in values]
    return tuple(dict.fromkeys(text for text in texts if text))


def _check_own(
    config: ConfigPlan, option: str, default: str | None, values: tuple[str, ...]
) -> None:
    if default is None or not _is_literal(default):
        return
    if str(ast.literal_eval(default)).lower() not in values:
        raise Blocked(
            "MM292",
            f"`{option}` is {default} in the script's own class; give it where the configuration "
            "is made",
        )


def other_class(
    ledger: Ledger, owner: str, name: str, reads: frozenset[str], unread: Unread
) -> ReadOptions:
    """Return a class of TRL's with the options that are read, and sort the others into *unread*."""
    accepted = ledger.tables.accepted(ledger.version, owner)
    decides = owner == MODEL_OPTIONS and (owner, "use_peft") in ledger.read_options
    for option in sorted(accepted - reads):
        row = ledger.tables.config_row(owner, option, ledger.version)
        if decides and row is not None and row.fidelity is Fidelity.MANUAL:
            unread.only_as[option] = _values(row, _default(ledger, owner, option, None))
        else:
            unread.without_effect.add(option)
    refused = [(option, REFUSED[option]) for option in sorted(reads & REFUSED.keys())]
    return ReadOptions(
        name=name,
        choices=tuple(refused) if owner == MIXTURE else (),
        doc=f"Options of `{owner.removeprefix('trl.')}` that are read.",
        fields=tuple(_option(ledger, owner, item, None) for item in sorted(accepted & reads)),
    )


def _option(ledger: Ledger, owner: str, name: str, config: ConfigPlan | None) -> ReadOption:
    default = _default(ledger, owner, name, config)
    row = ledger.tables.config_row(owner, name, ledger.version)
    unit = row.unit if row is not None else ""
    kind = _annotation(default, unit)
    if name == "warmup_steps" and not _has(ledger, owner, "warmup_ratio"):
        kind = "float"
    if name == "output_dir" and default == "None":
        kind, default = "str", '"trainer_output"'
    if default is not None and default.startswith("["):
        default = f"field(default_factory=lambda: {default})"
    return ReadOption(name=name, annotation=kind, default=default, help=unit.split(";")[0])


def _has(ledger: Ledger, owner: str, name: str) -> bool:
    return name in ledger.tables.accepted(ledger.version, owner)


def _default(ledger: Ledger, owner: str, name: str, config: ConfigPlan | None) -> str | None:
    """Return the default of an option of the class itself, else the one its trainer knows."""
    if config is not None and name in config.defaults and name not in config.arguments:
        return config.fields[name].text
    row = ledger.tables.config_row(owner, name, ledger.version)
    if row is None:
        return config.default(name) if config is not None else None
    package = row.id.partition(".")[0]
    version = ledger.version
    found = row.default_in(
        ledger.tables.transformers_of(version) if package == "transformers" else version
    )
    return found if found is None or not found.startswith("'") else f'"{found[1:-1]}"'


def _annotation(default: str | None, unit: str) -> str:
    if default is None:
        return "str"
    value = ast.literal_eval(default)
    if value is None:
        return "int | None" if unit else "str | None"
    return "list[str]" if isinstance(value, list) else type(value).__name__


def owns_fields(classes: tuple[OptionClass, ...]) -> frozenset[str]:
    """Return the names of all fields that the file's own classes define."""
    return frozenset(item.name for each in classes for item in each.fields)
