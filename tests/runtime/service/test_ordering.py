"""Order, repeats, and what one failure does to the next operation."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest
from mint_runtime.engine import commands as c
from mint_runtime.errors import ServerFault, UserError
from mint_runtime.service import convert
from mint_runtime.service.handlers.models import enqueue_creation
from mint_runtime.service.records import ModelRecord
from mint_runtime.service.services import running_services
from mint_runtime.service.settings import ServiceSettings
from support.fake_engine import FakeEngine
from support.service import Api, datum, running_api


def test_operations_of_one_model_run_in_the_order_of_arrival(api: Api) -> None:
    model = api.model()
    api.engine.gate.clear()
    acks = [api.train(model, 1), api.post("optim_step", model_id=model, seq_id=2)]
    acks += [api.post("save_weights", model_id=model, path="a", seq_id=3), api.train(model, 4)]
    api.engine.gate.set()
    for ack in acks:
        api.result(ack)
    assert api.engine.names() == [
        "CreateModel",
        "TrainStep",
        "OptimStep",
        "SaveAdapter",
        "TrainStep",
    ]


def test_an_operation_posted_before_its_model_exists_runs_after_the_creation(api: Api) -> None:
    session = api.session()
    api.engine.gate.clear()
    api.post("create_model", session_id=session, model_seq_id=0, base_model="org/base")
    ack = api.train(f"{session}:train:0", 1)
    api.engine.gate.set()
    assert api.result(ack)["metrics"] == {"loss:sum": 5.0}


def test_a_repeated_number_gives_the_first_request_and_runs_once(api: Api) -> None:
    model = api.model()
    first = api.train(model, 1, 2, 3)
    again = api.train(model, 1, 4, 5)
    assert again["request_id"] == first["request_id"]
    assert api.result(again)["metrics"]["loss:sum"] == 5.0
    assert api.engine.names().count("TrainStep") == 1


def test_operations_without_a_number_never_count_as_repeats(api: Api) -> None:
    model = api.model()
    acks = [api.train(model, None), api.train(model, None)]
    assert acks[0]["request_id"] != acks[1]["request_id"]


def test_missing_numbers_do_not_hold_anything_back(api: Api) -> None:
    model = api.model()
    assert api.result(api.train(model, 7))["metrics"] == {"loss:sum": 5.0}


def test_the_same_number_on_another_model_is_another_operation(api: Api) -> None:
    session = api.session()
    models = api.model(session, 0), api.model(session, 1)
    acks = [api.train(model, 1) for model in models]
    assert acks[0]["request_id"] != acks[1]["request_id"]


def test_creating_the_same_model_twice_creates_it_once(api: Api) -> None:
    fields = {"session_id": api.session(), "model_seq_id": 0, "base_model": "org/base"}
    acks = [api.post("create_model", **fields) for _ in range(2)]
    assert acks[0] == acks[1]
    api.result(acks[1])
    assert api.engine.names() == ["CreateModel"]


def test_one_model_waiting_for_a_checkpoint_does_not_hold_back_another(api: Api) -> None:
    session = api.session()
    slow, quick = api.model(session, 0), api.model(session, 1)
    api.engine.gate.clear()
    save = api.post("save_weights", model_id=slow, path="a", seq_id=1)
    load = api.post("load_weights", model_id=slow, path=f"tinker://{slow}/weights/a", seq_id=2)
    step = api.train(quick, 1)
    api.engine.gate.set()
    for ack in (step, save, load):
        assert "error" not in api.result(ack)
    assert api.engine.names()[2:] == ["SaveAdapter", "TrainStep", "LoadAdapter"]


@pytest.mark.parametrize(
    ("error", "category", "text"),
    [
        (UserError("datum 0 is wrong"), "user", "datum 0 is wrong"),
        (ServerFault("the disk is full"), "server", "the disk is full"),
        (OSError(28, "No space left on device"), "server", "No space left on device"),
    ],
)
def test_a_failed_operation_tells_why_and_the_next_one_works(
    api: Api, error: Exception, category: str, text: str
) -> None:
    model = api.model()
    api.engine.failures[c.TrainStep] = error
    failed = api.result(api.train(model, 1))
    del api.engine.failures[c.TrainStep]
    assert failed["category"] == category
    assert text in failed["error"]
    assert api.result(api.train(model, 2))["metrics"] == {"loss:sum": 5.0}


def test_a_bug_of_ours_reaches_the_client_without_its_details(api: Api) -> None:
    model = api.model()
    api.engine.failures[c.TrainStep] = KeyError("secret detail")
    ack = api.train(model, 1)
    failed = api.result(ack)
    assert failed["category"] == "server"
    assert ack["request_id"] in failed["error"]
    assert "secret detail" not in failed["error"]


def test_a_model_that_could_not_be_created_is_gone_and_says_why(api: Api) -> None:
    api.engine.failures[c.CreateModel] = UserError("`rank` is 900")
    session = api.session()
    fields = {"session_id": session, "model_seq_id": 0, "base_model": "org/base"}
    assert api.result(api.post("create_model", **fields))["error"] == "`rank` is 900"
    refused = api.post("get_info", 404, model_id=f"{session}:train:0")
    assert "not known" in refused["detail"]


def test_forward_adds_no_gradient(api: Api) -> None:
    model = api.model()
    loss = {"data": [datum(2, 3)], "loss_fn": "cross_entropy"}
    api.result(api.post("forward", forward_input=loss, model_id=model, seq_id=1))
    api.result(api.train(model, 2, forward_only=True))
    api.result(api.train(model, 3))
    steps = [one for one in api.engine.commands if isinstance(one, c.TrainStep)]
    assert [step.backward for step in steps] == [False, False, True]


def test_unloading_runs_behind_what_was_queued(api: Api) -> None:
    model = api.model()
    api.engine.gate.clear()
    step = api.train(model, 1)
    unload = api.post("unload_model", model_id=model)
    api.engine.gate.set()
    assert "error" not in api.result(step)
    assert api.result(unload)["model_id"] == model
    assert "no longer in memory" in api.post("get_info", 404, model_id=model)["detail"]


def test_finishing_a_session_drops_its_models_and_samplers_only(api: Api) -> None:
    mine, other = api.session(), api.session()
    gone, kept = api.model(mine), api.model(other)
    api.post(
        "create_sampling_session", session_id=mine, sampling_session_seq_id=0, base_model="org/base"
    )
    api.post(f"sessions/{mine}/finish", 204, reason={"type": "success"})
    api.post("get_info", 404, model_id=gone)
    assert api.post("get_info", model_id=kept)["model_id"] == kept
    assert api.result(api.train(kept, 1))["metrics"]
    assert api.engine.names()[-3:] == ["DropModel", "DropSampler", "TrainStep"]


@pytest.mark.parametrize(("silence_s", "dropped"), [(-1.0, True), (600.0, False)])
def test_an_abandoned_session_makes_room_and_a_live_one_does_not(
    tmp_path: Path, silence_s: float, dropped: bool
) -> None:
    with running_api(tmp_path, max_models=2, abandoned_after_s=silence_s) as api:
        models = [api.model(api.session()) for _ in range(3)]
        assert ("DropModel" in api.engine.names()) is dropped
        api.post("get_info", 404 if dropped else 200, model_id=models[0])
        assert api.post("get_info", model_id=models[1])
        assert api.post("get_info", model_id=models[2])


def test_a_silent_session_loses_its_models_in_the_end(tmp_path: Path) -> None:
    with running_api(tmp_path, session_timeout_s=0.05) as api:
        model = api.model()
        deadline = time.monotonic() + 10
        while "DropModel" not in api.engine.names():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert "no longer in memory" in api.post("get_info", 404, model_id=model)["detail"]


def test_a_step_queued_in_the_same_breath_as_its_model_runs_after_it(tmp_path: Path) -> None:
    async def scenario() -> list[str]:
        engine = FakeEngine()
        async with running_services(ServiceSettings(state_dir=tmp_path), engine) as services:
            record = ModelRecord(
                model_id="m", session_id="s", base_model="org/base", rank=1, seed=None,
                train_attn=True, train_mlp=True, train_unembed=True, created=0, last_request=0,
            )  # fmt: skip
            model, _ = enqueue_creation(services, record, c.LoraSpec(rank=1))
            step = c.TrainStep(model_id="m", data=(), loss_fn="cross_entropy")
            request_id = services.enqueue(model, 1, step, convert.train_output)
            await services.futures.wait(request_id, timeout_s=10)
        engine.close()
        return engine.names()

    assert asyncio.run(scenario()) == ["CreateModel", "TrainStep"]
