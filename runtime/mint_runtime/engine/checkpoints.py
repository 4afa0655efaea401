"""Adapters on disk: peft's two files, with the optimizer's beside them, in a folder that appears
whole or not at all.

    adapter_model.safetensors, adapter_config.json    the adapter, as peft and vLLM read it
    optimizer.safetensors, optimizer.json             both moments of every matrix, and the step
    count checkpoint.json                                   which base model the adapter belongs to

A folder is written under a hidden name beside its destination (`.<name>.<random>.partial`), flushed
to disk and renamed. A process killed half-way leaves only such a hidden folder, which the next save
of the same name removes. Gradients accumulated since the last optimizer step are not saved.
"""

from __future__ import annotations

import glob
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import save_file

from mint_runtime.engine.models import TrainedModel
from mint_runtime.errors import ServerFault, UserError
from mint_runtime.model.adapter import Adapter
from mint_runtime.model.load import BaseModel
from mint_runtime.model.peft_files import (
    CONFIG_FILE,
    read_adapter,
    read_config,
    read_tensors,
    write_adapter,
)
from mint_runtime.optim.adam import Adam

OPTIMIZER_FILE = "optimizer.safetensors"
OPTIMIZER_RECORD = "optimizer.json"
CHECKPOINT_RECORD = "checkpoint.json"
FORMAT_VERSION = 1


def save_model(model: TrainedModel, directory: Path, *, with_optimizer: bool) -> None:
    """Write the adapter, and its optimizer if asked, into the new folder `directory`.

    Raises:
        UserError: the folder exists already.
        ServerFault: it cannot be written, for example because the disk is full. Nothing is left of
            it then.
    """
    with _new_folder(directory) as partial:
        _write_adapter(partial, model.adapter, model.base)
        if with_optimizer:
            _write_optimizer(partial, model.optimizer)


def save_adapter(adapter: Adapter, base: BaseModel, directory: Path) -> None:
    """Write an adapter that has no optimizer into the new folder `directory`.

    Raises:
        UserError: the folder exists already.
        ServerFault: it cannot be written. Nothing is left of it then.
    """
    with _new_folder(directory) as partial:
        _write_adapter(partial, adapter, base)


def _write_adapter(directory: Path, adapter: Adapter, base: BaseModel) -> None:
    write_adapter(directory, adapter, base)
    record = {"format": FORMAT_VERSION, "base_model": base.name}
    _write_record(directory / CHECKPOINT_RECORD, record)


@contextmanager
def _new_folder(directory: Path) -> Iterator[Path]:
    if directory.exists():
        raise UserError(f"{directory.name!r} exists already; choose another name")
    try:
        with _appearing(directory) as partial:
            yield partial
    except (OSError, SafetensorError) as error:
        raise ServerFault(f"checkpoint {directory.name!r} could not be written: {error}") from error


def read_model(
    model: TrainedModel, directory: Path, *, with_optimizer: bool
) -> tuple[Adapter, Adam]:
    """Return the adapter in `directory` and its optimizer, for `model` to continue from.

    The optimizer continues from the saved moments and step count when asked, and starts afresh
    otherwise. Alpha is taken from the folder, as the matrices mean nothing without it.

    Raises:
        UserError: the folder belongs to another base model, rank or set of layers, is damaged, or
            lacks the optimizer.
    """
    adapter = read_for(directory, model.base)
    if adapter.rank != model.adapter.rank:
        raise UserError(
            f"{directory.name!r} has rank {adapter.rank}, but the model was created with rank "
            f"{model.adapter.rank}"
        )
    if adapter.pairs.keys() != model.adapter.pairs.keys():
        raise UserError(
            f"{directory.name!r} trains other layers than the model; create the model with the "
            "same `train_attn`, `train_mlp` and `train_unembed`"
        )
    optimizer = Adam(adapter)
    if with_optimizer:
        _read_optimizer(directory, optimizer)
    return adapter, optimizer


def read_for(directory: Path, base: BaseModel) -> Adapter:
    """Read the adapter in `directory` after checking that it belongs to `base`.

    Raises:
        UserError: it does not, or it is damaged.
    """
    owner = _base_model_of(directory)
    if owner not in (base.name, base.source):
        raise UserError(
            f"{directory.name!r} was trained on base model {owner!r}, but this model's "
            f"is {base.name!r}"
        )
    return read_adapter(directory, base)


def _base_model_of(directory: Path) -> object:
    """Return what the folder says it was trained on; peft itself says it in the config."""
    config = read_config(directory)
    record = directory / CHECKPOINT_RECORD
    if record.exists():
        return _read_record(record).get("base_model")
    return config.get("base_model_name_or_path", f"(not named in {CONFIG_FILE})")


def _write_optimizer(directory: Path, optimizer: Adam) -> None:
    moments = {name: value.cpu().contiguous() for name, value in optimizer.moments().items()}
    save_file(moments, directory / OPTIMIZER_FILE, metadata={"format": "pt"})
    _write_record(
        directory / OPTIMIZER_RECORD, {"format": FORMAT_VERSION, "num_steps": optimizer.num_steps}
    )


def _read_optimizer(directory: Path, optimizer: Adam) -> None:
    record = directory / OPTIMIZER_RECORD
    if not record.exists():
        raise UserError(
            f"{directory.name!r} was saved without its optimizer; load it without, or use a "
            "checkpoint that has one"
        )
    num_steps = _read_record(record).get("num_steps")
    if not isinstance(num_steps, int) or num_steps < 0:
        raise UserError(f"{record} is damaged: `num_steps` is {num_steps!r}")
    try:
        optimizer.restore(read_tensors(directory / OPTIMIZER_FILE), num_steps)
    except (KeyError, ValueError) as error:
        raise UserError(
            f"{directory / OPTIMIZER_FILE} does not fit the adapter: {error}"
        ) from error


def _write_record(path: Path, record: dict[str, object]) -> None:
    path.write_text(json.dumps(record) + "\n", encoding="utf-8")


def _read_record(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{path} is damaged: {error}") from error
    if not isinstance(record, dict):
        raise UserError(f"{path} is damaged: it is not a JSON object")
    return record


@contextmanager
def _appearing(directory: Path) -> Iterator[Path]:
    """Yield an empty folder that becomes `directory` if the body succeeds, and vanishes if not."""
    parent = directory.parent
    parent.mkdir(parents=True, exist_ok=True)
    for leftover in parent.glob(f".{glob.escape(directory.name)}.*.partial"):
        shutil.rmtree(leftover, ignore_errors=True)
    partial = Path(tempfile.mkdtemp(dir=parent, prefix=f".{directory.name}.", suffix=".partial"))
    try:
        # mkdtemp makes folders for one user; a finished checkpoint has ordinary permissions.
        partial.chmod(0o755)
        yield partial
        for path in partial.iterdir():
            # safetensors writes files only their owner can read; other servers load these too.
            path.chmod(0o644)
            _flush(path)
        _flush(partial)
        partial.rename(directory)
        _flush(parent)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
