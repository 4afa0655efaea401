"""What the catalogue remembers. Times are seconds since the epoch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path


class CheckpointKind(StrEnum):
    """The middle segment of a checkpoint's path."""

    TRAINING = "weights"
    SAMPLER = "sampler_weights"


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRecord:
    session_id: str
    created: float
    user_metadata: Mapping[str, str] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    project_id: str | None = None
    sdk_version: str | None = None
    display_name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterShape:
    """What a model must have in common with a checkpoint that is loaded into it."""

    base_model: str
    rank: int
    train_attn: bool
    train_mlp: bool
    train_unembed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRecord:
    """How a model was created. It outlives the weights, which are in memory only."""

    model_id: str
    session_id: str
    base_model: str
    rank: int
    seed: int | None
    train_attn: bool
    train_mlp: bool
    train_unembed: bool
    created: float
    last_request: float
    user_metadata: Mapping[str, str] = field(default_factory=dict)

    @property
    def shape(self) -> AdapterShape:
        return AdapterShape(
            base_model=self.base_model,
            rank=self.rank,
            train_attn=self.train_attn,
            train_mlp=self.train_mlp,
            train_unembed=self.train_unembed,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointRecord:
    """A saved adapter. `directory` is relative to the folder of checkpoints."""

    model_id: str
    kind: CheckpointKind
    name: str
    directory: Path
    created: float
    size_bytes: int
    expires_at: float | None = None
    public: bool = False
    user_metadata: Mapping[str, str] = field(default_factory=dict)
    shape: AdapterShape | None = None
    """None when it is that of the model it belongs to."""

    @property
    def checkpoint_id(self) -> str:
        return f"{self.kind.value}/{self.name}"

    @property
    def path(self) -> str:
        return f"tinker://{self.model_id}/{self.checkpoint_id}"

    def is_expired(self, now: float) -> bool:
        return self.expires_at is not None and self.expires_at <= now


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplerRecord:
    """A sampling session.

    Without a path it samples the base model, or an unnamed snapshot if `ephemeral`.
    """

    sampler_id: str
    session_id: str
    base_model: str
    created: float
    model_path: str | None = None
    ephemeral: bool = False
