"""The client's protocol spoken directly over sockets, for loads the published client cannot make.

One connection carries one request at a time; a pool keeps them open. The bytes of a body are made
once and sent many times, so that the load costs the measuring process next to nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from benchmarks.servers import KEY
from benchmarks.workloads import TrainWork, train_arrays

_ADAM = {
    "learning_rate": 1e-4,
    "beta1": 0.9,
    "beta2": 0.95,
    "eps": 1e-12,
    "weight_decay": 0.0,
    "grad_clip_norm": 0.0,
}
_HEADERS = b"Host: localhost\r\nContent-Type: application/json\r\nAccept: application/json\r\n"


class ServerError(Exception):
    """The server refused a request, or a future failed; the text is its answer."""


class Connections:
    """Open connections to one server."""

    def __init__(self, url: str) -> None:
        """Remember where the server is; connections are opened as they are needed."""
        parts = urlsplit(url)
        assert parts.hostname is not None
        self._address = (parts.hostname, parts.port)
        self._key = KEY
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def post(self, path: str, body: bytes) -> tuple[int, bytes]:
        """Return status and body of the answer."""
        head = (
            f"POST /api/v1/{path} HTTP/1.1\r\nX-API-Key: {self._key}\r\n"
            f"Content-Length: {len(body)}\r\n"
        )
        request = head.encode() + _HEADERS + b"\r\n" + body
        while self._idle:
            # One that the server has closed meanwhile ends without a byte, and nothing was read.
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
                return await self._exchange(*self._idle.pop(), request)
        return await self._exchange(*await asyncio.open_connection(*self._address), request)

    async def _exchange(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes
    ) -> tuple[int, bytes]:
        writer.write(request)
        answer = await _read_answer(reader)
        self._idle.append((reader, writer))
        return answer

    async def json(self, path: str, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Post `fields` and return the fields of the answer.

        Raises:
            ServerError: The status is not 200.
        """
        status, body = await self.post(path, json.dumps(fields).encode())
        if status != 200:
            raise ServerError(f"{path}: {status} {body[:300]!r}")
        answer: dict[str, Any] = json.loads(body)
        return answer

    async def authenticate(self) -> None:
        """Exchange the key, as the client does."""
        config = await self.json("client/config", {"sdk_version": "0.22.0"})
        if config.get("pjwt_auth_enabled"):
            self._key = (await self.json("auth/token", {}))["jwt"]

    async def result(self, request_id: str) -> dict[str, Any]:
        """Wait for a future, with as many long polls as it takes.

        Raises:
            ServerError: It failed.
        """
        body = json.dumps({"request_id": request_id, "allow_metadata_only": False}).encode()
        while True:
            status, found = await self.post("retrieve_future", body)
            if status == 408:
                continue
            if status != 200:
                raise ServerError(f"retrieve_future: {status} {found[:300]!r}")
            answer: dict[str, Any] = json.loads(found)
            if answer.get("type") == "try_again":
                continue
            if "error" in answer:
                raise ServerError(str(answer["error"]))
            return answer

    async def finished(self, path: str, body: bytes) -> dict[str, Any]:
        """Post a request that ends in a future and wait for it."""
        return await self.result(await self.submitted(path, body))

    async def submitted(self, path: str, body: bytes) -> str:
        """Post a request that ends in a future and return its id."""
        status, found = await self.post(path, body)
        if status != 200:
            raise ServerError(f"{path}: {status} {found[:300]!r}")
        return str(json.loads(found)["request_id"])


async def _read_answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    status = int(head.split(" ", 2)[1])
    for line in head.split("\r\n")[1:]:
        name, _, value = line.partition(":")
        if name.lower() == "content-length":
            return status, await reader.readexactly(int(value))
    # uvicorn sends bodies of unknown length in chunks; our endpoints and SkyRL's know theirs.
    return status, b""


class Trainer:
    """One model, addressed directly."""

    def __init__(self, connections: Connections, model_id: str, session_id: str) -> None:
        """Remember the ids."""
        self.connections = connections
        self.model_id = model_id
        self.session_id = session_id
        self._seq_id = 0

    @classmethod
    async def create(
        cls, connections: Connections, base_model: str, *, rank: int, seed: int = 0
    ) -> Trainer:
        """Open a session and create a model in it."""
        session = await connections.json(
            "create_session",
            {"tags": [], "user_metadata": {}, "sdk_version": "0.22.0", "type": "create_session"},
        )
        lora = {"rank": rank, "seed": seed, "train_unembed": False}
        fields = {
            "session_id": session["session_id"],
            "model_seq_id": 0,
            "base_model": base_model,
            "lora_config": {**lora, "train_mlp": True, "train_attn": True},
            "type": "create_model",
        }
        created = await connections.finished("create_model", json.dumps(fields).encode())
        return cls(connections, created["model_id"], session["session_id"])

    async def step(self, forward_backward: bytes) -> None:
        """Submit a pass (its `forward_backward_input` as JSON) and an optimizer step; wait."""
        gradient = await self.submit_pass(forward_backward)
        fields = {"adam_params": _ADAM, "model_id": self.model_id, "seq_id": self._next()}
        step = await self.connections.submitted(
            "optim_step", json.dumps({**fields, "type": "optim_step"}).encode()
        )
        await self.connections.result(gradient)
        await self.connections.result(step)

    async def submit_pass(self, forward_backward: bytes) -> str:
        """Submit a pass and return the id of its future."""
        ids = json.dumps({"model_id": self.model_id, "seq_id": self._next()}).encode()
        body = b'{"forward_backward_input":' + forward_backward + b"," + ids[1:]
        return await self.connections.submitted("forward_backward", body)

    async def heartbeat(self) -> float:
        """Send a sign of life and return the seconds it took."""
        start = time.perf_counter()
        fields = {"session_id": self.session_id, "type": "session_heartbeat"}
        await self.connections.json("session_heartbeat", fields)
        return time.perf_counter() - start

    def _next(self) -> int:
        self._seq_id += 1
        return self._seq_id


def pass_body(work: TrainWork) -> bytes:
    """Return the `forward_backward_input` of a workload as JSON."""
    data = [_datum(arrays) for arrays in train_arrays(work)]
    return json.dumps({"data": data, "loss_fn": work.loss_fn}).encode()


def _datum(arrays: Mapping[str, Any]) -> dict[str, Any]:
    inputs = {
        name: {
            "data": value.tolist(),
            "dtype": "int64" if value.dtype == np.int64 else "float32",
            "shape": list(value.shape),
        }
        for name, value in arrays.items()
        if name != "tokens"
    }
    chunk = {"tokens": arrays["tokens"].tolist(), "type": "encoded_text"}
    return {"model_input": {"chunks": [chunk]}, "loss_fn_inputs": inputs}
