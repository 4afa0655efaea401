"""Bad requests: the right status, a sentence, and a server that goes on."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mint_runtime import errors
from mint_runtime.engine import commands as c
from mint_runtime.service.call import error_response
from mint_runtime.service.ordering import failure_of
from mint_runtime.wire import errors as wire_errors
from mint_runtime.wire.routes import ROUTES
from support.service import Api, datum, running_api


def subclasses(root: type[Exception]) -> list[type[Exception]]:
    found = [root]
    for child in root.__subclasses__():
        found += subclasses(child)
    return found


@pytest.mark.parametrize("kind", subclasses(errors.RuntimeServerError))
def test_every_error_has_both_of_the_wire_forms(kind: type[errors.RuntimeServerError]) -> None:
    error = pickle.loads(pickle.dumps(kind("what and how")))
    response = error_response(error)
    assert response.status_code == kind.status
    assert response.body == b'{"detail": "what and how"}'
    failure = failure_of(error, "r-1")
    assert (failure.error, failure.category) == ("what and how", kind.category)
    assert failure.category in ("user", "server")


@pytest.mark.parametrize("kind", subclasses(errors.UserError) + subclasses(wire_errors.WireError))
def test_no_error_of_the_caller_has_a_status_that_clients_repeat(
    kind: type[errors.UserError],
) -> None:
    assert 400 <= kind.status < 500
    assert kind.status not in (402, 408, 409, 410, 429)


def loss(**changes: Any) -> dict[str, Any]:
    return {"data": [datum(2, 3)], "loss_fn": "cross_entropy", **changes}


@pytest.mark.parametrize(
    ("fields", "status", "text"),
    [
        ({"forward_backward_input": loss(loss_fn="cross_entrop")}, 400, "mean `cross_entropy`"),
        ({"forward_backward_input": loss(loss_fn_config={"beta": 1})}, 400, "takes none"),
        (
            {"forward_backward_input": loss(loss_fn="ppo", loss_fn_config={"clip_low": 1})},
            400,
            "mean `clip_low_threshold`",
        ),
        (
            {
                "forward_backward_input": loss(
                    loss_fn="ppo", loss_fn_config={"clip_low_threshold": "a"}
                )
            },
            400,
            "finite number",
        ),
        ({"forward_backward_input": loss(data=7)}, 422, "forward_backward_input.data"),
        ({}, 422, "`forward_backward_input` is missing"),
        ({"forward_backward_input": loss(), "model_id": "nobody"}, 404, "`nobody` is not known"),
    ],
)
def test_a_bad_training_request_is_refused_and_the_next_one_works(
    api: Api, fields: dict[str, Any], status: int, text: str
) -> None:
    model = api.model()
    refused = api.post("forward_backward", status, **{"model_id": model, "seq_id": 1, **fields})
    assert text in refused["detail"]
    assert api.result(api.train(model, 2))["metrics"] == {"loss:sum": 5.0}


def test_an_image_is_refused_with_the_number_of_its_datum(api: Api) -> None:
    image = datum(2, 3) | {"model_input": {"chunks": [{"type": "image", "data": "aGk="}]}}
    fields = {"forward_backward_input": loss(data=[datum(2, 3), image]), "model_id": api.model()}
    assert (
        "datum 1 has a chunk of type `image`"
        in api.post("forward_backward", 400, **fields)["detail"]
    )


def test_another_optimizer_is_refused_by_name(api: Api) -> None:
    refused = api.post("optim_step", 400, model_id=api.model(), optimizer_params={"type": "dimuon"})
    assert "`dimuon` is not served" in refused["detail"]


@pytest.mark.parametrize(("kind", "status"), [("dimuon", 400), ("adamw", 200)])
def test_a_model_is_created_with_the_optimizer_that_is_served(
    api: Api, kind: str, status: int
) -> None:
    fields = {"session_id": api.session(), "model_seq_id": 0, "base_model": "org/base"}
    answer = api.post("create_model", status, **fields, optimizer_config={"type": kind})
    assert status == 200 or "`dimuon` is not served" in answer["detail"]


def test_a_base_model_that_is_not_served_is_404_with_those_that_are(api: Api) -> None:
    fields = {"session_id": api.session(), "model_seq_id": 0, "base_model": "org/bass"}
    detail = api.post("create_model", 404, **fields)["detail"]
    assert "available: org/base (did you mean `org/base`?)" in detail


def test_a_session_that_was_never_opened_is_404(api: Api) -> None:
    fields = {"session_id": "sess-0", "model_seq_id": 0, "base_model": "org/base"}
    assert "new ServiceClient" in api.post("create_model", 404, **fields)["detail"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/api/v1/no_such_thing", 404),
        ("GET", "/nothing", 404),
        ("GET", "/api/v1/create_model", 405),
        ("POST", "/api/v1/get_server_capabilities", 405),
    ],
)
def test_an_unknown_endpoint_answers_in_json(api: Api, method: str, path: str, status: int) -> None:
    answer = api.http.request(method, path)
    assert answer.status_code == status
    assert answer.json()["detail"]


def test_a_body_that_is_not_json_is_400(api: Api) -> None:
    answer = api.http.post("/api/v1/get_info", content=b"{")
    assert (answer.status_code, "JSON" in answer.json()["detail"]) == (400, True)


def test_a_compressed_body_is_415(api: Api) -> None:
    answer = api.http.post("/api/v1/get_info", content=b"{}", headers={"Content-Encoding": "zstd"})
    assert (answer.status_code, "zstd" in answer.json()["detail"]) == (415, True)


def test_a_body_above_the_limit_is_413_and_the_next_request_works(tmp_path: Path) -> None:
    with running_api(tmp_path, max_body_bytes=1000) as api:
        model = api.model()
        answer = api.post("save_weights", 413, model_id=model, path="x" * 2000)
        assert "at most 1000" in answer["detail"]
        assert api.result(api.train(model, 1))["metrics"]


def test_a_bug_at_submission_ends_as_a_failed_future(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = api.model()

    def broken(command: c.Command) -> None:
        raise RuntimeError(f"secret about {command}")

    monkeypatch.setattr(api.engine, "submit", broken)
    failed = api.result(api.train(model, 1))
    assert failed["category"] == "server"
    assert "secret" not in failed["error"]


def test_a_bug_elsewhere_is_500_without_details(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("secret")

    monkeypatch.setattr("mint_runtime.service.store.Store.list_sessions", broken)
    assert "secret" not in api.get("sessions", 500)["detail"]


@pytest.mark.parametrize("query", ["limit=x", "offset=-1", "limit=1.5"])
def test_a_page_that_is_not_counted_in_numbers_is_422(api: Api, query: str) -> None:
    assert "has to be a count" in api.get(f"sessions?{query}", 422)["detail"]


@pytest.mark.parametrize(
    ("method", "path", "words"),
    [
        ("POST", "save_weights_external", "external storage"),
        ("GET", "training_runs/r/checkpoints/weights/a/external_weights_urls", "external storage"),
        ("POST", "sessions/search", "searching sessions"),
        ("GET", "sessions/s/trace_export", "trace"),
        ("POST", "copy_weights", "copying weights"),
        ("GET", "audit", "audit log"),
        ("GET", "billing/usage/events", "billing"),
        ("GET", "billing/usage/checkpoints/current", "billing"),
        ("POST", "retrieve_futures", "several results"),
        ("POST", "cancel_future", "cancelling"),
        ("POST", "join_sampling_session", "joining"),
        ("POST", "create_custom_loss", "custom loss"),
    ],
)
def test_what_is_left_out_answers_404_with_its_name(
    api: Api, method: str, path: str, words: str
) -> None:
    answer = api.http.request(method, f"/api/v1/{path}")
    assert answer.status_code == 404
    assert f"{words}" in answer.json()["detail"]
    assert "is not served here" in answer.json()["detail"]


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=st.binary(max_size=300))
def test_whatever_bytes_come_as_protobuf_are_answered_in_json(api: Api, body: bytes) -> None:
    headers = {"Content-Type": "application/x-protobuf"}
    answer = api.http.post("/api/v1/forward_backward", content=body, headers=headers)
    assert 400 <= answer.status_code < 500
    assert answer.json()["detail"]


JSON_ROUTES = sorted(
    (route.path, route.method) for route in ROUTES if route.request and not route.openai
)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """Yield one service for many requests that leave nothing behind."""
    with running_api(tmp_path_factory.mktemp("shared")) as running:
        yield running


@pytest.mark.parametrize(("path", "method"), JSON_ROUTES)
@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b"null",
        b'"x"',
        b"\xff",
        b"NaN",
        b"{}",
        b'{"tags": 7, "sdk_version": 7}',
        b"[" * 100000,
        b'{"a":' * 100000,
    ],
)
def test_no_endpoint_fails_on_a_body_it_does_not_expect(
    shared: Api, path: str, method: str, body: bytes
) -> None:
    answer = shared.http.request(method, path.replace("{", "").replace("}", ""), content=body)
    if answer.status_code == 200:
        assert body == b"{}"
    else:
        assert 400 <= answer.status_code < 500
        assert answer.json()["detail"]
