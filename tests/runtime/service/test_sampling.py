"""Samplers: where they come from, what they ask the engine, and what outlives a restart."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from mint_runtime.engine import commands as c
from mint_runtime.service.checkpoints import Checkpoints
from mint_runtime.service.records import SamplerRecord
from mint_runtime.service.samplers import Samplers
from mint_runtime.service.store import Store
from mint_runtime.wire.protobuf import message_class
from support.fake_engine import FakeEngine
from support.service import Api, running_api

PROMPT = {"chunks": [{"type": "encoded_text", "tokens": [1, 2, 3]}]}


def open_sampler(api: Api, session: str, number: int = 0, **source: str) -> str:
    """Open a sampler, on the base model unless a source is given, and return its id."""
    fields = source or {"base_model": "org/base"}
    answer = api.post(
        "create_sampling_session", session_id=session, sampling_session_seq_id=number, **fields
    )
    return str(answer["sampling_session_id"])


def sample(api: Api, sampler: str, status: int = 200, **fields: Any) -> Any:
    """Post an `asample` and return the acknowledgement."""
    body = {
        "sampling_session_id": sampler,
        "prompt": PROMPT,
        "num_samples": 1,
        "sampling_params": {"max_tokens": 4, "top_k": -1, "top_p": 1.0, "temperature": 1.0},
        "type": "sample",
    }
    return api.post("asample", status, **{**body, **fields})


def test_a_sample_is_acknowledged_with_one_id_per_sequence_and_answered(api: Api) -> None:
    sampler = open_sampler(api, api.session())
    ack = sample(api, sampler, num_samples=3, prompt_logprobs=True)
    assert len(set(ack["sample_sequence_ids"])) == 3
    result = api.result(ack)
    assert (
        result["sequences"]
        == [{"stop_reason": "stop", "tokens": [7, 8], "logprobs": [-0.25, -0.5]}] * 3
    )
    assert result["prompt_logprobs"] == [None, -1.0, -1.0]


@pytest.mark.parametrize(
    ("stop", "tokens", "strings"),
    [
        (None, None, ()),
        ([], (), ()),
        ("\n", None, ("\n",)),
        (["a", "b"], None, ("a", "b")),
        ([5, 6], (5, 6), ()),
    ],
)
def test_every_form_of_stop_reaches_the_engine(
    api: Api, stop: object, tokens: tuple[int, ...] | None, strings: tuple[str, ...]
) -> None:
    params = {"max_tokens": 4} if stop is None else {"max_tokens": 4, "stop": stop}
    api.result(sample(api, open_sampler(api, api.session()), sampling_params=params))
    command = api.engine.commands[-1]
    assert isinstance(command, c.Sample)
    assert (command.stop_tokens, command.stop_strings) == (tokens, strings)


def test_a_repeated_number_samples_once(api: Api) -> None:
    sampler = open_sampler(api, api.session())
    acks = [sample(api, sampler, seq_id=0) for _ in range(2)]
    assert acks[0] == acks[1]
    api.result(acks[1])
    assert api.engine.names().count("Sample") == 1


def test_opening_the_same_number_twice_opens_once(api: Api) -> None:
    session = api.session()
    assert open_sampler(api, session) == open_sampler(api, session) == f"{session}:sample:0"
    assert api.engine.names().count("OpenSampler") == 1


def test_a_snapshot_answers_with_its_sampler_and_no_path(api: Api) -> None:
    session = api.session()
    model = api.model(session)
    ack = api.post("save_weights_for_sampler", model_id=model, seq_id=1, sampling_session_seq_id=4)
    assert api.result(ack) == {
        "sampling_session_id": f"{session}:sample:4",
        "type": "save_weights_for_sampler",
    }
    assert api.engine.commands[-1] == c.SnapshotSampler(
        model_id=model, sampler_id=f"{session}:sample:4"
    )
    assert api.result(sample(api, f"{session}:sample:4"))["sequences"]


@pytest.mark.parametrize("scheme", ["tinker", "mint"])
def test_a_sampler_opens_on_a_saved_path(api: Api, scheme: str) -> None:
    session = api.session()
    path = api.save(api.model(session), "s", "save_weights_for_sampler")["path"]
    sampler = open_sampler(api, session, model_path=path.replace("tinker", scheme))
    assert api.get(f"samplers/{sampler}") == {
        "sampler_id": sampler,
        "base_model": "org/base",
        "model_path": path,
    }


@pytest.mark.parametrize(
    ("fields", "status", "text"),
    [
        ({}, 422, "`base_model` and `model_path`"),
        ({"base_model": "org/none"}, 404, "not served"),
        ({"model_path": "tinker://x/weights/y"}, 404, "does not exist"),
        ({"model_path": "nonsense"}, 400, "not a checkpoint path"),
    ],
)
def test_a_sampler_without_a_source_is_refused(
    api: Api, fields: dict[str, str], status: int, text: str
) -> None:
    body = {"session_id": api.session(), "sampling_session_seq_id": 0}
    assert text in api.post("create_sampling_session", status, **body, **fields)["detail"]


@pytest.mark.parametrize(
    ("fields", "status", "text"),
    [
        ({"num_samples": 0}, 422, "num_samples"),
        ({"num_samples": 10**9}, 400, "`num_samples` is 1000000000; one request may ask for"),
        ({"sampling_params": {"temperature": -1}}, 422, "temperature"),
        ({"sampling_params": {"top_p": 0}}, 422, "top_p"),
        ({"sampling_params": {"stop": [""]}}, 400, "empty string"),
        ({"prompt": {"chunks": [{"type": "image"}]}}, 400, "`image`"),
        ({"sampling_session_id": "nobody"}, 404, "`nobody` is not known"),
    ],
)
def test_a_bad_sampling_request_is_refused_and_the_next_one_works(
    api: Api, fields: dict[str, Any], status: int, text: str
) -> None:
    sampler = open_sampler(api, api.session())
    assert text in sample(api, sampler, status, **fields)["detail"]
    assert api.result(sample(api, sampler))["sequences"]


def test_a_sampler_whose_session_ends_while_it_is_opened_does_not_stay(tmp_path: Path) -> None:
    engine = FakeEngine()
    engine.gate.clear()
    store = Store(tmp_path / "catalogue.sqlite")
    checkpoints = Checkpoints(store, tmp_path / "checkpoints")
    record = SamplerRecord(
        sampler_id="one:sample:0", session_id="one", base_model="org/base", created=0.0
    )

    async def end_while_opening() -> None:
        samplers = Samplers(store, engine, checkpoints, max_snapshots=1, snapshot_idle_s=1.0)
        opening = asyncio.create_task(samplers.open(record))
        await asyncio.sleep(0)
        samplers.drop_session("another")
        samplers.drop_session("one")
        engine.gate.set()
        await opening
        await asyncio.sleep(0)

    asyncio.run(end_while_opening())
    engine.close()
    store.close()
    assert engine.names() == ["OpenSampler", "DropSampler"]


def test_a_sampler_on_a_path_comes_back_after_a_restart_and_a_snapshot_does_not(
    tmp_path: Path,
) -> None:
    with running_api(tmp_path) as before:
        session = before.session()
        model = before.model(session)
        path = before.save(model, "s", "save_weights_for_sampler")["path"]
        named = open_sampler(before, session, 0, model_path=path)
        ack = before.post("save_weights_for_sampler", model_id=model, sampling_session_seq_id=1)
        unnamed = before.result(ack)["sampling_session_id"]
    with running_api(tmp_path) as after:
        assert after.result(sample(after, named))["sequences"]
        assert after.engine.names() == ["OpenSampler", "Sample"]
        assert "unnamed snapshot" in sample(after, unnamed, 404)["detail"]


def test_only_the_last_prompt_tokens_are_scored_when_asked(api: Api) -> None:
    sampler = open_sampler(api, api.session())
    fields = {"prompt_logprobs": True, "topk_prompt_logprobs": 1, "prompt_logprobs_last_n": 1}
    result = api.result(sample(api, sampler, **fields))
    assert result["prompt_logprobs"] == [None, None, -1.0]
    assert result["topk_prompt_logprobs"] == [None, None, [[0, -1.0]]]


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"prompt_logprobs_last_n": 1}, "needs `prompt_logprobs`"),
        ({"prompt_logprobs_last_n": 3, "prompt_logprobs": True}, "has 3 tokens"),
    ],
)
def test_more_last_tokens_than_can_be_scored_are_refused(
    api: Api, fields: dict[str, Any], text: str
) -> None:
    assert text in sample(api, open_sampler(api, api.session()), 400, **fields)["detail"]


def test_stops_of_both_kinds_at_once_are_refused(api: Api) -> None:
    params = {"stop": [1, "a"]}
    sampler = open_sampler(api, api.session())
    assert "mixes" in sample(api, sampler, 400, sampling_params=params)["detail"]


@pytest.mark.parametrize("accept", ["application/json", "application/x-protobuf"])
def test_prompt_tokens_that_were_cached_are_counted_in_the_answer(api: Api, accept: str) -> None:
    api.engine.cached_prompt_tokens = 2
    ack = sample(api, open_sampler(api, api.session()))
    answer = api.http.post("/api/v1/retrieve_future", json=ack, headers={"Accept": accept})
    if accept == "application/json":
        assert answer.json()["prompt_cache_hit_tokens"] == 2
    else:
        assert (
            message_class("SampleResponse").FromString(answer.content).prompt_cache_hit_tokens == 2
        )


def snapshot(api: Api, model: str, number: int) -> str:
    ack = api.post("save_weights_for_sampler", model_id=model, sampling_session_seq_id=number)
    return str(api.result(ack)["sampling_session_id"])


def test_idle_snapshots_beyond_the_limit_are_dropped_and_used_ones_are_not(tmp_path: Path) -> None:
    with running_api(tmp_path, max_snapshots=2, snapshot_idle_s=0.0) as api:
        model = api.model()
        first, second = snapshot(api, model, 0), snapshot(api, model, 1)
        api.result(sample(api, first))
        third = snapshot(api, model, 2)
        assert "many later ones" in sample(api, second, 404)["detail"]
        for kept in (first, third):
            assert api.result(sample(api, kept))["sequences"]
        drops = [one.sampler_id for one in api.engine.commands if isinstance(one, c.DropSampler)]
        assert drops == [second]


def test_snapshots_used_lately_outlive_the_limit(tmp_path: Path) -> None:
    with running_api(tmp_path, max_snapshots=1, snapshot_idle_s=600.0) as api:
        model = api.model()
        names = [snapshot(api, model, number) for number in range(4)]
        for name in names:
            assert api.result(sample(api, name))["sequences"]
