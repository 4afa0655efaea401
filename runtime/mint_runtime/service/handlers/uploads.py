"""Uploading a checkpoint that was trained elsewhere."""

from __future__ import annotations

import asyncio
import logging
import secrets
import shutil
import time
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path
from typing import Any

from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from mint_runtime.engine.commands import BaseModelInfo, Done, Result
from mint_runtime.errors import UserError
from mint_runtime.service import convert, unpacking
from mint_runtime.service.call import BodyTooLarge, Call, Endpoint
from mint_runtime.service.checkpoints import Details, upload_ref
from mint_runtime.service.records import ModelRecord
from mint_runtime.service.services import Services

_LOG = logging.getLogger("mint_runtime.service")


async def upload_checkpoint(call: Call[None]) -> Response:
    """Take a LoRA checkpoint as the form field `file`, a `.tar.gz` as peft's folder packs.

    The base model is the one its settings name, or the form field `base_model`. The answer has the
    checkpoint's path and its id, either of which is taken where a path is.
    """
    services, limit = call.services, call.services.settings.max_upload_bytes
    form = await _form(call.request, limit)
    try:
        file, base_model = form.get("file"), form.get("base_model")
        if not isinstance(file, UploadFile):
            raise UserError(
                "the form has no file called `file`; send the `.tar.gz` under that name"
            )
        if base_model is not None and not isinstance(base_model, str):
            raise UserError("the form field `base_model` has to be text")
        path = await _keep(services, file, base_model)
    finally:
        await form.close()
    return JSONResponse({**path, "type": "upload_checkpoint"})


async def _keep(services: Services, file: UploadFile, base_model: str | None) -> dict[str, str]:
    upload_id = f"ckpt_{secrets.token_hex(8)}"
    ref = upload_ref(upload_id)
    records: list[ModelRecord] = []

    def work(directory: Path) -> Result:
        partial = directory.with_name(f".{directory.name}.partial")
        partial.mkdir()
        try:
            unpacking.unpack(file.file, partial, services.settings.max_upload_bytes)
            records.append(_checked(services, upload_id, partial, base_model))
            partial.rename(directory)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        services.store.put_model(records[0])
        return Done()

    async def write(directory: Path) -> Result:
        return await asyncio.to_thread(work, directory)

    await (await services.checkpoints.save(ref, write, overwrite=False, details=Details()))
    _LOG.info("checkpoint %s was uploaded for %s", ref, records[0].base_model)
    return {
        "checkpoint_id": upload_id,
        "path": str(ref),
        "base_model": records[0].base_model,
    }


def _checked(
    services: Services, upload_id: str, directory: Path, base_model: str | None
) -> ModelRecord:
    """Return the run that an unpacked adapter becomes, once it is known to fit."""
    config = unpacking.read_config(directory)
    info = _base_model(services, config, base_model)
    # The engine reads the name from here.
    unpacking.write_config(directory, {**config, "base_model_name_or_path": info.name})
    shape = convert.adapter_shape(info.name, config["r"], unpacking.read_layers(directory))
    if shape.rank > info.max_lora_rank:
        raise UserError(
            f"the uploaded adapter has rank {shape.rank}; this server takes up to"
            f" {info.max_lora_rank} (`--max-lora-rank`)"
        )
    now = time.time()
    return ModelRecord(
        model_id=upload_id,
        session_id="upload",
        base_model=info.name,
        rank=shape.rank,
        seed=None,
        train_attn=shape.train_attn,
        train_mlp=shape.train_mlp,
        train_unembed=shape.train_unembed,
        created=now,
        last_request=now,
    )


def _base_model(services: Services, config: Mapping[str, Any], wanted: str | None) -> BaseModelInfo:
    if wanted is not None:
        return services.base_model(wanted)
    named = config.get("base_model_name_or_path")
    served = services.capabilities.base_models
    for info in served:
        if named in (info.name, info.tokenizer_id):
            return info
    names = ", ".join(info.name for info in served)
    raise UserError(
        f"the uploaded adapter names base model `{named}`, which is not served here (available:"
        f" {names}); if it is one of these, name it in the form field `base_model`"
    )


async def _form(request: Request, max_bytes: int) -> FormData:
    """Return the form of a multipart request, its file on disk.

    One that is too large is read to its end, so that the client sees the answer.
    """
    content_type = request.headers.get("content-type", "")
    if not content_type.startswith("multipart/form-data"):
        raise UserError("an upload is `multipart/form-data` with the `.tar.gz` in the field `file`")
    size = 0

    async def limited() -> AsyncGenerator[bytes, None]:
        nonlocal size
        async for chunk in request.stream():
            size += len(chunk)
            if size <= max_bytes:
                yield chunk
        if size > max_bytes:
            # The parser closes its files for this error only.
            raise MultiPartException("too large")

    try:
        return await MultiPartParser(request.headers, limited(), max_files=1, max_fields=10).parse()
    except (MultiPartException, KeyError, UnicodeDecodeError, LookupError) as error:
        if size > max_bytes:
            raise BodyTooLarge(
                f"the upload has {size} bytes, at most {max_bytes} are taken"
            ) from error
        raise UserError(f"the form cannot be read: {error}") from error


ENDPOINTS = {"upload_checkpoint": Endpoint(upload_checkpoint)}
