"""Keys, tokens and download links."""

from __future__ import annotations

import base64
import json
import stat
from pathlib import Path

import pytest
from mint_runtime.errors import Unauthorized
from mint_runtime.service import auth
from mint_runtime.service.auth import ExpiredToken, Keys, load_secret
from mint_runtime.wire.routes import ROUTES
from support.service import running_api

SECRET = b"s" * 32


def token_of(state: Path, key: str, **settings: str) -> str:
    with running_api(state, **settings) as api:
        answer = api.http.post("/api/v1/auth/token", json={}, headers={"X-API-Key": key})
        assert answer.status_code == 200, answer.text
        return str(answer.json()["jwt"])


def status_with(state: Path, key: str | None, **settings: str) -> int:
    with running_api(state, **settings) as api:
        api.http.headers.pop("X-API-Key")
        headers = {} if key is None else {"X-API-Key": key}
        return int(api.http.get("/api/v1/get_server_capabilities", headers=headers).status_code)


@pytest.mark.parametrize("key", ["sk-anything", "tml-anything", "eyJhbGciOi.x.y"])
def test_without_a_key_of_its_own_the_server_takes_what_clients_send(
    tmp_path: Path, key: str
) -> None:
    assert status_with(tmp_path, key) == 200


@pytest.mark.parametrize("key", [None, "", "password"])
def test_a_missing_or_shapeless_key_is_refused(tmp_path: Path, key: str | None) -> None:
    assert status_with(tmp_path, key) == 401


@pytest.mark.parametrize(("key", "status"), [("sk-right", 200), ("sk-wrong", 401), (None, 401)])
def test_with_a_key_only_that_one_is_let_in(tmp_path: Path, key: str | None, status: int) -> None:
    assert status_with(tmp_path, key, api_key="sk-right") == status


def test_a_token_is_let_in_after_a_restart(tmp_path: Path) -> None:
    token = token_of(tmp_path, "sk-right", api_key="sk-right")
    assert status_with(tmp_path, token, api_key="sk-right") == 200


def test_a_token_of_an_open_server_is_refused_once_there_is_a_key(tmp_path: Path) -> None:
    token = token_of(tmp_path, "sk-any")
    assert status_with(tmp_path, token, api_key="sk-right") == 401


def test_a_token_of_another_server_is_refused(tmp_path: Path) -> None:
    token = token_of(tmp_path / "other", "sk-right", api_key="sk-right")
    assert status_with(tmp_path / "this", token, api_key="sk-right") == 401


def test_every_endpoint_but_the_public_ones_refuses_a_wrong_key(tmp_path: Path) -> None:
    public = {"/", "/health", "/api/v1/healthz"}
    with running_api(tmp_path, api_key="sk-right") as api:
        answers = {
            route.path: api.http.request(route.method, route.path, json={}).status_code
            for route in ROUTES
        }
    open_paths = {path for path, status in answers.items() if status != 401}
    assert open_paths == public


def test_the_refusal_says_what_to_do(tmp_path: Path) -> None:
    with running_api(tmp_path, api_key="sk-right") as api:
        assert "MINT_API_KEY" in api.post("get_info", 401, model_id="m")["detail"]


def test_a_token_has_the_claims_that_clients_read() -> None:
    middle = Keys(None, SECRET).issue().split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(middle + "=" * (-len(middle) % 4)))
    # Clients of 0.22 renew in a tight loop when the end is nearer than five minutes.
    assert claims["exp"] - claims["iat"] > 24 * 3600
    assert {"sub", "org_id", "email"} <= claims.keys()


def test_an_expired_token_is_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = Keys("sk-right", SECRET)
    monkeypatch.setattr(auth, "_TOKEN_LIFETIME_S", -1)
    with pytest.raises(ExpiredToken):
        keys.check(keys.issue())


@pytest.mark.parametrize("part", [0, 1, 2])
def test_a_token_that_was_tampered_with_is_refused(part: int) -> None:
    keys = Keys("sk-right", SECRET)
    parts = keys.issue().split(".")
    parts[part] = ("A" if parts[part][0] != "A" else "B") + parts[part][1:]
    with pytest.raises(Unauthorized):
        keys.check(".".join(parts))


@pytest.mark.parametrize("key", ["eyJ", "eyJ.", "..", "eyJ.e30", "sk-\u00e9"])
def test_nonsense_is_refused_not_crashed_on(key: str) -> None:
    with pytest.raises(Unauthorized):
        Keys("sk-right", SECRET).check(key)


def test_the_secret_stays_the_same_and_private(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    assert load_secret(path) == load_secret(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_damaged_secret_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("not hex")
    assert len(load_secret(path)) == 32
