"""Checkpoints: their paths, their files, and what may still happen to them.

A path is `tinker://<model id>/<weights|sampler_weights>/<name>`; `mint://` means the same on input,
and the id of an uploaded checkpoint, `ckpt_<hex>`, stands for its path.
Files lie under one root, each checkpoint in a directory of its own that the engine makes appear
whole. The catalogue row comes after the files and goes before them, so whatever lies under the root
without a row is debris of a crash.
"""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
import shutil
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from mint_runtime.engine.commands import Result
from mint_runtime.errors import NotFound, ServerFault, UserError
from mint_runtime.service.records import AdapterShape, CheckpointKind, CheckpointRecord
from mint_runtime.service.store import Store

_LOG = logging.getLogger("mint_runtime.service")
_SCHEMES = ("tinker://", "mint://")
_MAX_NAME = 128
_UPLOAD_ID = re.compile(r"ckpt_[0-9a-f]{16}")
_REMEMBERED_EXPIRED = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointRef:
    """What a path names. It may not exist."""

    model_id: str
    kind: CheckpointKind
    name: str

    def __str__(self) -> str:
        return f"tinker://{self.model_id}/{self.kind.value}/{self.name}"


def is_checkpoint_path(text: str) -> bool:
    """Return whether `text` has the form of a path, or of an upload's id, rather than of a name."""
    return "://" in text or _UPLOAD_ID.fullmatch(text) is not None


def parse_path(path: str) -> CheckpointRef:
    """Return what `path` names.

    Raises:
        UserError: The path has another form.
    """
    if _UPLOAD_ID.fullmatch(path):
        return upload_ref(path)
    scheme = next((scheme for scheme in _SCHEMES if path.startswith(scheme)), None)
    parts = path.removeprefix(scheme).split("/") if scheme else []
    kinds = {kind.value for kind in CheckpointKind}
    if len(parts) != 3 or not all(parts) or parts[1] not in kinds:
        raise UserError(
            f"`{path}` is not a checkpoint path; one has the form"
            " `tinker://<model id>/weights/<name>` or `tinker://<model id>/sampler_weights/<name>`"
        )
    return CheckpointRef(model_id=parts[0], kind=CheckpointKind(parts[1]), name=parts[2])


def upload_ref(upload_id: str) -> CheckpointRef:
    """Return the checkpoint that an upload becomes: the only one of a run of its own."""
    return CheckpointRef(model_id=upload_id, kind=CheckpointKind.TRAINING, name="uploaded")


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Details:
    """What is to be remembered with a checkpoint."""

    ttl_s: int | None = None
    user_metadata: Mapping[str, str] = field(default_factory=dict)
    shape: Callable[[Path], AdapterShape] | None = None
    """Reads the shape from the files, when it is not the one of the model."""


class Checkpoints:
    """The saved adapters of all models.

    Coroutines belong to the event loop; the other methods block on files.
    """

    def __init__(self, store: Store, root: Path) -> None:
        self._store = store
        self._root = root
        self._saving: dict[CheckpointRef, asyncio.Future[None]] = {}
        self._expired: OrderedDict[str, float] = OrderedDict()

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
        if checkpoint is not None and not checkpoint.is_expired(time.time()):
            return checkpoint
        expired = self._expired.get(str(ref)) if checkpoint is None else checkpoint.expires_at
        if expired is None:
            raise NotFound(self._missing(ref))
        when = datetime.fromtimestamp(expired, UTC)
        raise NotFound(f"checkpoint `{ref}` has expired ({when:%Y-%m-%d %H:%M:%S} UTC)")

    def shape(self, checkpoint: CheckpointRecord) -> AdapterShape:
        """Return the shape of a saved adapter."""
        if checkpoint.shape is not None:
            return checkpoint.shape
        model = self._store.find_model(checkpoint.model_id)
        if model is None:
            raise ServerFault(f"the catalogue has `{checkpoint.path}` but not its model")
        return model.shape

    def remove_expired(self) -> None:
        """Delete what has expired, files and rows; that it did is remembered for a while."""
        for checkpoint in self._store.expired_checkpoints(time.time()):
            _LOG.info("checkpoint %s has expired and is deleted", checkpoint.path)
            assert checkpoint.expires_at is not None
            self._expired[checkpoint.path] = checkpoint.expires_at
            if len(self._expired) > _REMEMBERED_EXPIRED:
                self._expired.popitem(last=False)
            self.remove(checkpoint)

    async def keep_removing_expired(self, interval_s: float) -> None:
        """Delete what has expired every so often, until cancelled."""
        while True:
            await asyncio.sleep(interval_s)
            try:
                await asyncio.to_thread(self.remove_expired)
            except Exception:
                _LOG.exception("expired checkpoints could not be deleted; they are tried again")

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
        details: Details,
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
        return self._finish_save(ref, write(directory), relative, details, saving)

    async def _finish_save(
        self,
        ref: CheckpointRef,
        written: Awaitable[Result],
        relative: Path,
        details: Details,
        saving: asyncio.Future[None],
    ) -> Result:
        try:
            result = await written
            await asyncio.to_thread(self._commit, ref, relative, details)
        finally:
            if self._saving.get(ref) is saving:
                del self._saving[ref]
            saving.set_result(None)
        return result

    def _commit(self, ref: CheckpointRef, relative: Path, details: Details) -> None:
        now = time.time()
        directory = self._root / relative
        files = [file for file in directory.rglob("*") if file.is_file()]
        checkpoint = CheckpointRecord(
            model_id=ref.model_id,
            kind=ref.kind,
            name=ref.name,
            directory=relative,
            created=now,
            size_bytes=sum(file.stat().st_size for file in files),
            expires_at=None if details.ttl_s is None else now + details.ttl_s,
            user_metadata=details.user_metadata,
            shape=None if details.shape is None else details.shape(directory),
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
