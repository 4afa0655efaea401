"""What `model` may be, and what is kept open for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
from mint_runtime.engine.commands import DropSampler, OpenSampler, Sample
from mint_runtime.service.openai.targets import MAX_OPEN
from support.fake_engine import BASE
from support.service import Api


@pytest.fixture
def complete(api: Api, draws: Callable[..., list[int]]) -> Callable[..., Any]:
    """Return a function that completes a prompt with a model."""
    draws("x")

    def post(model: str, status: int = 200) -> Any:
        answer = api.http.post("/v1/completions", json={"model": model, "prompt": "a"})
        assert answer.status_code == status, answer.text
        return answer.json()

    return post


def opened(api: Api) -> list[OpenSampler]:
    return [one for one in api.engine.commands if isinstance(one, OpenSampler)]


@pytest.mark.parametrize("kind", ["save_weights", "save_weights_for_sampler"])
@pytest.mark.parametrize("scheme", ["tinker", "mint"])
def test_a_checkpoint_of_either_kind_answers(
    api: Api, complete: Callable[..., Any], kind: str, scheme: str
) -> None:
    path = api.save(api.model(), kind=kind)["path"]
    complete(path.replace("tinker:", f"{scheme}:"))
    (command,) = opened(api)
    assert command.directory is not None
    assert command.base_model == BASE


def test_a_checkpoint_is_opened_once(api: Api, complete: Callable[..., Any]) -> None:
    path = api.save(api.model())["path"]
    complete(path)
    complete(path)
    assert len(opened(api)) == 1


def test_an_overwritten_checkpoint_is_opened_anew(api: Api, complete: Callable[..., Any]) -> None:
    model = api.model()
    path = api.save(model)["path"]
    complete(path)
    api.save(model, overwrite=True)
    complete(path)
    first, second = opened(api)
    assert first.directory != second.directory


def test_a_deleted_checkpoint_is_gone(api: Api, complete: Callable[..., Any]) -> None:
    model = api.model()
    path = api.save(model)["path"]
    complete(path)
    api.http.delete(f"/api/v1/training_runs/{model}/checkpoints/weights/a")
    error = complete(path, 404)["error"]
    assert (error["code"], error["param"]) == ("model_not_found", "model")


def test_the_checkpoint_that_was_idle_longest_is_closed(
    api: Api, complete: Callable[..., Any]
) -> None:
    model = api.model()
    paths = [api.save(model, name=f"c{index}")["path"] for index in range(MAX_OPEN + 1)]
    for path in paths[:-1]:
        complete(path)
    complete(paths[0])
    complete(paths[-1])
    api.session()
    dropped = [one.sampler_id for one in api.engine.commands if isinstance(one, DropSampler)]
    assert dropped == [opened(api)[1].sampler_id]
    complete(paths[1])
    assert len(opened(api)) == MAX_OPEN + 2


def test_an_open_sampler_answers_by_its_id(api: Api, complete: Callable[..., Any]) -> None:
    sampler = api.post(
        "create_sampling_session",
        session_id=api.session(),
        sampling_session_seq_id=0,
        base_model=BASE,
    )["sampling_session_id"]
    complete(sampler)
    (command,) = [one for one in api.engine.commands if isinstance(one, Sample)]
    assert command.sampler_id == sampler


@pytest.mark.parametrize(
    "model", ["nobody", "tinker://m/weights/none", "tinker://m", "mint://../../etc/passwd"]
)
def test_an_unknown_model_is_404_and_says_what_may_be_named(
    complete: Callable[..., Any], model: str
) -> None:
    error = complete(model, 404)["error"]
    assert error["code"] == "model_not_found"
    assert "tinker://" in error["message"]


def test_base_models_and_checkpoints_are_listed(api: Api) -> None:
    path = api.save(api.model())["path"]
    listed = api.http.get("/v1/models").json()
    assert [one["id"] for one in listed["data"]] == [BASE, path]
    assert all(one["object"] == "model" for one in listed["data"])


def test_one_model_is_described(api: Api) -> None:
    path = api.save(api.model())["path"]
    for name in (BASE, path):
        assert api.http.get(f"/v1/models/{quote(name, safe='')}").json()["id"] == name
    answer = api.http.get("/v1/models/nobody")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")
