"""The published `mint` client against a real server process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.server import Client, Server, running_client, running_server

PRELUDE = """
import mint
from mint import types

def datums(*lengths):
    return [
        types.Datum(
            model_input=types.ModelInput.from_ints(list(range(5, 5 + n))),
            loss_fn_inputs={
                "target_tokens": list(range(6, 6 + n)),
                "weights": [1.0] * n,
            },
        )
        for n in lengths
    ]

def step(training, data, rate=1e-2):
    passed = training.forward_backward(data, "cross_entropy")
    stepped = training.optim_step(types.AdamParams(learning_rate=rate))
    loss = passed.result().metrics["loss:sum"]
    stepped.result()
    return loss

def failure(action):
    try:
        action()
    except Exception as error:
        return [type(error).__name__, str(error)]
    return None

service = mint.ServiceClient()
training = service.create_lora_training_client(base_model="tiny", rank=4, seed=7)
"""


@pytest.fixture(scope="module")
def server(tiny_directory: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Yield one server for the file; every test makes its own models."""
    with running_server(tiny_directory, tmp_path_factory.mktemp("state")) as running:
        yield running


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[Client]:
    """Yield one client process for the file; its telemetry is on, as it is by default."""
    with running_client(server.url, TINKER_TELEMETRY="1") as running:
        yield running


def test_the_client_trains_and_its_loss_falls(client: Client, tiny_directory: Path) -> None:
    script = """
capabilities = service.get_server_capabilities()
info = training.get_info()
losses = [step(training, datums(4, 6)) for _ in range(5)]
result = {
    "served": [m.model_name for m in capabilities.supported_models],
    "tokenizer": info.model_data.tokenizer_id,
    "decoded": training.get_tokenizer().decode(training.get_tokenizer().encode("ab")),
    "rank": info.lora_rank,
    "losses": losses,
}
"""
    result = client.run(PRELUDE + script)
    assert result["served"] == ["tiny"]
    assert result["tokenizer"] == str(tiny_directory)
    assert result["decoded"] == "ab"
    assert result["rank"] == 4
    assert result["losses"] == sorted(result["losses"], reverse=True)


def test_outputs_are_per_datum_and_their_sum_is_the_loss(client: Client) -> None:
    script = """
output = training.forward_backward(datums(3, 5), "cross_entropy").result()
logprobs = [o["logprobs"].tolist() for o in output.loss_fn_outputs]
result = {"logprobs": logprobs, "loss": output.metrics["loss:sum"]}
"""
    result = client.run(PRELUDE + script)
    logprobs = result["logprobs"]
    assert [len(one) for one in logprobs] == [3, 5]
    # The sum is taken in another order, in float32.
    assert sum(map(sum, logprobs)) == pytest.approx(-result["loss"], rel=1e-5)


def test_a_custom_loss_equal_to_cross_entropy_trains_alike(client: Client) -> None:
    script = """
other = service.create_lora_training_client(base_model="tiny", rank=4, seed=7)
data = datums(4, 6)

def custom(batch, logprobs):
    loss = -sum(one.sum() for one in logprobs)
    return loss, {"mine": float(loss.detach())}

metrics = []
for _ in range(3):
    result = other.forward_backward_custom(data, custom)
    other.optim_step(types.AdamParams(learning_rate=1e-2)).result()
    metrics.append(result.result().metrics["mine"])
result = {"plain": [step(training, data) for _ in range(3)], "custom": metrics}
"""
    result = client.run(PRELUDE + script)
    # Same arithmetic; only the client's own sum is ordered differently.
    assert result["custom"] == pytest.approx(result["plain"], rel=1e-5)


def test_gradients_of_several_passes_add_up(client: Client) -> None:
    script = """
other = service.create_lora_training_client(base_model="tiny", rank=4, seed=7)
adam = types.AdamParams(learning_rate=1e-2)
data = datums(4, 6)
whole = training.forward_backward(data, "cross_entropy")
norms = [training.optim_step(adam).result().metrics["grad_norm"]]
for one in data:
    other.forward_backward([one], "cross_entropy")
norms.append(other.optim_step(adam).result().metrics["grad_norm"])
result = {"norms": norms}
"""
    whole, parts = client.run(PRELUDE + script)["norms"]
    # Float32 sums in another order.
    assert parts == pytest.approx(whole, rel=1e-4)


def test_more_datums_than_one_request_takes_are_one_pass(client: Client, server: Server) -> None:
    script = """
output = training.forward_backward(datums(*([2, 3] * 600)), "cross_entropy").result()
norm = training.optim_step(types.AdamParams(learning_rate=1e-3)).result().metrics["grad_norm"]
lengths = [len(o["logprobs"].tolist()) for o in output.loss_fn_outputs]
result = {"lengths": lengths, "tokens": output.metrics["loss:sum"], "norm": norm}
"""
    result = client.run(PRELUDE + script)
    assert result["lengths"] == [2, 3] * 600
    assert "datums=1024" in server.log.read_text()


def test_samplers_are_snapshots_and_named_ones_can_be_opened_again(client: Client) -> None:
    script = """
prompt = types.ModelInput.from_ints([5, 6, 7])
greedy = types.SamplingParams(max_tokens=6, temperature=0.0)

def drawn(sampler, **more):
    return sampler.sample(prompt, 1, greedy, **more).result().sequences[0].tokens

for _ in range(5):
    step(training, datums(8), rate=5e-2)
snapshot = training.save_weights_and_get_sampling_client()
path = training.save_weights_for_sampler("s").result().path
before = snapshot.compute_logprobs(prompt).result()
for _ in range(5):
    step(training, datums(3, 3), rate=5e-2)
after = snapshot.compute_logprobs(prompt).result()
named = service.create_sampling_client(model_path=path)
base = service.create_sampling_client(base_model="tiny")
several = named.sample(
    prompt, 3, types.SamplingParams(max_tokens=6, temperature=1.0, seed=1)
).result()
result = {
    "unchanged": before == after,
    "prompt": before,
    "snapshot": drawn(snapshot),
    "named": drawn(named),
    "base": base.compute_logprobs(prompt).result(),
    "several": [list(s.tokens) for s in several.sequences],
    "base_name": named.get_base_model(),
    "path": path,
}
"""
    result = client.run(PRELUDE + script)
    assert result["unchanged"]
    assert result["prompt"][0] is None
    assert len(result["prompt"]) == 3
    assert result["snapshot"] == result["named"]
    assert result["prompt"] != result["base"]
    assert len({tuple(one) for one in result["several"]}) > 1
    assert result["base_name"] == "tiny"


def test_checkpoints_are_listed_described_downloaded_and_deleted(client: Client) -> None:
    script = """
import io, tarfile, urllib.request

step(training, datums(4))
path = training.save_state("one", ttl_seconds=7200).result().path
rest = service.create_rest_client()
run = rest.get_training_run_by_tinker_path(path).result()
link = rest.get_checkpoint_archive_url_from_tinker_path(path).result().url
archive = tarfile.open(fileobj=io.BytesIO(urllib.request.urlopen(link).read()))
info = rest.get_weights_info_by_tinker_path(path).result()
rest.publish_checkpoint_from_tinker_path(path).result()
rest.set_checkpoint_ttl_from_tinker_path(path, None).result()
listed = rest.list_checkpoints(run.training_run_id).result().checkpoints
rest.delete_checkpoint_from_tinker_path(path).result()
left = rest.list_checkpoints(run.training_run_id).result().checkpoints
result = {
    "run": run.training_run_id == training.model_id,
    "session": rest.list_sessions().result().sessions[0] in training.model_id,
    "files": archive.getnames(),
    "rank": info.lora_rank,
    "public": [c.public for c in listed],
    "expires": [c.expires_at for c in listed],
    "left": len(left),
}
"""
    result = client.run(PRELUDE + script)
    assert result["run"]
    assert result["session"]
    assert {"adapter_config.json", "adapter_model.safetensors"} <= set(result["files"])
    assert (result["rank"], result["public"], result["expires"]) == (4, [True], [None])
    assert result["left"] == 0


def test_from_state_continues_exactly(client: Client) -> None:
    script = """
data = datums(4, 6)
step(training, data)
path = training.save_state("one").result().path
expected = [step(training, data) for _ in range(2)]
resumed = service.create_training_client_from_state_with_optimizer(path)
result = {"expected": expected, "resumed": [step(resumed, data) for _ in range(2)]}
"""
    result = client.run(PRELUDE + script)
    assert result["resumed"] == result["expected"]


@pytest.mark.parametrize(
    ("action", "error", "text"),
    [
        ('training.forward_backward(datums(2), "cross_entropi").result()', "BadRequestError",
         "did you mean `cross_entropy`"),
        ('training.forward_backward(bad_datum(99999), "cross_entropy").result()',
         "RequestFailedError", "99999"),
        ('training.load_state("tinker://x/weights/y").result()', "RequestFailedError",
         "does not exist"),
        ('training.load_state("nonsense").result()', "BadRequestError", "not a checkpoint path"),
        ('training.save_state("a/b").result()', "BadRequestError", "checkpoint name"),
        ('(training.save_state("a").result(), training.save_state("a").result())',
         "RequestFailedError", "overwrite"),
        ('service.create_lora_training_client(base_model="huge")', "NotFoundError",
         "available: tiny"),
        ('service.create_lora_training_client(base_model="tiny", rank=5000)',
         "RequestFailedError", "rank"),
        ('service.create_sampling_client(model_path="tinker://x/sampler_weights/y")',
         "NotFoundError", "does not exist"),
        ('training.optim_step(types.AdamParams(beta1=2.0)).result()', "RequestFailedError",
         "beta1"),
    ],
)  # fmt: skip
def test_a_mistake_is_the_clients_typed_error_and_the_next_call_works(
    client: Client, action: str, error: str, text: str
) -> None:
    script = f"""
def bad_datum(token):
    return [types.Datum(
        model_input=types.ModelInput.from_ints([1, token]),
        loss_fn_inputs={{"target_tokens": [1, 2], "weights": [1.0, 1.0]}},
    )]

raised = failure(lambda: {action})
result = {{"raised": raised, "loss": step(training, datums(3))}}
"""
    result = client.run(PRELUDE + script)
    kind, message = result["raised"]
    assert kind == error
    assert text in message
    assert result["loss"] > 0


def test_a_wrong_key_is_the_clients_authentication_error(
    tiny_directory: Path, tmp_path: Path
) -> None:
    script = """
import mint
try:
    mint.ServiceClient(api_key=KEY)
    result = None
except Exception as error:
    result = [type(error).__name__, str(error)]
"""
    options = ("--api-key", "sk-right-0123456789")
    with (
        running_server(tiny_directory, tmp_path / "state", *options) as server,
        running_client(server.url) as client,
    ):
        refused = client.run('KEY = "sk-wrong"\n' + script)
        accepted = client.run('KEY = "sk-right-0123456789"\n' + script)
    assert refused[0] == "AuthenticationError"
    assert "MINT_API_KEY" in refused[1]
    assert accepted is None
    assert "sk-right" not in server.log.read_text()
