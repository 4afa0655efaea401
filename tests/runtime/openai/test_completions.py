"""`/v1/completions` and `/v1/chat/completions` over an engine that draws what it is told."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mint_runtime.engine.commands import Sample
from mint_runtime.errors import UserError
from support.fake_engine import BASE
from support.service import Api, running_api

Draws = Callable[..., list[int]]
CHAT = {"model": BASE, "messages": [{"role": "user", "content": "Hi"}]}
TEXT = {"model": BASE, "prompt": "Hi"}


def post(api: Api, path: str, status: int = 200, /, **fields: Any) -> Any:
    answer = api.http.post(f"/v1/{path}", json=fields)
    assert answer.status_code == status, answer.text
    return answer.json()


def events(api: Api, path: str, **fields: Any) -> list[Any]:
    """Return what a streamed request sends; the last line has to be the end mark."""
    answer = api.http.post(f"/v1/{path}", json={**fields, "stream": True})
    assert answer.headers["content-type"].startswith("text/event-stream")
    *lines, end = [line for line in answer.text.split("\n\n") if line]
    assert end == "data: [DONE]"
    return [json.loads(line.removeprefix("data: ")) for line in lines]


def command(api: Api) -> Sample:
    """Return the last sample the engine was asked for."""
    return next(one for one in reversed(api.engine.commands) if isinstance(one, Sample))


def test_a_completion_is_text_without_the_stop_token(api: Api, draws: Draws) -> None:
    tokens = draws(" naïve 🙂")
    body = post(api, "completions", **TEXT)
    (choice,) = body["choices"]
    assert choice == {"index": 0, "text": " naïve 🙂", "logprobs": None, "finish_reason": "stop"}
    assert (body["object"], body["model"]) == ("text_completion", BASE)
    assert body["usage"]["completion_tokens"] == len(tokens) + 1
    assert body["usage"]["prompt_tokens"] == len(command(api).tokens)


def test_a_chat_is_written_with_the_models_template(api: Api, draws: Draws, tokenizer: Any) -> None:
    draws("Hello")
    body = post(api, "chat/completions", **CHAT)
    (choice,) = body["choices"]
    assert choice["message"] == {"role": "assistant", "content": "Hello", "refusal": None}
    expected = tokenizer.apply_chat_template(
        CHAT["messages"], add_generation_prompt=True, tokenize=False
    )
    assert tokenizer.decode(command(api).tokens) == expected


def test_both_prefixes_serve_the_same(api: Api, draws: Draws) -> None:
    draws("Hello")
    answer = api.http.post("/oai/api/v1/chat/completions", json=CHAT)
    assert answer.json()["choices"] == post(api, "chat/completions", **CHAT)["choices"]


@pytest.mark.parametrize(
    ("prompt", "num_prompts"), [("a", 1), (["a", "b"], 2), ([5, 6], 1), ([[5, 6], [7]], 2)]
)
def test_every_form_of_prompt_is_continued_n_times(
    api: Api, draws: Draws, prompt: Any, num_prompts: int
) -> None:
    draws("x")
    body = post(api, "completions", model=BASE, prompt=prompt, n=3)
    assert [choice["index"] for choice in body["choices"]] == list(range(3 * num_prompts))
    assert body["usage"]["completion_tokens"] == 3 * num_prompts * len(api.engine.tokens)


def test_sampling_fields_reach_the_engine(api: Api, draws: Draws, tokenizer: Any) -> None:
    draws("x")
    fields = {"max_tokens": 9, "temperature": 0.5, "top_p": 0.9, "top_k": 3, "seed": 11}
    post(api, "completions", **TEXT, **fields, stop="\n", stop_token_ids=[5])
    sent = command(api)
    assert {name: getattr(sent, name) for name in fields} == fields
    assert sent.stop_strings == ("\n",)
    # The tokens that end a sequence of the model anyway still do.
    assert sent.stop_tokens is not None
    assert {5, tokenizer.eos_token_id} <= set(sent.stop_tokens)


@pytest.mark.parametrize(
    ("path", "fields", "limit"),
    [
        ("completions", TEXT, 16),
        ("chat/completions", CHAT, None),
        ("chat/completions", {**CHAT, "max_tokens": 4}, 4),
        ("chat/completions", {**CHAT, "max_tokens": 4, "max_completion_tokens": 5}, 5),
        ("chat/completions", {**CHAT, "temperature": None, "stop": None}, None),
    ],
)
def test_the_length_is_limited_as_openai_does(
    api: Api, draws: Draws, path: str, fields: dict[str, Any], limit: int | None
) -> None:
    draws("x")
    post(api, path, **fields)
    assert command(api).max_tokens == limit
    assert command(api).temperature == 1.0


def test_the_stop_string_is_no_part_of_the_text(api: Api, draws: Draws) -> None:
    draws("one. two", ends=False)
    api.engine.stop_reason = "stop"
    (choice,) = post(api, "completions", **TEXT, stop=["!", ". "])["choices"]
    assert (choice["text"], choice["finish_reason"]) == ("one", "stop")


def test_an_answer_at_its_limit_says_so(api: Api, draws: Draws) -> None:
    draws("one two", ends=False)
    (choice,) = post(api, "completions", **TEXT)["choices"]
    assert (choice["text"], choice["finish_reason"]) == ("one two", "length")


def test_a_streamed_completion_adds_up_to_the_whole_one(api: Api, draws: Draws) -> None:
    draws(" naïve 🙂 words")
    whole = post(api, "completions", **TEXT)["choices"][0]
    chunks = [one["choices"][0] for one in events(api, "completions", **TEXT)]
    assert len(chunks) > 3
    assert "".join(chunk["text"] for chunk in chunks) == whole["text"]
    assert [chunk["finish_reason"] for chunk in chunks[-2:]] == [None, "stop"]


def test_a_streamed_chat_has_the_shape_that_clients_join(api: Api, draws: Draws) -> None:
    draws("Hello there")
    *chunks, last = [
        one["choices"][0] for one in events(api, "chat/completions", **CHAT, temperature=0.5)
    ]
    assert chunks[0]["delta"] == {"role": "assistant", "content": ""}
    assert "".join(chunk["delta"]["content"] for chunk in chunks) == "Hello there"
    assert (last["delta"], last["finish_reason"]) == ({}, "stop")


def test_streamed_answers_are_told_apart(api: Api, draws: Draws) -> None:
    draws("one two three")
    texts = dict.fromkeys(range(4), "")
    for body in events(api, "completions", model=BASE, prompt=["a", "b"], n=2):
        for choice in body["choices"]:
            texts[choice["index"]] += choice["text"]
    assert texts == dict.fromkeys(range(4), "one two three")


def test_usage_is_streamed_when_asked_for(api: Api, draws: Draws) -> None:
    draws("Hello")
    fields = {**TEXT, "stream_options": {"include_usage": True}}
    *chunks, last = events(api, "completions", **fields)
    assert all(chunk["usage"] is None for chunk in chunks)
    assert (last["choices"], last["usage"]) == ([], post(api, "completions", **TEXT)["usage"])


def test_an_echo_comes_before_the_answer(api: Api, draws: Draws) -> None:
    draws(" there")
    assert post(api, "completions", **TEXT, echo=True)["choices"][0]["text"] == "Hi there"
    chunks = events(api, "completions", **TEXT, echo=True)
    assert "".join(one["choices"][0]["text"] for one in chunks) == "Hi there"
    assert chunks[0]["choices"][0]["text"] == "Hi"


def test_logprobs_of_a_completion_point_into_its_text(api: Api, draws: Draws) -> None:
    draws("one two")
    (choice,) = post(api, "completions", **TEXT, logprobs=0)["choices"]
    view = choice["logprobs"]
    assert "".join(view["tokens"]) == choice["text"]
    assert view["token_logprobs"] == [-(place + 1) / 4 for place in range(len(view["tokens"]))]
    for token, offset in zip(view["tokens"], view["text_offset"], strict=True):
        assert choice["text"][offset:].startswith(token)
    assert view["top_logprobs"] is None


def test_streamed_logprobs_are_those_of_the_whole_answer(api: Api, draws: Draws) -> None:
    draws("one 🙂 two")
    whole = post(api, "completions", **TEXT, logprobs=0)["choices"][0]["logprobs"]
    views = [
        one["choices"][0]["logprobs"] for one in events(api, "completions", **TEXT, logprobs=0)
    ]
    for name in ("tokens", "token_logprobs", "text_offset"):
        assert [value for view in views for value in view[name]] == whole[name]


def test_a_prompt_is_scored_without_drawing(api: Api, tokenizer: Any) -> None:
    prompt = "some words to score"
    fields = {"model": BASE, "prompt": prompt, "max_tokens": 0, "echo": True, "logprobs": 2}
    (choice,) = post(api, "completions", **fields)["choices"]
    view = choice["logprobs"]
    assert (choice["text"], choice["finish_reason"]) == (prompt, "length")
    assert "".join(view["tokens"]) == prompt
    assert view["token_logprobs"] == [None, *[-1.0] * (len(tokenizer.encode(prompt)) - 1)]
    assert view["top_logprobs"][0] is None
    scored = zip(view["tokens"][1:], view["top_logprobs"][1:], strict=True)
    assert all(token in top for token, top in scored)
    assert (command(api).max_tokens, command(api).topk_prompt_logprobs) == (0, 2)


def test_logprobs_of_a_chat_have_bytes(api: Api, draws: Draws) -> None:
    draws("é!")
    fields = {**CHAT, "logprobs": True, "top_logprobs": 1, "temperature": 0}
    (choice,) = post(api, "chat/completions", **fields)["choices"]
    content = choice["logprobs"]["content"]
    joined = b"".join(bytes(one["bytes"] or ()) for one in content if one["bytes"] is not None)
    assert joined.decode().endswith("!")
    assert all(one["top_logprobs"][0]["token"] == one["token"] for one in content)


def test_parts_of_text_are_joined(api: Api, draws: Draws, tokenizer: Any) -> None:
    draws("x")
    parts = [{"type": "text", "text": "Hel"}, {"type": "text", "text": "lo"}]
    post(api, "chat/completions", model=BASE, messages=[{"role": "developer", "content": parts}])
    assert "<|im_start|>system\nHello<|im_end|>" in tokenizer.decode(command(api).tokens)


@pytest.mark.parametrize(
    ("path", "fields", "param"),
    [
        ("completions", {"prompt": "a"}, "model"),
        ("completions", {"model": BASE}, "prompt"),
        ("completions", {**TEXT, "prompt": []}, "prompt"),
        ("completions", {**TEXT, "prompt": ["a", ""]}, "prompt[1]"),
        ("completions", {**TEXT, "prompt": {"text": "a"}}, "prompt"),
        ("completions", {**TEXT, "n": 0}, "n"),
        ("completions", {**TEXT, "temperature": -1}, "temperature"),
        ("completions", {**TEXT, "top_p": 0}, "top_p"),
        ("completions", {**TEXT, "max_tokens": "many"}, "max_tokens"),
        ("completions", {**TEXT, "stop": ["a", ""]}, "stop"),
        ("completions", {**TEXT, "best_of": 4}, "best_of"),
        ("completions", {**TEXT, "suffix": "end"}, "suffix"),
        ("completions", {**TEXT, "logprobs": 5}, "logprobs"),
        ("completions", {**TEXT, "logprobs": 1}, "logprobs"),
        ("completions", {**TEXT, "echo": True, "logprobs": 0, "stream": True}, "logprobs"),
        ("completions", {**TEXT, "max_token": 5}, "max_token"),
        ("chat/completions", {**CHAT, "messages": []}, "messages"),
        ("chat/completions", {**CHAT, "messages": [{"role": "user"}]}, "messages[0].content"),
        (
            "chat/completions",
            {**CHAT, "messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
            "messages[0].content[0]",
        ),
        ("chat/completions", {**CHAT, "tools": [{"type": "function"}]}, "tools"),
        ("chat/completions", {**CHAT, "response_format": {"type": "json"}}, "response_format"),
        ("chat/completions", {**CHAT, "frequency_penalty": 0.5}, "frequency_penalty"),
        ("chat/completions", {**CHAT, "top_logprobs": 2}, "top_logprobs"),
        ("chat/completions", {**CHAT, "logprobs": True, "top_logprobs": 2}, "top_logprobs"),
    ],
)
def test_what_cannot_be_served_is_refused_by_name_and_the_next_request_works(
    api: Api, draws: Draws, path: str, fields: dict[str, Any], param: str
) -> None:
    draws("x")
    error = post(api, path, 400, **fields)["error"]
    assert error["param"] == param
    assert f"`{param}`" in error["message"]
    assert error["type"] == "invalid_request_error"
    post(api, path, **(TEXT if path == "completions" else CHAT))


@pytest.mark.parametrize(
    "field",
    [
        {"user": "me"},
        {"metadata": {"a": "b"}},
        {"store": True},
        {"tools": []},
        {"frequency_penalty": 0},
        {"response_format": {"type": "text"}},
        {"logit_bias": None},
    ],
    ids=lambda field: next(iter(field)),
)
def test_fields_that_change_nothing_are_accepted(
    api: Api, draws: Draws, field: dict[str, Any]
) -> None:
    draws("x")
    post(api, "chat/completions", **CHAT, **field)


def test_a_typing_error_in_a_field_gets_a_suggestion(api: Api) -> None:
    error = post(api, "completions", 400, **TEXT, temprature=0)["error"]
    assert "did you mean `temperature`?" in error["message"]


@pytest.mark.parametrize("stream", [False, True])
def test_a_refusal_of_the_engine_is_an_error_with_a_status(api: Api, stream: bool) -> None:
    api.engine.failures[Sample] = UserError("`max_tokens` is 99; there is room for 5")
    error = post(api, "completions", 400, **TEXT, stream=stream)["error"]
    assert (error["param"], error["type"]) == ("max_tokens", "invalid_request_error")


@pytest.mark.parametrize("stream", [False, True])
def test_a_bug_of_ours_tells_no_details(api: Api, stream: bool) -> None:
    api.engine.failures[Sample] = ZeroDivisionError("secret detail")
    error = post(api, "completions", 500, **TEXT, stream=stream)["error"]
    assert error["type"] == "server_error"
    assert "secret" not in error["message"]


def test_a_body_that_is_not_json_is_refused_in_their_shape(api: Api) -> None:
    answer = api.http.post("/v1/completions", content=b"{")
    assert answer.status_code == 400
    assert answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"X-API-Key": "sk-right"}, 200),
        ({"Authorization": "Bearer sk-right"}, 200),
        ({"Authorization": "bearer sk-right"}, 200),
        ({"Authorization": "Bearer sk-wrong"}, 401),
        ({"Authorization": "Basic sk-right"}, 401),
        ({}, 401),
    ],
)
def test_a_bearer_token_is_a_key(tmp_path: Path, headers: dict[str, str], status: int) -> None:
    with running_api(tmp_path, api_key="sk-right") as api:
        del api.http.headers["X-API-Key"]
        answer = api.http.get("/v1/models", headers=headers)
    assert answer.status_code == status
    if status == 401:
        assert answer.json()["error"]["code"] == "invalid_api_key"
        assert answer.headers["www-authenticate"] == "Bearer"


def test_greedy_alternatives_are_the_token_itself(api: Api, draws: Draws) -> None:
    draws("one")
    view = post(api, "completions", **TEXT, logprobs=1, temperature=0)["choices"][0]["logprobs"]
    assert [list(top) for top in view["top_logprobs"]] == [[token] for token in view["tokens"]]


def test_a_logprob_of_minus_infinity_is_still_json(api: Api, draws: Draws) -> None:
    draws("one")
    api.engine.logprob_step = -np.inf
    view = post(api, "completions", **TEXT, logprobs=0)["choices"][0]["logprobs"]
    assert view["token_logprobs"][0] == -9999.0
