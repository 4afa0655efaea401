"""`--profile hosted`: what runs there runs on the hosted service."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from mint_runtime.service.profiles import PROFILES, Profile, ProfileName
from mint_runtime.wire.routes import ROUTES
from support.service import Api, datum, running_api


@pytest.fixture
def hosted(tmp_path: Path) -> Iterator[Api]:
    with running_api(tmp_path, profile=PROFILES[ProfileName.HOSTED]) as api:
        yield api


def test_weights_info_is_missing_so_that_clients_cannot_rely_on_it(hosted: Api) -> None:
    path = hosted.save(hosted.model())["path"]
    detail = hosted.post("weights_info", 404, tinker_path=path)["detail"]
    assert "the shape of a checkpoint is not served here" in detail


@pytest.mark.parametrize("seq_id", [None, 1])
def test_a_fresh_client_can_load_with_the_optimizer(hosted: Api, seq_id: int | None) -> None:
    session = hosted.session()
    path = hosted.save(hosted.model(session, 0))["path"]
    fields = {"model_id": hosted.model(session, 1), "path": path, "optimizer": True}
    assert hosted.result(hosted.post("load_weights", seq_id=seq_id, **fields))["path"] == path


def test_a_client_that_has_trained_cannot_load(hosted: Api) -> None:
    model = hosted.model()
    path = hosted.save(model, seq_id=1)["path"]
    detail = hosted.post("load_weights", 400, model_id=model, path=path, seq_id=2)["detail"]
    assert "only as the first operation" in detail


def test_a_loss_that_a_profile_leaves_out_is_not_served(tmp_path: Path) -> None:
    loss = {"data": [datum(2, 3)], "loss_fn": "ppo"}
    with running_api(tmp_path, profile=Profile(losses=frozenset({"ppo"}))) as api:
        fields = {"forward_backward_input": loss, "model_id": api.model()}
        assert "`ppo` is not served" in api.post("forward_backward", 400, **fields)["detail"]


@pytest.mark.parametrize("name", ProfileName)
def test_a_profile_names_routes_that_exist(name: ProfileName) -> None:
    assert set(PROFILES[name].routes) <= {route.name for route in ROUTES}


def test_the_full_profile_leaves_nothing_out(api: Api) -> None:
    session = api.session()
    model = api.model(session)
    path = api.save(model, seq_id=1)["path"]
    assert api.post("weights_info", tinker_path=path)
    ack = api.post("load_weights", model_id=model, path=path, seq_id=2)
    assert api.result(ack)["path"] == path
