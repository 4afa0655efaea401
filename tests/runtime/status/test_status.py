"""`/status.json` and `/metrics`: what they report, and to whom."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mint_runtime.engine.commands import TrainResult
from prometheus_client.parser import text_string_to_metric_families
from support.fake_engine import BASE
from support.service import Api, running_api

READERS = ["/metrics", "/status.json"]


@pytest.fixture
def api(tmp_path: Path) -> Any:
    with running_api(tmp_path / "state") as running:
        yield running


def samples(api: Api) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Return the value of each series by name and labels."""
    answer = api.http.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def counted(found: Any, method: str, route: str, status: str) -> float:
    """Return how many requests were counted under these labels."""
    labels = (("method", method), ("route", route), ("status", status))
    return float(found["mint_http_requests_total", labels])


def step(api: Api, model: str, seq_id: int) -> None:
    api.result(api.train(model, seq_id, 2, 4))
    adam = {"learning_rate": 1e-3}
    api.result(api.post("optim_step", model_id=model, seq_id=seq_id + 1, adam_params=adam))


def run(api: Api) -> dict[str, Any]:
    """Return the only run on the page."""
    (found,) = api.http.get("/status.json").json()["runs"]
    return found


def test_requests_are_counted_by_route_and_status(api: Api) -> None:
    api.model()
    api.post("get_info", 404, model_id="nobody")
    api.http.get("/etc/passwd")
    found = samples(api)
    assert counted(found, "POST", "get_info", "404") == 1
    assert counted(found, "POST", "create_model", "200") == 1
    # A path that somebody makes up is no label of its own.
    assert counted(found, "GET", "other", "404") == 1
    assert found["mint_http_request_seconds_count", (("route", "create_model"),)] == 1


def test_operations_and_what_is_held_are_reported(api: Api) -> None:
    model = api.model()
    step(api, model, 1)
    api.save(model)
    found = samples(api)
    assert found["mint_operations_total", (("operation", "forward_backward"),)] == 1
    assert found["mint_operation_wait_seconds_count", (("operation", "optim_step"),)] == 1
    assert found["mint_model_loss", (("model", model),)] == 3.0
    assert found["mint_trained_tokens_total", ()] == 2
    assert found["mint_sessions", ()] == 1
    assert found["mint_checkpoint_bytes", ()] == len(b"weights")
    assert found["mint_futures_waiting", ()] == 0


def test_operations_that_have_no_result_yet_wait(api: Api) -> None:
    model = api.model()
    api.engine.gate.clear()
    acks = [api.train(model, number) for number in (1, 2)]
    assert samples(api)["mint_futures_waiting", ()] == 2
    assert api.http.get("/status.json").json()["queue"] == {"futures": 2, "long_polls": 0}
    api.engine.gate.set()
    for ack in acks:
        api.result(ack)
    assert samples(api)["mint_futures_waiting", ()] == 0


@pytest.mark.parametrize("path", READERS)
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"X-API-Key": "sk-wrong"}, 401),
        ({"X-API-Key": "sk-right"}, 200),
        ({"Authorization": "Bearer sk-right"}, 200),
    ],
)
def test_a_server_with_a_key_reports_to_its_holders_only(
    tmp_path: Path, path: str, headers: dict[str, str], status: int
) -> None:
    with running_api(tmp_path, api_key="sk-right") as api:
        api.http.headers.pop("X-API-Key")
        answer = api.http.get(path, headers=headers)
    assert answer.status_code == status
    assert (BASE in answer.text) == (status == 200 and path == "/status.json")


@pytest.mark.parametrize("path", READERS)
def test_a_server_without_a_key_reports_to_everybody_who_reaches_it(api: Api, path: str) -> None:
    api.http.headers.pop("X-API-Key")
    assert api.http.get(path).status_code == 200


def test_the_page_holds_no_data_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    with running_api(tmp_path, api_key="sk-right") as api:
        api.http.headers.pop("X-API-Key")
        answer = api.http.get("/")
    assert answer.status_code == 200
    assert BASE not in answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "src=" not in answer.text
    assert "innerHTML" not in answer.text


def test_a_run_shows_its_loss_per_trained_token(api: Api) -> None:
    model = api.model(rank=4)
    step(api, model, 1)
    step(api, model, 3)
    found = run(api)
    assert (found["id"], found["rank"], found["live"]) == (model, 4, True)
    assert found["base_model"] == BASE
    assert (found["steps"], found["tokens"], found["loss_fn"]) == (2, 4, "cross_entropy")
    assert (found["loss"], found["learning_rate"], found["grad_norm"]) == (3.0, 1e-3, 1.0)
    assert found["curve"] == [[1.0, 3.0], [2.0, 3.0]]


def test_several_passes_make_one_point(api: Api) -> None:
    model = api.model()
    api.result(api.train(model, 1, 2, 4))
    step(api, model, 2)
    # Minus the targets 2, 4, 2, 4 over four tokens of weight one.
    assert run(api)["curve"] == [[1.0, 3.0]]


def test_a_run_stays_on_the_page_when_it_is_over(api: Api) -> None:
    model = api.model()
    step(api, model, 1)
    api.result(api.post("unload_model", model_id=model))
    found = run(api)
    assert (found["live"], found["steps"]) == (False, 1)


def test_a_loss_that_is_no_number_leaves_the_report_valid(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = api.model()
    outputs = ({"logprobs": np.zeros(2, dtype=np.float32)},)
    result = TrainResult(outputs=outputs, metrics={"loss:sum": math.nan})
    monkeypatch.setattr(api.engine, "_trainstep", lambda _: result)
    api.train(model, 1)
    api.result(api.post("optim_step", model_id=model, seq_id=2, adam_params={}))
    assert run(api)["loss"] is None
    assert math.isnan(samples(api)["mint_model_loss", (("model", model),)])


def test_clients_are_listed_with_what_they_say_of_themselves(api: Api) -> None:
    api.post("create_session", tags=["math"], sdk_version="0.22.0", user_metadata={"run": "a"})
    (session,) = api.http.get("/status.json").json()["sessions"]
    assert (session["sdk_version"], session["tags"]) == ("0.22.0", ["math"])
    assert session["user_metadata"] == {"run": "a"}
    assert 0 <= session["silent_s"] <= session["age_s"] + 1


def test_the_latest_operations_come_first(api: Api) -> None:
    model = api.model()
    step(api, model, 1)
    operations = [event["op"] for event in api.http.get("/status.json").json()["events"]]
    assert operations == ["optim_step", "forward_backward", "create_model"]
