"""Rule: the fields of a trainer's configuration become a `SimpleNamespace` in place.

Every field the converted loop reads keeps its name, its value's text and its comments; batch size
and accumulation are joined; defaults that enter the mathematics are written out; the rest is
decided by its table row and left out.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass, field

from mint_migrate.model.facts import Argument, Call
from mint_migrate.model.plan import Fidelity, Found
from mint_migrate.model.source import Span
from mint_migrate.rules.base import Blocked, Ledger
from mint_migrate.tables.rows import Row

CARRIED = frozenset(
    {
        "output_dir",
        "learning_rate",
        "num_train_epochs",
        "max_steps",
        "warmup_steps",
        "warmup_ratio",
        "weight_decay",
        "adam_beta1",
        "adam_beta2",
        "adam_epsilon",
        "max_grad_norm",
        "seed",
        "data_seed",
        "logging_steps",
        "run_name",
    }
)
"""Fields that every loop reads under their own name when they are given."""

JOINED = ("per_device_train_batch_size", "gradient_accumulation_steps")

RENAMED = {
    "max_seq_length": "max_length",
    "per_device_eval_batch_size": "eval_batch_size",
}

OLDER_NAMES = {
    "per_gpu_train_batch_size": "per_device_train_batch_size",
    "per_gpu_eval_batch_size": "per_device_eval_batch_size",
}

DECIDED_ELSEWHERE = frozenset(
    {
        "optim",
        "lr_scheduler_type",
        "lr_scheduler_kwargs",
        "eval_strategy",
        "evaluation_strategy",
        "do_eval",
        "eval_on_start",
        "eval_steps",
        "save_strategy",
        "save_steps",
        "save_total_limit",
        "logging_strategy",
        "logging_first_step",
        "report_to",
        "project",
        "train_sampling_strategy",
        "dataloader_drop_last",
        "resume_from_checkpoint",
    }
)
"""Fields that choose what every loop looks like; exact where the choice can be read off."""

POSITIONAL = ("output_dir",)


@dataclass(frozen=True, slots=True)
class ConfigField:
    """One line of the namespace."""

    name: str
    text: str
    comments: tuple[str, ...] = ()
    trailing: str = ""


@dataclass(slots=True)
class ConfigPlan:
    """What is known of the configuration while the loop is planned."""

    ledger: Ledger
    owner: str
    """Canonical name of the class whose rows decide: `trl.SFTConfig`."""
    call: Call | None
    place: Span
    """The statement that holds the configuration in the result."""
    arguments: dict[str, Argument]
    fields: dict[str, ConfigField] = field(default_factory=dict)
    defaults: list[str] = field(default_factory=list)
    """Fields that the script leaves at a default which enters the mathematics."""
    carried: frozenset[str] = CARRIED
    """Fields that the loop reads under their own name."""
    decided: frozenset[str] = DECIDED_ELSEWHERE
    """Fields that a rule of their own decides."""
    open: frozenset[str] = frozenset()
    """Fields that the script does not give itself: they are only known when it runs."""

    def literal(self, name: str) -> object:
        """Return the literal value of a field, given or default; a list as a tuple.

        Raises:
            Blocked: the field is given as an expression.
        """
        argument = self.arguments.get(name)
        if argument is not None:
            if argument.value.literal is None:
                raise Blocked(
                    "MM292",
                    f"`{name}={argument.value.text}` decides what the loop looks like and "
                    "must be a literal",
                    argument.found,
                )
            return _hashable(ast.literal_eval(argument.value.literal))
        default = self.default(name)
        return None if default is None else _hashable(ast.literal_eval(default))

    def is_dynamic(self, name: str) -> bool:
        """Say whether a field is given as something other than a literal."""
        argument = self.arguments.get(name)
        return argument is not None and argument.value.literal is None

    def has(self, name: str) -> bool:
        """Say whether the script gives the field itself."""
        return name in self.arguments

    def text(self, name: str) -> str | None:
        argument = self.arguments.get(name)
        return None if argument is None else argument.value.text

    def row(self, name: str) -> Row | None:
        return self.ledger.tables.config_row(self.owner, name, self.ledger.version)

    def default(self, name: str) -> str | None:
        """Return the default of a field in the script's release, as a literal."""
        row = self.row(name)
        if row is None:
            return None
        is_inherited = row.id.startswith("transformers.")
        version = self.ledger.version
        return row.default_in(
            self.ledger.tables.transformers_of(version) if is_inherited else version
        )

    def need(self, name: str, default: str | None = None) -> None:
        """Make sure the namespace has a field, with its default where it is not given."""
        value = default if default is not None else self.default(name)
        if name not in self.fields and value is not None and value != "None":
            self.put(name, value)
            self.defaults.append(name)

    def ref(self, name: str) -> str:
        """Return how the loop reads a field: `config.x` if it is in the namespace, else its
        default.
        """
        if name in self.fields:
            return f"config.{name}"
        default = self.default(name)
        assert default is not None, f"no default recorded for {name}"
        return default

    def ref_as(self, name: str, option: str) -> str:
        """Return `config.name`, or the default of *option* where there is no such field."""
        return f"config.{name}" if name in self.fields else self.default(option) or "8"

    def put(self, name: str, text: str, like: str | None = None, trailing: str = "") -> None:
        """Add a field to the namespace, with the comments of the argument it comes from."""
        source = self.arguments.get(like or name)
        self.fields[name] = ConfigField(
            name=name,
            text=text,
            comments=source.comments if source is not None else (),
            trailing=trailing or (source.trailing if source is not None else ""),
        )

    def exact(self, name: str, target: str, note: str = "") -> None:
        """Decide a given field as exact."""
        argument = self.arguments.get(name)
        if argument is not None and argument.found not in self.ledger.decisions:
            self.ledger.exact(argument.found, self.row(name), target, note)

    def decide(self, name: str, fidelity: Fidelity, code: str, target: str, note: str) -> None:
        argument = self.arguments.get(name)
        if argument is not None and argument.found not in self.ledger.decisions:
            self.ledger.decide(
                argument.found, fidelity, row=self.row(name), code=code, target=target, note=note
            )

    def keep(self, name: str) -> None:
        """Carry a given field into the namespace unchanged."""
        argument = self.arguments[name]
        self.put(name, argument.value.text)
        self.exact(name, f"config.{name}")


def open_config(
    ledger: Ledger,
    owner: str,
    call: Call | None,
    train_statement: Span,
    *,
    hides: bool = False,
) -> ConfigPlan:
    """Collect the fields a configuration call gives; *owner* is the class whose rows decide them.

    A configuration with a name stays where it is; any other is written just before training. Where
    the call *hides* fields behind `**`, only the others are collected.

    Raises:
        Blocked: fields are hidden behind `*`, or behind `**` all the same, or two are the same.
    """
    arguments: dict[str, Argument] = {}
    for argument in call.arguments if call is not None else ():
        if argument.star == "**" and hides:
            continue
        if argument.star:
            raise Blocked(
                "MM291",
                f"`{argument.found.source_text}` hides which options are set; write them out "
                "as keywords",
                argument.found,
            )
        if call is not None:
            ledger.check_splat(call, argument)
        name = argument.keyword
        if name is None:
            if argument.index >= len(POSITIONAL):
                raise Blocked("MM291", "options are given by position; name them", argument.found)
            name = POSITIONAL[argument.index]
        if name in arguments:
            raise Blocked("MM291", f"`{name}` is given twice", argument.found)
        arguments[name] = argument
    for old, new in OLDER_NAMES.items():
        if old in arguments and new not in arguments and arguments[old].value.literal != "None":
            arguments[new] = arguments.pop(old)
    is_named = call is not None and call.is_statement and call.target is not None
    place = call.statement if call is not None and is_named else train_statement
    return ConfigPlan(ledger=ledger, owner=owner, call=call, place=place, arguments=arguments)


def plan_plain_fields(config: ConfigPlan, read_elsewhere: frozenset[str]) -> None:
    """Carry or decide every field that no later rule looks at.

    Args:
        config: the configuration.
        read_elsewhere: attributes of the configuration that the user's own code reads.
    """
    ledger = config.ledger
    for name, argument in config.arguments.items():
        if name in config.decided or name in JOINED or name in RENAMED:
            continue
        if name in config.carried:
            if name == "max_length" and argument.value.literal == "None":
                config.exact(name, "no truncation")
            elif name == "max_grad_norm" and argument.value.literal == "None":
                config.put(name, "0.0")
                config.exact(name, "config.max_grad_norm", "0 means no clipping, as None did")
            else:
                config.keep(name)
            continue
        if name == "average_tokens_across_devices" and ledger.options.num_processes == 1:
            config.exact(name, "build_batch()", "there is one process")
            continue
        fidelity = ledger.by_row(argument, config.row(name))
        if fidelity is Fidelity.MANUAL:
            _todo_for(config, argument.found)
        elif fidelity is Fidelity.APPROXIMATE:
            decision = ledger.decisions[argument.found]
            ledger.differ(argument.found, decision.code or "", decision.note, config.place)
        if name in read_elsewhere:
            config.put(name, argument.value.text)


def _todo_for(config: ConfigPlan, found: Found) -> None:
    decision = config.ledger.decisions[found]
    config.ledger.mark(
        config.place, decision.code or "MM290", f"`{found.source_text}`: {decision.note}"
    )


def plan_batch(
    config: ConfigPlan,
    micro_batches: bool,
    *,
    unit: str = "rows",
    times: tuple[str, ...] = (),
    in_place_of: str | None = None,
) -> None:
    """Join batch size, accumulation and processes into `batch_size`, rows per optimizer step.

    Args:
        config: the configuration.
        micro_batches: the loop looks at micro-batches, so that their size and number are needed.
        unit: what the batch size counts.
        times: fields of the namespace that it is multiplied with besides.
        in_place_of: option whose value is the batch size of a process.
    """
    ledger = config.ledger
    processes = ledger.options.num_processes
    size = in_place_of or JOINED[0]
    per_device = config.text(size) or config.default(size) or "8"
    accumulation = config.text(JOINED[1]) or config.default(JOINED[1])
    factors = [factor(per_device)]
    words = [size]
    if accumulation is not None and (config.has(JOINED[1]) or accumulation != "1"):
        factors.append(factor(accumulation))
        words.append("gradient_accumulation_steps")
    count = " * ".join([*factors[1:], *([str(processes)] if processes != 1 else [])])
    if processes != 1:
        factors.append(str(processes))
        words.append("processes")
    factors += [factor(config.fields[name].text) for name in times]
    words += times
    tail = ", one process" if processes == 1 else ""
    comment = f"# {' * '.join(words)}{tail}"
    like = next((name for name in JOINED if config.has(name)), None)
    given = config.arguments.get(like) if like is not None else None
    own = f"  {given.trailing}" if given is not None and given.trailing else ""
    config.put("batch_size", " * ".join(factors), like=like, trailing=comment + own)
    for name in JOINED:
        config.exact(name, "config.batch_size", f"{' * '.join(words)} = {unit} per optimizer step")
    if micro_batches:
        config.put("micro_batch_size", per_device)
        config.put("gradient_accumulation_steps", count or "1")
    _say_batch(config, factors, words, unit)


def _say_batch(config: ConfigPlan, factors: list[str], words: list[str], unit: str) -> None:
    """Say in the report what a step is made of."""
    processes = config.ledger.options.num_processes
    product = " * ".join(factors)
    if processes == 1:
        config.ledger.notices.append(
            f"batch_size is {product} ({' * '.join(words)}), counting one process; "
            "pass --num-processes N if the launcher started more"
        )
        return
    filled = (
        "; MM223: an incomplete last batch is not filled up with rows from the start, as several "
        "processes do"
    )
    config.ledger.notices.append(
        f"batch_size is {product}: {processes} processes, as given with --num-processes"
        + (filled if unit == "rows" else "")
    )


def factor(text: str) -> str:
    """Return an expression so that it may stand in a product."""
    is_simple = re.fullmatch(r"\d[\d_.]*e[-+]?\d+|[\w.]+", text) is not None
    return text if is_simple else f"({text})"


def namespace(config: ConfigPlan, version: str) -> str:
    """Return `SimpleNamespace(...)`, one field a line: the given ones in their order, then
    defaults.
    """
    rank = {name: index for index, name in enumerate(config.arguments)}
    for old, new in RENAMED.items():
        rank.setdefault(new, rank.get(old, len(rank)))
    batch = min((rank[name] for name in JOINED if name in rank), default=len(rank))
    for name in ("batch_size", "micro_batch_size"):
        rank.setdefault(name, batch)
    given = [item for name, item in config.fields.items() if name not in config.defaults]
    given.sort(key=lambda item: rank.get(item.name, len(rank)))
    lines = ["SimpleNamespace("]
    for item in given:
        lines += _field_lines(item)
    if config.defaults:
        lines.append(f"    # Defaults of TRL {version} that the original relied on.")
    for name in config.defaults:
        lines += _field_lines(config.fields[name])
    return "\n".join([*lines, ")"])


def _field_lines(item: ConfigField) -> list[str]:
    comments = [f"    {comment}" for comment in item.comments]
    trailing = f"  {item.trailing}" if item.trailing else ""
    return [*comments, f"    {item.name}={item.text},{trailing}"]


def _hashable(value: object) -> object:
    """Return a literal's value so that it may be looked up in a set, whatever a script passes."""
    if isinstance(value, list | tuple):
        return tuple(map(_hashable, value))
    if isinstance(value, dict):
        return tuple((_hashable(key), _hashable(item)) for key, item in value.items())
    return frozenset(value) if isinstance(value, set) else value
