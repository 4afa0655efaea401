"""Checkpoints: their paths, their files, and what may still happen to them.

A path is `tinker://<model id>/<weights|sampler_weights>/<name>`; `mint://` means the same on input.
Files lie under one root, each checkpoint in a directory of its own that the engine makes appear
whole. The catalogue row comes after the files and goes before them, so whatever lies under the root
without a row is debris of a crash.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import shutil
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from mint_runtime.engine.commands import Result
from mint_runtime.errors import NotFound, UserError
from mint_runtime.service.records import CheckpointKind, CheckpointRecord
from mint_runtime.service.store import Store

_LOG = logging.getLogger("mint_runtime.service")
_SCHEMES = ("tinker://", "mint://")
_MAX_NAME = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointRef:
    """What a path names. It may not exist."""

    model_id: str
    kind: CheckpointKind
    name: str

    def __str__(self) -> str:
        return f"tinker://{self.model_id}/{self.kind.value}/{self.name}"


def parse_path(path: str) -> CheckpointRef:
    """Return what `path` names.

    Raises:
        UserError: The path has another form.
    """
    scheme = next((scheme for scheme in _SCHEMES if path.startswith(scheme)), None)
    parts = path.removeprefix(scheme).split("/") if scheme else []
    kinds = {kind.value for kind in CheckpointKind}
    if len(parts) != 3 or not all(parts) or parts[1] not in kinds:
        raise UserError(
            f"`{path}` is not a checkpoint path; one has the form"
            " `tinker://<model id>/weights/<name>` or `tinker://<model id>/sampler_weights/<name>`"
        )
    return CheckpointRef(model_id=parts[0], kind=CheckpointKind(parts[1]), name=parts[2])


def check_name(name: str) -> str:
    """Return `name` if it can be the last segment of a path.

    Raises:
        UserError: It is empty, too long, or has characters that a path or a URL could not carry.
    """
    problem = None
    if not name:
        problem = "is empty"
    elif len(name) > _MAX_NAME:
        problem = f"has {len(name)} characters, at most {_MAX_NAME} are allowed"
    elif "/" in name or "\\" in name or "?" in name or "#" in name or "%" in name:
        problem = "has one of the characters / \\ ? # %"
    elif ".." in name or name.startswith("."):
        problem = "begins with a dot or has two in a row"
    elif not name.isprintable() or name != name.strip():
        problem = "has characters that cannot be printed, or blanks at an end"
    if problem:
        raise UserError(f"the checkpoint name {name[:_MAX_NAME]!r} {problem}")
    return name


class Checkpoints:
    """The saved adapters of all models.

    Coroutines belong to the event loop; the other methods block on files.
    """

    def __init__(self, store: Store, root: Path) -> None:
        self._store = store
        self._root = root
        self._saving: dict[CheckpointRef, asyncio.Future[None]] = {}

    def clean(self) -> None:
        """Remove files without a row, files of expired checkpoints, and rows without files.

        For start-up.
        """
        self._root.mkdir(parents=True, exist_ok=True)
        now = time.time()
        kept = set()
        for checkpoint in self._store.all_checkpoints():
            if checkpoint.is_expired(now):
                continue
            if (self._root / checkpoint.directory).is_dir():
                kept.add(self._root / checkpoint.directory)
            else:
                _LOG.warning("checkpoint %s has lost its files and is forgotten", checkpoint.path)
                self._store.delete_checkpoint(checkpoint)
        self._remove_all_but(kept)

    def directory(self, checkpoint: CheckpointRecord) -> Path:
        """Return where the files of `checkpoint` are."""
        return self._root / checkpoint.directory

    def remove(self, checkpoint: CheckpointRecord) -> None:
        """Delete a checkpoint, row first."""
        self._store.delete_checkpoint(checkpoint)
        shutil.rmtree(self.directory(checkpoint), ignore_errors=True)

    def get(self, ref: CheckpointRef) -> CheckpointRecord:
        """Return a complete checkpoint.

        Raises:
            NotFound: It does not exist or has expired.
        """
        checkpoint = self._store.find_checkpoint(ref.model_id, ref.kind, ref.name)
        if checkpoint is None:
            raise NotFound(self._missing(ref))
        if checkpoint.is_expired(time.time()):
            assert checkpoint.expires_at is not None
            when = datetime.fromtimestamp(checkpoint.expires_at, UTC)
            raise NotFound(f"checkpoint `{ref}` has expired ({when:%Y-%m-%d %H:%M:%S} UTC)")
        return checkpoint

    async def wait_and_get(self, ref: CheckpointRef) -> CheckpointRecord:
        """Return a checkpoint, waiting for the engine if it is being written now."""
        saving = self._saving.get(ref)
        if saving is not None:
            await asyncio.shield(saving)
        return await asyncio.to_thread(self.get, ref)

    async def save(
        self,
        ref: CheckpointRef,
        write: Callable[[Path], Awaitable[Result]],
        *,
        overwrite: bool,
        ttl_s: int | None,
    ) -> Awaitable[Result]:
        """Start writing a checkpoint; the answer ends when its row exists.

        Raises:
            UserError: There is one with this name, and `overwrite` is not set.
        """
        await self._check_free(ref, overwrite)
        relative = Path(ref.model_id.replace(":", "_"), ref.kind.value, secrets.token_hex(8))
        directory = self._root / relative
        await asyncio.to_thread(directory.parent.mkdir, parents=True, exist_ok=True)
        saving: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._saving[ref] = saving
        return self._finish_save(ref, write(directory), relative, ttl_s, saving)

    async def _finish_save(
        self,
        ref: CheckpointRef,
        written: Awaitable[Result],
        relative: Path,
        ttl_s: int | None,
        saving: asyncio.Future[None],
    ) -> Result:
        try:
            result = await written
            await asyncio.to_thread(self._commit, ref, relative, ttl_s)
        finally:
            if self._saving.get(ref) is saving:
                del self._saving[ref]
            saving.set_result(None)
        return result

    def _commit(self, ref: CheckpointRef, relative: Path, ttl_s: int | None) -> None:
        now = time.time()
        files = [file for file in (self._root / relative).rglob("*") if file.is_file()]
        checkpoint = CheckpointRecord(
            model_id=ref.model_id,
            kind=ref.kind,
            name=ref.name,
            directory=relative,
            created=now,
            size_bytes=sum(file.stat().st_size for file in files),
            expires_at=None if ttl_s is None else now + ttl_s,
        )
        replaced = self._store.put_checkpoint(checkpoint)
        if replaced is not None:
            shutil.rmtree(self.directory(replaced), ignore_errors=True)

    async def _check_free(self, ref: CheckpointRef, overwrite: bool) -> None:
        if overwrite:
            return
        taken = ref in self._saving
        if not taken:
            row = await asyncio.to_thread(
                self._store.find_checkpoint, ref.model_id, ref.kind, ref.name
            )
            taken = row is not None and not row.is_expired(time.time())
        if taken:
            training = ref.kind is CheckpointKind.TRAINING
            way_out = "pass `overwrite=True`" if training else "delete it first"
            raise UserError(f"checkpoint `{ref}` exists; save under another name, or {way_out}")

    def _missing(self, ref: CheckpointRef) -> str:
        others = self._store.checkpoints_of_model(ref.model_id, time.time())
        if not others:
            return f"checkpoint `{ref}` does not exist, and model `{ref.model_id}` has no other"
        names = ", ".join(f"`{other.checkpoint_id}`" for other in others[-5:])
        return f"checkpoint `{ref}` does not exist; the latest of `{ref.model_id}` are {names}"

    def _remove_all_but(self, kept: set[Path]) -> None:
        for model in self._root.iterdir():
            for directory in model.glob("*/*"):
                if directory not in kept:
                    _LOG.info("removing %s, which no checkpoint owns", directory)
                    shutil.rmtree(directory, ignore_errors=True)
