"""Judges; the endpoint is a real server on this machine."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from judge import EndpointJudge, HeuristicJudge, parse_grade


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        ("Hello! How may I help you?", "what"),
        ("Of course. What would you like to know?", "go away and do not ask me"),
        ("Thank you for asking. Please tell me more.", "help help help help"),
        ("Please say more about that.", "please please please please please"),
        ("no", ""),
    ],
)
def test_the_local_judge_prefers_what_a_person_would(better, worse):
    score = HeuristicJudge().score
    assert score("hello", better) > score("hello", worse)


def test_the_local_judge_gives_all_and_nothing():
    score = HeuristicJudge().score
    assert [score("hello", "Hello! How may I help you?"), score("hello", "  \n")] == [1.0, 0.0]


@pytest.mark.parametrize(
    ("answer", "grade"),
    [
        ("7", 0.7),
        ("Grade: 8.5 of 10", 0.85),
        ("10", 1.0),
        ("0", 0.0),
        ("11", None),
        ("-1", None),
        ("good", None),
    ],
)
def test_a_grade_is_the_first_number_from_0_to_10(answer, grade):
    assert parse_grade(answer) == grade


@contextmanager
def endpoint(*replies: tuple[int, str]) -> Iterator[tuple[str, list[dict]]]:
    """Yield the address of a server that gives the replies in turn, and what it was asked."""
    asked: list[dict] = []
    waiting = iter(replies)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            asked.append({"path": self.path, "key": self.headers.get("Authorization"), **body})
            status, content = next(waiting)
            self.send_response(status)
            self.end_headers()
            answer = {"choices": [{"message": {"content": content}}]}
            self.wfile.write(json.dumps(answer).encode())

        def log_message(self, *arguments):
            """Keep the output of the tests clean."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/v1", asked
        finally:
            server.shutdown()
            thread.join()


def judge(url: str, **settings) -> EndpointJudge:
    return EndpointJudge(base_url=url, model="grader", sleep=lambda seconds: None, **settings)


def test_the_endpoint_is_asked_for_a_grade_of_this_reply():
    with endpoint((200, "7")) as (url, asked):
        assert judge(url, api_key="sk-judge").score("hello", "good day") == 0.7
    (request,) = asked
    assert request["path"] == "/v1/chat/completions"
    assert request["key"] == "Bearer sk-judge"
    assert (request["model"], request["temperature"]) == ("grader", 0)
    assert "<message>hello</message>\n<reply>good day</reply>" in request["messages"][-1]["content"]


@pytest.mark.parametrize("failure", [(503, ""), (200, "lovely")], ids=["status", "no number"])
def test_a_failure_is_tried_again(failure):
    with endpoint(failure, (200, "4")) as (url, _):
        assert judge(url).score("hello", "good day") == 0.4


def test_no_grade_is_made_up():
    with (
        endpoint((200, "lovely"), (200, "lovely")) as (url, _),
        pytest.raises(RuntimeError, match="no grade in 2 attempts; the last: no number"),
    ):
        judge(url, num_attempts=2).score("hello", "good day")


def test_an_endpoint_that_is_not_there_is_named():
    with pytest.raises(RuntimeError, match=r"'grader' at http://127.0.0.1:1/v1 gave no grade"):
        judge("http://127.0.0.1:1/v1", num_attempts=1).score("hello", "good day")
