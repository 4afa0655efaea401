"""A service over a fake engine, in this process, and a thin client for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mint_runtime.service.app import build_app
from mint_runtime.service.settings import ServiceSettings
from starlette.testclient import TestClient

from support.fake_engine import BASE, FakeEngine

KEY = "sk-test"


class Api:
    """Posts what the clients post and decodes the answer; another status fails the test."""

    def __init__(self, http: TestClient, engine: FakeEngine, state: Path) -> None:
        self.http = http
        self.engine = engine
        self.state = state

    def post(self, path: str, status: int = 200, /, **fields: Any) -> Any:
        answer = self.http.post(f"/api/v1/{path}", json=fields)
        assert answer.status_code == status, answer.text
        return answer.json() if answer.content else None

    def get(self, path: str, status: int = 200) -> Any:
        answer = self.http.get(f"/api/v1/{path}", follow_redirects=False)
        assert answer.status_code == status, answer.text
        return answer.json() if answer.content else None

    def result(self, acknowledgement: dict[str, Any]) -> Any:
        """Return what the future of an acknowledged operation resolves to; ask until it has."""
        fields = {"request_id": acknowledgement["request_id"]}
        while (answer := self.http.post("/api/v1/retrieve_future", json=fields)).status_code == 408:
            pass
        assert answer.status_code == 200, answer.text
        return answer.json() if answer.content else None

    def session(self) -> str:
        return str(self.post("create_session", tags=[], type="create_session")["session_id"])

    def model(self, session: str | None = None, number: int = 0, **lora: Any) -> str:
        """Create a model and return its id."""
        fields = {
            "session_id": session or self.session(),
            "model_seq_id": number,
            "base_model": BASE,
            "lora_config": {"rank": 8, **lora},
        }
        return str(self.result(self.post("create_model", **fields))["model_id"])

    def train(self, model: str, seq_id: int | None = None, *targets: int, **fields: Any) -> Any:
        """Post a `forward_backward` of one datum and return the acknowledgement."""
        return self.post(
            "forward_backward",
            forward_backward_input={
                "data": [datum(*(targets or (2, 3)))],
                "loss_fn": "cross_entropy",
            },
            model_id=model,
            seq_id=seq_id,
            **fields,
        )

    def save(self, model: str, name: str = "a", kind: str = "save_weights", **fields: Any) -> Any:
        """Save a checkpoint and return the result."""
        return self.result(self.post(kind, model_id=model, path=name, **fields))


def datum(*targets: int) -> dict[str, Any]:
    """Return a datum with these targets, as clients of 0.22 write it."""
    length = len(targets)
    return {
        "model_input": {"chunks": [{"type": "encoded_text", "tokens": list(range(1, length + 1))}]},
        "loss_fn_inputs": {
            "target_tokens": {"data": list(targets), "dtype": "int64", "shape": [length]},
            "weights": {"data": [1.0] * length, "dtype": "float32", "shape": [length]},
        },
    }


@contextmanager
def running_api(state: Path, *, engine: FakeEngine | None = None, **settings: Any) -> Iterator[Api]:
    """Yield a running service with its state in `state`, over `engine` or a new fake one."""
    engine = engine or FakeEngine()
    app = build_app(engine, ServiceSettings(state_dir=state, **settings))
    try:
        with TestClient(app, headers={"X-API-Key": KEY}, raise_server_exceptions=False) as http:
            yield Api(http, engine, state)
    finally:
        engine.close()
