"""Uploaded checkpoints: an untrusted archive, of which only what is known is kept.

An adapter is two files, as peft writes them, with those of the optimizer beside them when they come
from a checkpoint of this server. They may lie in one folder of the archive. Everything else in it
is skipped, after a check that it is an ordinary file: a link or a device is refused, wherever it
would have gone.
"""

from __future__ import annotations

import gzip
import json
import tarfile
import zlib
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import IO, Any

from mint_runtime.errors import UserError

WEIGHTS_FILE = "adapter_model.safetensors"
CONFIG_FILE = "adapter_config.json"
OPTIMIZER_FILES = ("optimizer.safetensors", "optimizer.json")
_KEPT = (WEIGHTS_FILE, CONFIG_FILE, *OPTIMIZER_FILES)
_MAX_MEMBERS = 1000
_MAX_CONFIG = 1 << 20
_MAX_HEADER = 1 << 27
_COPIED_AT_ONCE = 1 << 20
# Headers of an archive are read whole; nobody needs more than this in one.
_MAX_READ = 1 << 24


def unpack(archive: IO[bytes], directory: Path, max_bytes: int) -> None:
    """Write the adapter in a `.tar.gz` into `directory`, an existing folder.

    Raises:
        UserError: It is not such an archive, is damaged, holds more than `max_bytes`, holds what is
            not an ordinary file, or lacks a file of the adapter.
    """
    try:
        with (
            gzip.GzipFile(fileobj=archive, mode="rb") as plain,
            tarfile.open(fileobj=_Limited(plain, max_bytes), mode="r:") as members,  # type: ignore[call-overload]
        ):
            _unpack_members(members, directory)
    except (tarfile.TarError, EOFError, gzip.BadGzipFile, zlib.error, UnicodeError) as error:
        raise UserError(f"the uploaded file is not a whole `.tar.gz`: {error}") from error
    missing = [name for name in (WEIGHTS_FILE, CONFIG_FILE) if not (directory / name).is_file()]
    if missing:
        raise UserError(
            f"the uploaded archive has no `{missing[0]}`; pack the folder that peft's"
            " `save_pretrained` writes"
        )


def read_layers(directory: Path) -> frozenset[str]:
    """Return the last part of the name of each layer that the unpacked adapter changes.

    Raises:
        UserError: The weights are not a safetensors file of LoRA matrices.
    """
    path = directory / WEIGHTS_FILE
    size = path.stat().st_size
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if length > min(size - 8, _MAX_HEADER):
                raise ValueError("it ends early")
            header = json.loads(file.read(length))
        names = [name for name in header if name != "__metadata__"]
    except (ValueError, TypeError, RecursionError) as error:
        raise UserError(f"`{WEIGHTS_FILE}` in the upload is not a safetensors file") from error
    layers = {name.rpartition(".lora_A.")[0].rpartition(".")[2] for name in names} - {""}
    if not layers:
        raise UserError(f"`{WEIGHTS_FILE}` in the upload holds no LoRA matrices")
    return frozenset(layers)


def read_config(directory: Path) -> dict[str, Any]:
    """Return the settings of the unpacked adapter.

    Raises:
        UserError: They are not those of a LoRA adapter.
    """
    path = directory / CONFIG_FILE
    try:
        if path.stat().st_size > _MAX_CONFIG:
            raise ValueError("it has more than a megabyte")
        config = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise UserError(f"`{CONFIG_FILE}` in the upload is not JSON: {error}") from error
    if not isinstance(config, dict) or config.get("peft_type") != "LORA":
        raise UserError(f"`{CONFIG_FILE}` in the upload does not describe a LoRA adapter of peft")
    rank = config.get("r")
    if type(rank) is not int or rank < 1:
        raise UserError(f"`{CONFIG_FILE}` in the upload has `r` = {rank!r}; it has to be a count")
    return config


def write_config(directory: Path, config: Mapping[str, Any]) -> None:
    """Replace the settings of the unpacked adapter."""
    text = json.dumps(dict(config), indent=2) + "\n"
    (directory / CONFIG_FILE).write_text(text, encoding="utf-8")


class _Limited:
    """A stream that is read forwards, up to a limit and never much at once."""

    def __init__(self, stream: gzip.GzipFile, max_bytes: int) -> None:
        self._stream = stream
        self._max_bytes = max_bytes

    def tell(self) -> int:
        return self._stream.tell()

    def seek(self, position: int) -> int:
        self._check(position)
        return self._stream.seek(position)

    def read(self, size: int) -> bytes:
        if size > _MAX_READ:
            raise UserError("the uploaded archive has a header of an impossible size")
        self._check(self._stream.tell() + size)
        return self._stream.read(size)

    def _check(self, position: int) -> None:
        # An archive is padded to whole records, which are read though nothing is in them.
        if position > self._max_bytes + tarfile.RECORDSIZE:
            raise UserError(
                f"the uploaded archive holds more than {self._max_bytes} bytes, the most that is"
                " taken"
            )


def _unpack_members(members: tarfile.TarFile, directory: Path) -> None:
    parents = set()
    for index, member in enumerate(members):
        if index >= _MAX_MEMBERS:
            raise UserError(f"the uploaded archive has more than {_MAX_MEMBERS} members")
        path = PurePosixPath(member.name)
        if path.is_absolute() or ".." in path.parts or "\\" in member.name:
            raise UserError(f"the uploaded archive has a path that leads out of it: `{path}`")
        if member.isdir():
            continue
        if not member.isfile() or member.issparse():
            raise UserError(f"`{path}` in the uploaded archive is not an ordinary file")
        if path.name not in _KEPT:
            continue
        parents.add(path.parent)
        target = directory / path.name
        if len(parents) > 1 or target.exists():
            raise UserError("the uploaded archive holds more than one adapter; pack one folder")
        _copy(members, member, target)


def _copy(members: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> None:
    source = members.extractfile(member)
    assert source is not None
    written = 0
    with source, target.open("xb") as file:
        while block := source.read(_COPIED_AT_ONCE):
            file.write(block)
            written += len(block)
    if written != member.size:
        raise tarfile.ReadError(f"`{member.name}` ends early")
