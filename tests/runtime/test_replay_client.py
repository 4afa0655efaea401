"""`mint-runtime serve --replay FILE` with the published client."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.server import Client, running_client, running_server

PROMPT = [5, 6, 7, 8]
COMPLETIONS = [[9, 10, 2], [11, 2], [12, 13, 14], [15, 16, 2]]

PRELUDE = """
import mint
from mint import types

service = mint.ServiceClient()
training = service.create_lora_training_client(base_model="tiny", rank=4, seed=7)

def datum(prompt, completion, **inputs):
    tokens, rest = prompt + completion, [0.0] * (len(prompt) - 1)
    return types.Datum(
        model_input=types.ModelInput.from_ints(tokens[:-1]),
        loss_fn_inputs={"target_tokens": tokens[1:],
                        **{name: rest + values for name, values in inputs.items()}},
    )

def train(data, loss="cross_entropy"):
    passed = training.forward_backward(data, loss)
    training.optim_step(types.AdamParams(learning_rate=1e-2)).result()
    return passed.result()

def sample(prompt, count, max_tokens=3):
    client = training.save_weights_and_get_sampling_client()
    parameters = types.SamplingParams(max_tokens=max_tokens, temperature=1.0, stop=[2])
    text = types.ModelInput.from_ints(prompt)
    return client, client.sample(text, num_samples=count, sampling_params=parameters)
"""


@pytest.fixture(scope="module")
def client(tiny_directory: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """Yield a client of a server that answers from a file."""
    folder = tmp_path_factory.mktemp("replay")
    file = folder / "completions.jsonl"
    lines = [
        {"step": step, "prompt": [*PROMPT, which], "completion": completion}
        for which in (20, 21, 22)
        for step, completion in enumerate(COMPLETIONS)
    ]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    with (
        running_server(tiny_directory, folder / "state", "--replay", str(file)) as server,
        running_client(server.url) as running,
    ):
        yield running


def test_samples_are_the_recorded_ones_with_the_log_probabilities_of_training(
    client: Client,
) -> None:
    script = """
prompt = [5, 6, 7, 8, 20]
train([datum(prompt, [30, 31, 32], weights=[1.0] * 3)])
_, future = sample(prompt, 4)
drawn = future.result().sequences
data = [datum(prompt, list(s.tokens), logprobs=list(s.logprobs),
              advantages=[1.0] * len(s.tokens)) for s in drawn]
passed = training.forward(data, "importance_sampling").result()
trained = [o["logprobs"].tolist()[-len(s.tokens):]
           for o, s in zip(passed.loss_fn_outputs, drawn)]
result = {
    "tokens": [list(s.tokens) for s in drawn],
    "reasons": [s.stop_reason for s in drawn],
    "sampled": [list(s.logprobs) for s in drawn],
    "trained": trained,
    "loss": passed.metrics["loss:sum"],
}
"""
    result = client.run(PRELUDE + script)
    assert result["tokens"] == COMPLETIONS
    assert result["reasons"] == ["stop", "stop", "length", "stop"]
    # The same pass on the same numbers: every ratio is 1, not nearly 1.
    assert result["sampled"] == result["trained"]
    assert result["loss"] == -sum(map(len, COMPLETIONS))


def test_log_probabilities_follow_the_adapter_that_samples(client: Client) -> None:
    script = """
prompt = [5, 6, 7, 8, 21]
before, first = sample(prompt, 1)
first = first.result().sequences[0]
for _ in range(3):
    train([datum(prompt, list(first.tokens), weights=[1.0] * len(first.tokens))])
_, second = sample(prompt, 1)
second = second.result().sequences[0]
asked = types.ModelInput.from_ints(prompt + list(first.tokens))
result = {
    "tokens": [list(first.tokens), list(second.tokens)],
    "first": list(first.logprobs),
    "computed": before.compute_logprobs(asked).result()[len(prompt):],
    "base": service.create_sampling_client(base_model="tiny").compute_logprobs(asked).result(),
}
"""
    result = client.run(PRELUDE + script)
    assert result["tokens"] == COMPLETIONS[:2]
    # A sampler computes a prompt in a cache of pages, a whole pass does not.
    assert result["computed"] == pytest.approx(result["first"], abs=1e-5)
    assert len(result["base"]) == len(PROMPT) + 1 + len(COMPLETIONS[0])


def test_a_difference_in_sampling_reaches_the_client_as_an_error(client: Client) -> None:
    script = """
def failure(prompt, count, max_tokens):
    try:
        sample(prompt, count, max_tokens)[1].result()
    except Exception as error:
        return str(error)

result = {
    "prompt": failure([5, 6, 7], 1, 3),
    "limit": failure([5, 6, 7, 8, 22], 1, 2),
    "rest": failure([5, 6, 7, 8, 22], 4, 3),
}
"""
    result = client.run(PRELUDE + script)
    assert "the prompt of 3 tokens that ends with [5, 6, 7] was never continued" in result["prompt"]
    assert "step 0 has 3 tokens, but `max_tokens` is 2" in result["limit"]
    assert "4 completions were asked for and 3 are left" in result["rest"]
