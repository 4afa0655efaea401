"""What the service can be told."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from mint_runtime.service.profiles import Profile

_MIB = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceSettings:
    """Settings of one server."""

    state_dir: Path
    api_key: str | None = None
    """None accepts every key that a client can send."""
    max_body_bytes: int = 512 * _MIB
    long_poll_s: float = 25.0
    """Clients give up after 45 seconds, so a longer wait would only hold connections."""
    result_lifetime_s: float = 3600.0
    """How long a result can be fetched after it exists."""
    session_timeout_s: float = 6 * 3600.0
    """Silence after which the adapters of a session are dropped.

    Clients send a sign of life every 10 seconds.
    """
    max_models: int = 64
    """As many as the engine takes. At this number, sessions that look abandoned make room."""
    abandoned_after_s: float = 600.0
    """Silence after which a session may have to make room. A debugger can hold a client up, so it
    is minutes, and nothing is dropped without need."""
    max_snapshots: int = 16
    """Unnamed snapshots of one session that are kept however long nobody uses them."""
    snapshot_idle_s: float = 120.0
    """How long an unnamed snapshot beyond that number is kept after its last use."""
    archive_link_s: float = 900.0
    expiry_sweep_s: float = 60.0
    """Time between two looks for checkpoints that have expired."""
    profile: Profile = field(default_factory=Profile)
    """What is left out on purpose."""
    max_upload_bytes: int = 4096 * _MIB
    """Of an uploaded checkpoint, packed and unpacked."""
