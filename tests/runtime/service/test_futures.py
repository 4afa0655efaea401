"""Waiting for results and fetching them."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import numpy as np
import pytest
from mint_runtime.errors import NotFound
from mint_runtime.service.futures import Failure, Futures
from mint_runtime.wire import codec
from mint_runtime.wire.messages import ForwardBackwardOutput, JsonResult
from support.service import Api, running_api

OUTPUT = ForwardBackwardOutput(
    outputs=({"logprobs": np.array([-1.0], dtype=np.float32)},), metrics={"loss:sum": 1.0}
)


def test_a_waiting_client_is_answered_when_the_result_exists(api: Api) -> None:
    model = api.model()
    api.engine.gate.clear()
    ack = api.train(model, 1)
    release = threading.Timer(0.2, api.engine.gate.set)
    release.start()
    # The fixture's long poll lasts seconds, so an answer other than 408 was sent by the event.
    assert api.result(ack)["metrics"] == {"loss:sum": 5.0}
    release.join()


def test_a_result_that_takes_longer_than_the_poll_is_408(tmp_path: Path) -> None:
    with running_api(tmp_path, long_poll_s=0.05) as api:
        model = api.model()
        api.engine.gate.clear()
        ack = api.train(model, 1)
        assert "ask again" in api.post("retrieve_future", 408, **ack)["detail"]
        api.engine.gate.set()


def test_a_result_can_be_fetched_again(api: Api) -> None:
    ack = api.train(api.model(), 1)
    assert api.result(ack) == api.result(ack)


def test_an_unknown_request_is_404(api: Api) -> None:
    assert "not known" in api.post("retrieve_future", 404, request_id="x-1")["detail"]


def test_a_request_from_before_a_restart_is_404_and_says_so(tmp_path: Path) -> None:
    with running_api(tmp_path) as before:
        ack = before.train(before.model(), 1)
    with running_api(tmp_path) as after:
        assert "restarted" in after.post("retrieve_future", 404, **ack)["detail"]


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("application/json", "application/json"),
        ("application/x-protobuf, application/json", "application/x-protobuf"),
        ("application/x-protobuf", "application/x-protobuf"),
    ],
)
def test_a_result_comes_in_the_format_the_client_takes(
    api: Api, accept: str, media_type: str
) -> None:
    ack = api.train(api.model(), 1)
    answer = api.http.post("/api/v1/retrieve_future", json=ack, headers={"Accept": accept})
    assert answer.headers["content-type"] == media_type


def test_closing_lets_waiting_clients_go() -> None:
    async def scenario() -> object:
        futures = Futures(lifetime_s=60)
        waiting = asyncio.create_task(futures.wait(futures.open(), timeout_s=60))
        await asyncio.sleep(0)
        futures.close()
        return await asyncio.wait_for(waiting, timeout=10)

    assert asyncio.run(scenario()) is None


def test_a_result_is_encoded_once_for_all_who_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    encoded: list[str] = []
    encode = codec.encode

    def counting(result: ForwardBackwardOutput, media_type: str) -> codec.Encoded:
        encoded.append(media_type)
        return encode(result, media_type)

    async def scenario() -> None:
        futures = Futures(lifetime_s=60)
        request_id = futures.open()
        futures.resolve(request_id, OUTPUT)
        bodies = [
            futures.body(request_id, accept) for accept in ("application/json", codec.PROTOBUF) * 2
        ]
        await asyncio.gather(*bodies)

    monkeypatch.setattr(codec, "encode", counting)
    asyncio.run(scenario())
    assert sorted(encoded) == [codec.JSON, codec.PROTOBUF]


def test_a_fetched_result_is_kept_for_a_client_that_lost_it_and_not_as_long_as_others() -> None:
    async def scenario() -> None:
        futures = Futures(lifetime_s=60, refetch_s=0.0)
        fetched, waiting = futures.open(), futures.open()
        for request_id in (fetched, waiting):
            futures.resolve(request_id, JsonResult())
        assert await futures.wait(fetched, timeout_s=0) == JsonResult()
        assert await futures.wait(fetched, timeout_s=0) == JsonResult()
        await asyncio.sleep(0.01)
        futures.open()
        with pytest.raises(NotFound, match="dropped"):
            await futures.wait(fetched, timeout_s=0)
        assert await futures.wait(waiting, timeout_s=0) == JsonResult()

    asyncio.run(scenario())


def test_everyone_who_waits_is_woken_and_leaves_nothing_behind() -> None:
    async def scenario() -> tuple[list[object], int]:
        futures = Futures(lifetime_s=60)
        request_id = futures.open()
        waiting = [asyncio.create_task(futures.wait(request_id, 60.0)) for _ in range(100)]
        late = await futures.wait(request_id, timeout_s=0.01)
        waiting.pop().cancel()
        futures.resolve(request_id, JsonResult())
        outcomes = await asyncio.gather(*waiting)
        return [late, *outcomes], len(futures._entries[request_id].waiters)

    outcomes, num_left = asyncio.run(scenario())
    assert outcomes == [None, *[JsonResult()] * 99]
    assert num_left == 0


def test_old_results_are_dropped_and_unfinished_operations_are_not() -> None:
    async def scenario() -> None:
        futures = Futures(lifetime_s=0.0)
        unfinished, finished = futures.open(), futures.open()
        futures.resolve(finished, JsonResult())
        await asyncio.sleep(0.01)
        futures.open()
        with pytest.raises(NotFound, match="dropped"):
            await futures.wait(finished, timeout_s=0)
        futures.resolve(unfinished, Failure(error="late", category="user"))
        assert await futures.wait(unfinished, timeout_s=0) == Failure(error="late", category="user")

    asyncio.run(scenario())
