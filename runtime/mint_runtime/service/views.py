"""Records as the published clients read them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from mint_runtime.service.records import CheckpointKind, CheckpointRecord

_TYPES = {CheckpointKind.TRAINING: "training", CheckpointKind.SAMPLER: "sampler"}


def timestamp(seconds: float) -> str:
    """Return a time as ISO 8601 in UTC."""
    return datetime.fromtimestamp(seconds, UTC).isoformat()


def checkpoint_view(checkpoint: CheckpointRecord) -> dict[str, Any]:
    """Return one entry of a list of checkpoints."""
    expires_at = checkpoint.expires_at
    return {
        "checkpoint_id": checkpoint.checkpoint_id,
        "checkpoint_type": _TYPES[checkpoint.kind],
        "time": timestamp(checkpoint.created),
        "tinker_path": checkpoint.path,
        "size_bytes": checkpoint.size_bytes,
        "public": checkpoint.public,
        "expires_at": None if expires_at is None else timestamp(expires_at),
        "user_metadata": dict(checkpoint.user_metadata) or None,
    }


def cursor_view(limit: int, offset: int, total: int) -> dict[str, int]:
    """Return where a page stands in its list."""
    return {"offset": offset, "limit": limit, "total_count": total}
