"""The Python script that a `trl` command stands for, as a user of TRL would have written it.

It does what the command does: loads the data, builds the trainer from the same options, trains,
saves, uploads where asked to. Each line knows the options it comes from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from mint_migrate.launches.given import Given, literal
from mint_migrate.launches.methods import METHODS
from mint_migrate.launches.options import (
    ADAPTER,
    ADAPTER_DEFAULTS,
    Part,
    config_of,
    option_row,
    part_of,
)
from mint_migrate.launches.values import (
    Environment,
    is_true,
    list_value,
    python_value,
    text_value,
)
from mint_migrate.tables.lookup import Tables

REWARD_FUNCTIONS = {
    "accuracy_reward": "accuracy_reward",
    "get_soft_overlong_punishment": (
        "get_soft_overlong_punishment(max_completion_len=1280, soft_punish_cache=256)"
    ),
    "reasoning_accuracy_reward": "reasoning_accuracy_reward",
    "think_format_reward": "think_format_reward",
}
"""Names that the commands know, with what they stand for."""
WITH_REWARDS = frozenset({"GRPO", "RLOO", "OnlineDPO"})


@dataclass(slots=True)
class Draft:
    """A script in the making."""

    environment: Environment = field(default_factory=Environment)
    lines: list[str] = field(default_factory=list)
    owners: dict[int, tuple[Given, ...]] = field(default_factory=dict)
    """Line of the text, from 1, to the options it comes from."""
    imports: list[str] = field(default_factory=list)
    _body: list[tuple[str, tuple[Given, ...]]] = field(default_factory=list)

    def add(self, line: str, *owners: Given | None) -> None:
        """Add a line of the body."""
        self._body.append((line, tuple(owner for owner in owners if owner is not None)))

    @property
    def used(self) -> frozenset[int]:
        """Return the identities of the options that some line comes from."""
        return frozenset(id(owner) for _, owners in self._body for owner in owners)

    def finish(self) -> str:
        """Return the text, imports first, and number the lines."""
        if self.environment.sources:
            self.imports.append("import os")
        plain = sorted({line for line in self.imports if line.startswith("import ")})
        others = sorted({line for line in self.imports if not line.startswith("import ")})
        head = [*plain, *([""] if plain and others else []), *others, ""]
        self.lines = [*head, *(line for line, _ in self._body)]
        self.owners = {
            len(head) + number: owners
            for number, (_, owners) in enumerate(self._body, start=1)
            if owners
        }
        return "\n".join(self.lines) + "\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a command asks for. Of an option given twice, `options` has the one that counts."""

    method: str
    """A key of `METHODS`."""
    options: Mapping[str, Given]
    tables: Tables
    markers: Sequence[str] = ()
    """Comments that ask a person to act."""

    @property
    def trainer(self) -> str:
        """Return what the names of the trainer and its configuration start with, such as `DPO`."""
        return METHODS[self.method]

    def parts(self, part: Part) -> list[Given]:
        """Return the options that *part* reads, in the order given."""
        return [
            given
            for name, given in self.options.items()
            if part_of(name, self.method, self.tables) is part
        ]


def write_draft(request: Request) -> tuple[Draft, str]:
    """Return the script of a command, and its text."""
    draft = Draft()
    draft.imports.append(f"from trl import {request.trainer}Config, {request.trainer}Trainer")
    variables = request.options.get("env")
    if variables is not None and isinstance(variables.data, dict):
        _variables(draft, variables)
    _dataset(draft, request)
    rewards = _rewards(draft, request)
    _config(draft, request)
    _trainer(draft, request, rewards)
    return draft, draft.finish()


def _variables(draft: Draft, given: Given) -> None:
    draft.imports.append("import os")
    for name, value in (given.data or {}).items():
        draft.add(f"os.environ[{literal(name)}] = {literal(str(value))}", given)
    draft.add("")


def _dataset(draft: Draft, request: Request) -> None:
    options = request.options
    draft.imports.append("from datasets import load_dataset")
    if mixture := options.get("datasets"):
        _mixture(draft, request, mixture)
        return
    name = options.get("dataset_name")
    arguments = [(text_value(name, draft.environment) if name else '"DATASET"', name)]
    if config := options.get("dataset_config"):
        arguments.append((f"name={text_value(config, draft.environment)}", config))
    streaming = options.get("dataset_streaming")
    if streaming is not None and is_true(streaming):
        arguments.append(("streaming=True", streaming))
    _call(draft, "dataset = load_dataset", arguments)
    draft.add("")


def _call(draft: Draft, head: str, arguments: Sequence[tuple[str, Given | None]]) -> None:
    """Add a call, on one line where it has one argument."""
    if len(arguments) == 1:
        text, owner = arguments[0]
        draft.add(f"{head}({text})", owner)
        return
    draft.add(f"{head}(")
    for text, owner in arguments:
        draft.add(f"    {text},", owner)
    draft.add(")")


def _mixture(draft: Draft, request: Request, given: Given) -> None:
    """Load several data sets and join them, in the shares that are asked for."""
    draft.imports[-1] = "from datasets import concatenate_datasets, load_dataset"
    streaming = request.options.get("streaming")
    parts = given.data if isinstance(given.data, list) else []
    draft.add("parts = [")
    for part in parts:
        draft.add(f"    {_loaded(part, streaming)},", given, streaming)
    draft.add("]")
    fractions = [part.get("fraction") for part in parts]
    if all(fraction is not None for fraction in fractions) and fractions:
        draft.add(f"fractions = {literal(fractions)}", given)
        draft.add("shares = [fraction / sum(fractions) for fraction in fractions]")
        draft.add("# As many rows as there can be without taking one twice.")
        pairs = "for part, share in zip(parts, shares)"
        draft.add(f"total = min(len(part) / share {pairs} if share > 0)")
        draft.add(f"parts = [part.select(range(round(share * total))) {pairs}]")
    size = request.options.get("test_split_size")
    if size is not None and size.data is not None:
        split = f"train_test_split(test_size={python_value(size, None, draft.environment)})"
        draft.add(f"dataset = concatenate_datasets(parts).{split}", given, size)
    else:
        draft.add('dataset = {"train": concatenate_datasets(parts)}', given, size)
    draft.add("")


def _loaded(part: Mapping[str, object], streaming: Given | None) -> str:
    names = ("name", "data_dir", "data_files")
    arguments = [literal(part.get("path"))]
    arguments += [f"{name}={literal(part[name])}" for name in names if part.get(name) is not None]
    arguments.append(f"split={literal(part.get('split', 'train'))}")
    if streaming is not None and is_true(streaming):
        arguments.append("streaming=True")
    columns = part.get("columns")
    chosen = f".select_columns({literal(columns)})" if columns is not None else ""
    return f"load_dataset({', '.join(arguments)}){chosen}"


def _rewards(draft: Draft, request: Request) -> list[tuple[str, Given]]:
    """Return the elements of `reward_funcs`, and import what they need."""
    found: list[tuple[str, Given]] = []
    if model := request.options.get("reward_model_name_or_path"):
        found.append((text_value(model, draft.environment), model))
    functions = request.options.get("reward_funcs")
    if functions is None or request.trainer not in WITH_REWARDS:
        return found
    for text in list_value(functions, draft.environment):
        path = text.strip('"')
        module, _, name = path.rpartition(".")
        if path in REWARD_FUNCTIONS:
            draft.imports.append(f"from trl.rewards import {path}")
            found.append((REWARD_FUNCTIONS[path], functions))
        elif module and text.startswith('"'):
            draft.imports.append(f"from {module} import {name}")
            found.append((name, functions))
        else:
            found.append((text, functions))
    return found


def _config(draft: Draft, request: Request) -> None:
    for marker in request.markers:
        draft.add(marker)
    draft.add(f"training_args = {request.trainer}Config(")
    for given in request.parts(Part.CONFIG):
        if given.name == "resume_from_checkpoint":
            continue
        row = option_row(given.name, request.method, request.tables)
        default = row.defaults[-1][1] if row is not None and row.defaults else None
        name, value = given.name, python_value(given, default, draft.environment)
        if name.startswith("no_") and not _is_field(name, request):
            name, value = name.removeprefix("no_"), "False"
        draft.add(f"    {name}={value},", given)
    draft.add(")")
    draft.add("")


def _is_field(name: str, request: Request) -> bool:
    return request.tables.config_row(config_of(request.method), name) is not None


def _trainer(draft: Draft, request: Request, rewards: Sequence[tuple[str, Given]]) -> None:
    options, environment = request.options, draft.environment
    model = options.get("model_name_or_path")
    draft.add(f"trainer = {request.trainer}Trainer(")
    draft.add(f"    model={text_value(model, environment) if model else 'None'},", model)
    if teacher := options.get("teacher_model_name_or_path"):
        draft.add(f"    teacher_model={text_value(teacher, environment)},", teacher)
    if rewards:
        listed = ", ".join(text for text, _ in rewards)
        draft.add(f"    reward_funcs=[{listed}],", *(given for _, given in rewards))
    draft.add("    args=training_args,")
    train = options.get("dataset_train_split")
    draft.add(f"    train_dataset=dataset[{_split(draft, train, 'train')}],", train)
    if _evaluates(options):
        test = options.get("dataset_test_split")
        draft.add(f"    eval_dataset=dataset[{_split(draft, test, 'test')}],", test)
    _adapter(draft, request)
    draft.add(")")
    resume = options.get("resume_from_checkpoint")
    if resume is None:
        draft.add("trainer.train()")
    else:
        value = python_value(resume, None, environment)
        draft.add(f"trainer.train(resume_from_checkpoint={value})", resume)
    output = options.get("output_dir")
    folder = text_value(output, environment) if output else "training_args.output_dir"
    draft.add(f"trainer.save_model({folder})", output)
    upload = options.get("push_to_hub")
    if upload is not None and is_true(upload):
        name = options.get("dataset_name")
        given = f"dataset_name={text_value(name, environment)}" if name else ""
        draft.add(f"trainer.push_to_hub({given})", upload)


def _split(draft: Draft, given: Given | None, default: str) -> str:
    return literal(default) if given is None else text_value(given, draft.environment)


def _evaluates(options: Mapping[str, Given]) -> bool:
    strategy = options.get("eval_strategy") or options.get("evaluation_strategy")
    return strategy is not None and strategy.text not in {"no", None, "False"}


def _adapter(draft: Draft, request: Request) -> None:
    switch = request.options.get("use_peft")
    if switch is None or not is_true(switch):
        return
    draft.imports.append("from peft import LoraConfig")
    arguments = {name: (text, switch) for name, text in ADAPTER_DEFAULTS.items()}
    for given in request.parts(Part.ADAPTER):
        if given is switch:
            continue
        name = ADAPTER[given.name]
        value = python_value(given, ADAPTER_DEFAULTS.get(name), draft.environment)
        if name in {"target_modules", "target_parameters", "modules_to_save"}:
            listed = list_value(given, draft.environment)
            # TRL hands on a single module as text, and nothing else.
            is_single = len(listed) == 1 and name == "target_modules"
            value = listed[0] if is_single else f"[{', '.join(listed)}]"
        arguments[name] = (value, given)
    draft.add("    peft_config=LoraConfig(", switch)
    for name, (value, owner) in arguments.items():
        draft.add(f"        {name}={value},", owner)
    draft.add("    ),")
