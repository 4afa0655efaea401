"""Checkpoints as one file to download.

`archive` redirects to a signed link, because clients take the link from the redirect and fetch it
without a key.
"""

from __future__ import annotations

import asyncio
import os
import tarfile
import tempfile
import time
from email.utils import formatdate
from pathlib import Path
from urllib.parse import quote

from starlette.background import BackgroundTask
from starlette.responses import FileResponse, Response

from mint_runtime.errors import NotFound, Unauthorized
from mint_runtime.service.call import Call, Endpoint
from mint_runtime.service.handlers.checkpoints import named_checkpoint


async def checkpoint_archive(call: Call[None]) -> Response:
    """Redirect to a link that works without a key for a while."""
    checkpoint = await named_checkpoint(call)
    expires = int(time.time() + call.services.settings.archive_link_s)
    path = call.request.url.path.removesuffix("/archive") + "/download"
    signature = call.services.keys.sign_link(checkpoint.path, expires)
    base = str(call.request.base_url).rstrip("/")
    location = f"{base}{quote(path)}?expires={expires}&signature={signature}"
    headers = {"Location": location, "Expires": formatdate(expires, usegmt=True)}
    return Response(status_code=302, headers=headers)


async def checkpoint_download(call: Call[None]) -> Response:
    """Send a checkpoint as `.tar.gz` to whoever has a valid link."""
    query = call.request.query_params
    expires, signature = query.get("expires", ""), query.get("signature", "")
    if not expires.isascii() or not expires.isdigit():
        raise Unauthorized("the download link is not valid; ask for the archive again")
    kind, run_id, name = call.path("kind"), call.path("run_id"), call.path("name")
    call.services.keys.check_link(f"tinker://{run_id}/{kind}/{name}", int(expires), signature)
    checkpoint = await named_checkpoint(call)
    directory = call.services.checkpoints.directory(checkpoint)
    try:
        archive = await asyncio.to_thread(_pack, directory)
    except FileNotFoundError as error:
        raise NotFound(f"checkpoint `{checkpoint.path}` was deleted in the meantime") from error
    return FileResponse(
        archive,
        media_type="application/gzip",
        filename=f"{name}.tar.gz",
        background=BackgroundTask(archive.unlink, missing_ok=True),
    )


def _pack(directory: Path) -> Path:
    handle, name = tempfile.mkstemp(suffix=".tar.gz")
    os.close(handle)
    packed = Path(name)
    try:
        # Weights are close to random bits: more effort would cost time and save nothing.
        with tarfile.open(packed, mode="w:gz", compresslevel=1) as archive:
            for member in sorted(directory.iterdir()):
                archive.add(member, arcname=member.name)
    except BaseException:
        packed.unlink()
        raise
    return packed


ENDPOINTS = {
    "checkpoint_archive": Endpoint(checkpoint_archive),
    "checkpoint_download": Endpoint(checkpoint_download),
}
