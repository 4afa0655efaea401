"""Which models and data sets a script names, found without running it.

A stand-in hub must know every name the script will ask for. Names in the calls that load something
are taken whatever they look like; any other string that looks like a hub id (`owner/name`) is taken
as both a model and a data set.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from mint_migrate.bridge.constants import Constants, called_name, collect

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*\Z")
BARE_ID = re.compile(r"[A-Za-z][\w.-]*\Z")
MODEL_ATTRIBUTES = (
    *("base_model", "model", "model_id", "model_name", "model_path", "model_name_or_path"),
    *(
        "tokenizer_name",
        "tokenizer_name_or_path",
        "pretrained_model_name_or_path",
        "base_model_name",
    ),
)
SERVED_AS = frozenset({"base_model", "reference_model", "teacher_model"})
"""Keywords of a converted script whose values a runtime must serve."""
DATASET_ATTRIBUTES = ("dataset", "dataset_id", "dataset_name", "dataset_path", "data_name")
PACKAGED_LOADERS = frozenset(
    {
        "json",
        "csv",
        "parquet",
        "text",
        "arrow",
        "xml",
        "sql",
        "webdataset",
        "imagefolder",
        "audiofolder",
    }
)
"""First arguments of `load_dataset` that name a file format."""


DATA_SUFFIXES = frozenset({".json", ".jsonl", ".csv"})


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetRequest:
    """One way in which a script loads a data set."""

    path: str
    config: str | None = None
    data_files: str | None = None
    data_dir: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """What the stand-in hub has to answer."""

    models: tuple[str, ...]
    base_models: tuple[str, ...]
    """Names given as one of `SERVED_AS`: what a runtime must serve."""
    datasets: tuple[DatasetRequest, ...]
    loads_from_hub: bool
    """Some data set stands in a call that loads it, not only as a string that looks like one."""
    splits: tuple[str, ...]
    data_files: tuple[str, ...]
    """Paths the script loads as local files, whether they exist or not."""


def find_names(source: str, args: Sequence[str] = (), *, folder: Path | None = None) -> Names:
    """Return the names in a script and in its command line.

    Args:
        source: the script's text; it must parse.
        args: its command-line arguments. A YAML file among them is read for names too.
        folder: where the script runs; relative argument files are looked up there.
    """
    tree = ast.parse(source)
    constants = collect(tree)
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    loaders = [call for call in calls if called_name(call) == "load_dataset"]
    free = _hub_ids(tree, args, folder)
    datasets = _datasets(constants, loaders, free)
    return Names(
        models=_unique([*_models(constants, calls), *free]),
        base_models=_base_models(constants, calls),
        datasets=datasets,
        loads_from_hub=any(request.path not in free for request in datasets)
        or any(path in free for call in loaders for path in _loaded_paths(constants, call)),
        splits=_splits(constants, loaders, tree),
        data_files=_unique([*_data_files(constants, calls), *_data_arguments(args)]),
    )


def _unique(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))


def _argument(call: ast.Call, position: int, *keywords: str) -> ast.expr | None:
    """Return an argument given by one of these keywords or at this position."""
    for word in call.keywords:
        if word.arg in keywords:
            return word.value
    return call.args[position] if len(call.args) > position else None


def _models(constants: Constants, calls: list[ast.Call]) -> list[str]:
    found: list[str] = []
    for call in calls:
        name = called_name(call)
        if name == "from_pretrained" or name.endswith("Trainer"):
            found += constants.strings(
                _argument(call, 0, "pretrained_model_name_or_path", "model_name", "model")
            )
    for attribute in MODEL_ATTRIBUTES:
        found += [value for value in constants.of_attribute(attribute) if isinstance(value, str)]
    return [name for name in found if _is_name(name)]


def _base_models(constants: Constants, calls: list[ast.Call]) -> tuple[str, ...]:
    found: list[str] = []
    for call in calls:
        for word in call.keywords:
            if word.arg in SERVED_AS:
                found += constants.strings(word.value)
        if called_name(call).startswith("create_lora_training_client"):
            found += constants.strings(_argument(call, 0, "base_model"))
    return _unique(name for name in found if _is_name(name))


def _datasets(
    constants: Constants, loaders: list[ast.Call], free: tuple[str, ...]
) -> tuple[DatasetRequest, ...]:
    found: list[DatasetRequest] = []
    for call in loaders:
        configs = constants.strings(_argument(call, 1, "name")) or (None,)
        files = constants.strings(_argument(call, 3, "data_files")) or (None,)
        folders = constants.strings(_argument(call, 2, "data_dir")) or (None,)
        for path in _loaded_paths(constants, call):
            if path not in PACKAGED_LOADERS and _is_name(path):
                found += [
                    DatasetRequest(path=path, config=config, data_files=file, data_dir=directory)
                    for config in configs
                    for file in files
                    for directory in folders
                ]
    named = {request.path for request in found}
    for attribute in DATASET_ATTRIBUTES:
        values = [value for value in constants.of_attribute(attribute) if isinstance(value, str)]
        free = _unique([*free, *(value for value in values if _is_name(value))])
    found += [DatasetRequest(path=path) for path in free if path not in named]
    return tuple(dict.fromkeys(found))


def _loaded_paths(constants: Constants, call: ast.Call) -> tuple[str, ...]:
    """Return what a call of `load_dataset` may load."""
    return constants.strings(_argument(call, 0, "path"))


def _splits(constants: Constants, loaders: list[ast.Call], tree: ast.AST) -> tuple[str, ...]:
    """Return the split names that are asked for, and those every stand-in has."""
    texts: list[str] = []
    for call in loaders:
        texts += constants.strings(_argument(call, 99, "split"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
            key = node.slice.value
            if isinstance(key, str) and re.match(
                r"(train|test|val|validation|eval|dev)(_|\Z)", key
            ):
                texts.append(key)
    parts = [part.split("[")[0].strip() for text in texts for part in text.split("+")]
    # Of a loader, `all` asks for every split there is.
    parts = [part for part in parts if part != "all"]
    usual = ["train", "test", "validation"]
    return _unique([*usual, *(part for part in parts if re.fullmatch(r"\w+", part))])


def _data_files(constants: Constants, calls: list[ast.Call]) -> tuple[str, ...]:
    found: list[str] = []
    for call in calls:
        name = called_name(call)
        if name == "load_dataset":
            if any(path in PACKAGED_LOADERS for path in _loaded_paths(constants, call)):
                found += _file_strings(constants, _argument(call, 3, "data_files"))
        elif name in {"from_json", "from_csv", "read_json", "read_csv"}:
            found += constants.strings(_argument(call, 0, "path_or_paths", "path_or_buf"))
        elif name == "open" and isinstance(call.func, ast.Name):
            paths = constants.strings(_argument(call, 0, "file"))
            found += [path for path in paths if Path(path).suffix in DATA_SUFFIXES]
    return _unique(path for path in found if "://" not in path)


def _data_arguments(args: Sequence[str]) -> list[str]:
    """Return the arguments, and the values in `--flag=value`, that name data files."""
    values = [arg.split("=", 1)[-1] for arg in args]
    return [value for value in values if Path(value).suffix in DATA_SUFFIXES]


def _file_strings(constants: Constants, node: ast.expr | None) -> list[str]:
    """Return the paths of a string, a list of them, or a dictionary from split to them."""
    match node:
        case ast.Dict(values=inner) | ast.List(elts=inner) | ast.Tuple(elts=inner):
            return [path for item in inner for path in _file_strings(constants, item)]
        case ast.Name(id=name) if any(
            isinstance(value, ast.Dict | ast.List) for value in constants.names.get(name, ())
        ):
            return [
                path for value in constants.names[name] for path in _file_strings(constants, value)
            ]
    return list(constants.strings(node))


def _is_name(text: str) -> bool:
    return bool(HUB_ID.match(text) or BARE_ID.match(text))


def _hub_ids(tree: ast.AST, args: Sequence[str], folder: Path | None) -> tuple[str, ...]:
    """Return every string of the module and the command line that looks like `owner/name`."""
    texts = [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    texts += [part for arg in args for part in arg.split("=", 1)]
    for arg in args:
        path = (folder or Path()) / arg
        if path.suffix in {".yaml", ".yml"} and path.is_file():
            texts += _yaml_strings(yaml.safe_load(path.read_text(encoding="utf-8")))
    return _unique(text for text in texts if HUB_ID.match(text))


def _yaml_strings(content: object) -> list[str]:
    if isinstance(content, dict):
        return [text for value in content.values() for text in _yaml_strings(value)]
    if isinstance(content, list):
        return [text for value in content for text in _yaml_strings(value)]
    return [content] if isinstance(content, str) else []
