"""OpenAI's own client against a real server with a tiny model."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.environments import environment
from support.server import Server, running_server

pytestmark = pytest.mark.environments
_PRELUDE = """
import json, os
from openai import APIStatusError, OpenAI
client = OpenAI(base_url=os.environ["URL"], api_key="sk-test", max_retries=0)
chat = [{"role": "user", "content": "Say something."}]
"""

Run = Callable[[str], Any]


@pytest.fixture(scope="module")
def server(tiny_directory: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Yield one server for the file."""
    with running_server(tiny_directory, tmp_path_factory.mktemp("state")) as running:
        yield running


@pytest.fixture(scope="module")
def python() -> Path:
    """Return the Python that has the client."""
    return environment("openai")


@pytest.fixture(params=["/v1", "/oai/api/v1"])
def run(request: pytest.FixtureRequest, server: Server, python: Path) -> Run:
    """Return a function that runs a script with the client and returns its `result`."""

    def run_script(script: str) -> Any:
        done = subprocess.run(
            [str(python), "-c", f"{_PRELUDE}\n{script}\nprint(json.dumps(result))"],
            env={"URL": server.url + request.param, "PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run_script


def test_a_streamed_chat_is_the_one_that_is_not_streamed(run: Run) -> None:
    result = run("""
fields = dict(model="tiny", messages=chat, max_completion_tokens=12, temperature=0)
whole = client.chat.completions.create(**fields)
streamed = dict(stream=True, stream_options={"include_usage": True})
parts = client.chat.completions.create(**fields, **streamed)
text, usage, reasons = "", None, []
for part in parts:
    usage = part.usage or usage
    for choice in part.choices:
        text += choice.delta.content or ""
        reasons.append(choice.finish_reason)
result = dict(whole=whole.choices[0].message.content, text=text, reason=reasons[-1],
              usage=[whole.usage.total_tokens, usage.total_tokens],
              completion=whole.usage.completion_tokens)
""")
    assert result["text"] == result["whole"]
    assert result["usage"][0] == result["usage"][1]
    assert (result["reason"], result["completion"]) == ("length", 12)


def test_a_seeded_completion_repeats_and_its_logprobs_are_read(run: Run) -> None:
    result = run("""
fields = dict(model="tiny", prompt="Once", max_tokens=6, seed=3, logprobs=0, n=2)
first, second = (client.completions.create(**fields) for _ in range(2))
result = dict(first=[choice.text for choice in first.choices],
              second=[choice.text for choice in second.choices],
              logprobs=first.choices[0].logprobs.token_logprobs)
""")
    assert result["first"] == result["second"]
    assert result["first"][0] != result["first"][1]
    assert len(result["logprobs"]) == 6
    assert all(value < 0 for value in result["logprobs"])


def test_a_prompt_can_be_scored(run: Run) -> None:
    result = run("""
fields = dict(model="tiny", prompt="Once upon a time", max_tokens=0)
answer = client.completions.create(**fields, echo=True, logprobs=1)
view = answer.choices[0].logprobs
result = dict(text=answer.choices[0].text, tokens=view.tokens, values=view.token_logprobs)
""")
    assert "".join(result["tokens"]) == result["text"] == "Once upon a time"
    assert result["values"][0] is None
    assert all(value < 0 for value in result["values"][1:])


def test_models_are_listed_and_described(run: Run) -> None:
    result = run("""
names = [model.id for model in client.models.list()]
result = dict(names=names, one=client.models.retrieve(names[0]).id)
""")
    assert result == {"names": ["tiny"], "one": "tiny"}


def test_errors_arrive_as_the_clients_own(run: Run) -> None:
    result = run("""
def failure(**fields):
    try:
        client.chat.completions.create(messages=chat, **fields)
    except APIStatusError as error:
        return [type(error).__name__, error.status_code, error.code, error.param]
wrong = dict(model="nobody"), dict(model="tiny", temperature=-1), dict(model="tiny", tools=[{}])
result = [failure(**fields) for fields in wrong]
""")
    assert result == [
        ["NotFoundError", 404, "model_not_found", "model"],
        ["BadRequestError", 400, None, "temperature"],
        ["BadRequestError", 400, None, "tools"],
    ]
