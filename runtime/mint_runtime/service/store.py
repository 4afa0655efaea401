"""The catalogue: one SQLite file that says which sessions, models, samplers and checkpoints exist.

Weights are files beside it; a row is written only after its files are complete, so that a row
always means a checkpoint that can be loaded. Methods block and may be called from any thread except
the event loop's.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from mint_runtime.errors import ServerFault
from mint_runtime.service.records import (
    AdapterShape,
    CheckpointKind,
    CheckpointRecord,
    ModelRecord,
    SamplerRecord,
    SessionRecord,
)

_VERSION = 2
_TABLES = """
CREATE TABLE sessions (
    session_id TEXT PRIMARY KEY, created REAL NOT NULL, user_metadata TEXT NOT NULL,
    tags TEXT NOT NULL, project_id TEXT, sdk_version TEXT, display_name TEXT
);
CREATE TABLE models (
    model_id TEXT PRIMARY KEY, session_id TEXT NOT NULL, base_model TEXT NOT NULL,
    rank INTEGER NOT NULL, seed INTEGER, train_attn INTEGER NOT NULL, train_mlp INTEGER NOT NULL,
    train_unembed INTEGER NOT NULL, created REAL NOT NULL, last_request REAL NOT NULL,
    user_metadata TEXT NOT NULL
);
CREATE TABLE samplers (
    sampler_id TEXT PRIMARY KEY, session_id TEXT NOT NULL, base_model TEXT NOT NULL,
    created REAL NOT NULL, model_path TEXT, ephemeral INTEGER NOT NULL
);
CREATE TABLE checkpoints (
    model_id TEXT NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL, directory TEXT NOT NULL UNIQUE,
    created REAL NOT NULL, size_bytes INTEGER NOT NULL, expires_at REAL, public INTEGER NOT NULL,
    user_metadata TEXT NOT NULL DEFAULT '{}', shape TEXT,
    PRIMARY KEY (model_id, kind, name)
);
CREATE INDEX models_by_session ON models (session_id);
CREATE INDEX samplers_by_session ON samplers (session_id);
"""
# What brings a catalogue of the version before up to the one of the key.
_CHANGES = {
    2: """
ALTER TABLE checkpoints ADD COLUMN user_metadata TEXT NOT NULL DEFAULT '{}';
ALTER TABLE checkpoints ADD COLUMN shape TEXT;
ALTER TABLE sessions ADD COLUMN display_name TEXT;
"""
}
_LIVING = "(expires_at IS NULL OR expires_at > ?)"


class Store:
    """Reads and writes the catalogue in `path`, which is created when absent.

    Raises:
        ServerFault: The file was written by a newer version of this package.
    """

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._db.row_factory = sqlite3.Row
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        self._create_tables(path)

    def close(self) -> None:
        """Close the file. Later calls fail."""
        with self._lock:
            self._db.close()

    def add_session(self, session: SessionRecord) -> None:
        """Remember a session."""
        self._insert(
            "sessions",
            session_id=session.session_id,
            created=session.created,
            user_metadata=json.dumps(dict(session.user_metadata)),
            tags=json.dumps(session.tags),
            project_id=session.project_id,
            sdk_version=session.sdk_version,
            display_name=session.display_name,
        )

    def find_session(self, session_id: str) -> SessionRecord | None:
        """Return a session, or None when it is not known."""
        rows = self._rows("SELECT * FROM sessions WHERE session_id = ?", session_id)
        return _session(rows[0]) if rows else None

    def list_sessions(self, limit: int, offset: int) -> list[str]:
        """Return session ids, newest first."""
        rows = self._rows(
            "SELECT session_id FROM sessions ORDER BY created DESC, rowid DESC LIMIT ? OFFSET ?",
            limit,
            offset,
        )
        return [row["session_id"] for row in rows]

    def set_session_project(self, session_id: str, project_id: str | None) -> None:
        """Move a session into a project."""
        self._write(
            "UPDATE sessions SET project_id = ? WHERE session_id = ?", project_id, session_id
        )

    def put_model(self, model: ModelRecord) -> None:
        """Remember how a model was created."""
        self._insert(
            "models",
            model_id=model.model_id,
            session_id=model.session_id,
            base_model=model.base_model,
            rank=model.rank,
            seed=model.seed,
            train_attn=model.train_attn,
            train_mlp=model.train_mlp,
            train_unembed=model.train_unembed,
            created=model.created,
            last_request=model.last_request,
            user_metadata=json.dumps(dict(model.user_metadata)),
        )

    def find_model(self, model_id: str) -> ModelRecord | None:
        """Return a model that was created at any time, or None."""
        rows = self._rows("SELECT * FROM models WHERE model_id = ?", model_id)
        return _model(rows[0]) if rows else None

    def list_models(self, limit: int, offset: int) -> tuple[list[ModelRecord], int]:
        """Return one page of models, newest first, and the number of all."""
        rows = self._rows(
            "SELECT * FROM models ORDER BY created DESC, rowid DESC LIMIT ? OFFSET ?", limit, offset
        )
        return [_model(row) for row in rows], self._count("models")

    def models_of_session(self, session_id: str) -> list[str]:
        """Return the model ids of a session in the order of creation."""
        rows = self._rows(
            "SELECT model_id FROM models WHERE session_id = ? ORDER BY created, rowid", session_id
        )
        return [row["model_id"] for row in rows]

    def touch_model(self, model_id: str, now: float) -> None:
        """Note the time of a model's last request."""
        self._write("UPDATE models SET last_request = ? WHERE model_id = ?", now, model_id)

    def put_sampler(self, sampler: SamplerRecord) -> None:
        """Remember a sampling session."""
        self._insert(
            "samplers",
            sampler_id=sampler.sampler_id,
            session_id=sampler.session_id,
            base_model=sampler.base_model,
            created=sampler.created,
            model_path=sampler.model_path,
            ephemeral=sampler.ephemeral,
        )

    def find_sampler(self, sampler_id: str) -> SamplerRecord | None:
        """Return a sampling session that was opened at any time, or None."""
        rows = self._rows("SELECT * FROM samplers WHERE sampler_id = ?", sampler_id)
        return _sampler(rows[0]) if rows else None

    def samplers_of_session(self, session_id: str) -> list[str]:
        """Return the sampler ids of a session in the order of creation."""
        rows = self._rows(
            "SELECT sampler_id FROM samplers WHERE session_id = ? ORDER BY created, rowid",
            session_id,
        )
        return [row["sampler_id"] for row in rows]

    def put_checkpoint(self, checkpoint: CheckpointRecord) -> CheckpointRecord | None:
        """Remember a checkpoint whose files are complete; return the one it replaces."""
        replaced = self.find_checkpoint(checkpoint.model_id, checkpoint.kind, checkpoint.name)
        self._insert(
            "checkpoints",
            model_id=checkpoint.model_id,
            kind=checkpoint.kind.value,
            name=checkpoint.name,
            directory=checkpoint.directory.as_posix(),
            created=checkpoint.created,
            size_bytes=checkpoint.size_bytes,
            expires_at=checkpoint.expires_at,
            public=checkpoint.public,
            user_metadata=json.dumps(dict(checkpoint.user_metadata)),
            shape=None if checkpoint.shape is None else json.dumps(asdict(checkpoint.shape)),
        )
        return replaced

    def find_checkpoint(
        self, model_id: str, kind: CheckpointKind, name: str
    ) -> CheckpointRecord | None:
        """Return a checkpoint, expired or not, or None."""
        rows = self._rows(
            "SELECT * FROM checkpoints WHERE model_id = ? AND kind = ? AND name = ?",
            model_id,
            kind.value,
            name,
        )
        return _checkpoint(rows[0]) if rows else None

    def checkpoints_of_model(self, model_id: str, now: float) -> list[CheckpointRecord]:
        """Return the checkpoints of one model that have not expired, oldest first."""
        rows = self._rows(
            f"SELECT * FROM checkpoints WHERE model_id = ? AND {_LIVING} ORDER BY created, rowid",
            model_id,
            now,
        )
        return [_checkpoint(row) for row in rows]

    def list_checkpoints(
        self, limit: int, offset: int, now: float
    ) -> tuple[list[CheckpointRecord], int]:
        """Return one page of unexpired checkpoints, newest first, and the number of all."""
        rows = self._rows(
            f"SELECT * FROM checkpoints WHERE {_LIVING}"
            " ORDER BY created DESC, rowid DESC LIMIT ? OFFSET ?",
            now,
            limit,
            offset,
        )
        return [_checkpoint(row) for row in rows], self._count("checkpoints", _LIVING, now)

    def expired_checkpoints(self, now: float) -> list[CheckpointRecord]:
        """Return the checkpoints that have expired and are still known."""
        rows = self._rows("SELECT * FROM checkpoints WHERE expires_at <= ?", now)
        return [_checkpoint(row) for row in rows]

    def all_checkpoints(self) -> list[CheckpointRecord]:
        """Return every checkpoint, expired ones too."""
        return [_checkpoint(row) for row in self._rows("SELECT * FROM checkpoints")]

    def set_checkpoint_public(self, checkpoint: CheckpointRecord, public: bool) -> None:
        """Publish or unpublish a checkpoint."""
        self._update_checkpoint(checkpoint, "public", public)

    def set_checkpoint_expiry(self, checkpoint: CheckpointRecord, expires_at: float | None) -> None:
        """Set the time at which a checkpoint expires; None is never."""
        self._update_checkpoint(checkpoint, "expires_at", expires_at)

    def delete_checkpoint(self, checkpoint: CheckpointRecord) -> None:
        """Forget a checkpoint. Its files are the caller's to remove, afterwards."""
        self._write("DELETE FROM checkpoints WHERE directory = ?", checkpoint.directory.as_posix())

    def _update_checkpoint(self, checkpoint: CheckpointRecord, column: str, value: object) -> None:
        self._write(
            f"UPDATE checkpoints SET {column} = ? WHERE directory = ?",
            value,
            checkpoint.directory.as_posix(),
        )

    def _create_tables(self, path: Path) -> None:
        version = self._rows("PRAGMA user_version")[0][0]
        if version > _VERSION:
            raise ServerFault(
                f"`{path}` has catalogue version {version}, this server reads version {_VERSION};"
                " use the newer mint-runtime or another state directory"
            )
        changes = (
            [_TABLES]
            if version == 0
            else [_CHANGES[later] for later in range(version + 1, _VERSION + 1)]
        )
        with self._transaction() as db:
            for statement in ";".join(changes).split(";"):
                db.execute(statement)
            db.execute(f"PRAGMA user_version = {_VERSION}")

    def _insert(self, table: str, **values: object) -> None:
        columns = ", ".join(values)
        marks = ", ".join("?" * len(values))
        self._write(
            f"INSERT OR REPLACE INTO {table} ({columns}) VALUES ({marks})", *values.values()
        )

    def _count(self, table: str, where: str = "1", *values: object) -> int:
        return int(self._rows(f"SELECT count(*) FROM {table} WHERE {where}", *values)[0][0])

    def _rows(self, statement: str, *values: object) -> Sequence[sqlite3.Row]:
        with self._lock:
            return self._db.execute(statement, values).fetchall()

    def _write(self, statement: str, *values: object) -> None:
        with self._transaction() as db:
            db.execute(statement, values)

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")


def _session(row: sqlite3.Row) -> SessionRecord:
    return SessionRecord(
        session_id=row["session_id"],
        created=row["created"],
        user_metadata=json.loads(row["user_metadata"]),
        tags=tuple(json.loads(row["tags"])),
        project_id=row["project_id"],
        sdk_version=row["sdk_version"],
        display_name=row["display_name"],
    )


def _model(row: sqlite3.Row) -> ModelRecord:
    return ModelRecord(
        model_id=row["model_id"],
        session_id=row["session_id"],
        base_model=row["base_model"],
        rank=row["rank"],
        seed=row["seed"],
        train_attn=bool(row["train_attn"]),
        train_mlp=bool(row["train_mlp"]),
        train_unembed=bool(row["train_unembed"]),
        created=row["created"],
        last_request=row["last_request"],
        user_metadata=json.loads(row["user_metadata"]),
    )


def _sampler(row: sqlite3.Row) -> SamplerRecord:
    return SamplerRecord(
        sampler_id=row["sampler_id"],
        session_id=row["session_id"],
        base_model=row["base_model"],
        created=row["created"],
        model_path=row["model_path"],
        ephemeral=bool(row["ephemeral"]),
    )


def _checkpoint(row: sqlite3.Row) -> CheckpointRecord:
    return CheckpointRecord(
        model_id=row["model_id"],
        kind=CheckpointKind(row["kind"]),
        name=row["name"],
        directory=Path(row["directory"]),
        created=row["created"],
        size_bytes=row["size_bytes"],
        expires_at=row["expires_at"],
        public=bool(row["public"]),
        user_metadata=json.loads(row["user_metadata"]),
        shape=None if row["shape"] is None else AdapterShape(**json.loads(row["shape"])),
    )
