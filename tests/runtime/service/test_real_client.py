"""The published client against a real server: the `mintx` calls, uploads, profiles, bad input."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.server import Client, Server, running_client, running_server

PRELUDE = """
import mint, mint.mint
from mint import types

def datum(tokens, **inputs):
    return types.Datum(model_input=types.ModelInput.from_ints(tokens), loss_fn_inputs=inputs)

def step(training, n=4):
    data = [datum(list(range(5, 5 + n)), target_tokens=list(range(6, 6 + n)), weights=[1.0] * n)]
    return training.forward_backward(data, "cross_entropy").result().metrics["loss:sum"]

def failure(action):
    try:
        action()
    except Exception as error:
        return [type(error).__name__, str(error)]
    return None

service = mint.ServiceClient()
training = service.create_lora_training_client(base_model="tiny", rank=RANK, seed=7)
"""


def prelude(rank: int = 4) -> str:
    return PRELUDE.replace("RANK", str(rank))


@pytest.fixture(scope="module")
def server(tiny_directory: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tiny_directory, tmp_path_factory.mktemp("state")) as running:
        yield running


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[Client]:
    with running_client(server.url) as running:
        yield running


REVERSE_KL = """
def pull(training, reference, tokens=(5, 6, 7), **changes):
    one = mint.mint.ReverseKLDatum(
        student_input=types.ModelInput.from_ints(list(tokens)),
        reference_input=types.ModelInput.from_ints([9, *tokens]),
        target_tokens={"data": [6, 7, 8], "shape": [3], "dtype": "int64"},
        weights={"data": [1.0, 0.5, 0.0], "shape": [3], "dtype": "float32"},
    )
    return mint.mint.forward_backward_reverse_kl(
        training, reference_model_path=reference, data=[one], **changes
    )
"""


def test_reverse_kl_pulls_a_model_towards_its_reference(client: Client) -> None:
    script = """
for _ in range(3):
    step(training)
    training.optim_step(types.AdamParams(learning_rate=1e-2)).result()
losses = []
for _ in range(8):
    answer = pull(training, "tiny")
    losses.append(answer.metrics["loss:sum"])
    training.optim_step(types.AdamParams(learning_rate=1e-2)).result()
last = answer.outputs[0].loss
result = {"losses": losses, "shape": last.shape, "values": last.data}
"""
    result = client.run(prelude() + REVERSE_KL + script)
    assert result["losses"][-1] < result["losses"][0]
    assert result["shape"] == [3]
    assert result["values"][2] == 0.0
    assert sum(result["values"]) == pytest.approx(result["losses"][-1], rel=1e-4)


def test_reverse_kl_against_its_own_checkpoint_is_zero(client: Client) -> None:
    script = """
step(training)
training.optim_step(types.AdamParams(learning_rate=1e-2)).result()
path = training.save_state("here").result().path
one = mint.mint.ReverseKLDatum(
    student_input=types.ModelInput.from_ints([5, 6]),
    reference_input=types.ModelInput.from_ints([5, 6]),
    target_tokens=types.TensorData(data=[6, 7], dtype="int64", shape=[2]),
    weights=types.TensorData(data=[1.0, 1.0], dtype="float32", shape=[2]),
)
same = mint.mint.forward_backward_reverse_kl(training, reference_model_path=path, data=[one])
result = {"loss": same.metrics["loss:sum"], "raised": failure(lambda: pull(training, "huge"))}
"""
    result = client.run(prelude() + REVERSE_KL + script)
    # Both sides are the same float32 computation up to the shape of the batch.
    assert result["loss"] == pytest.approx(0.0, abs=1e-5)
    assert result["raised"][0] == "NotFoundError"


def test_checkpoints_are_mixed_and_sampled(client: Client) -> None:
    script = """
paths = []
for name in ("one", "two"):
    step(training)
    training.optim_step(types.AdamParams(learning_rate=1e-2)).result()
    paths.append(training.save_state(name).result().path)
mixed = mint.mint.interpolate_checkpoints(
    service, source_paths=paths, coefficients=[0.0, 1.0], output_path="mixed"
)
prompt = types.ModelInput.from_ints([5, 6, 7])
logps = [
    service.create_sampling_client(model_path=path).compute_logprobs(prompt).result()[1:]
    for path in (mixed.path, paths[1])
]
runs = service.create_rest_client().list_checkpoints(training.model_id).result().checkpoints
raised = failure(lambda: mint.mint.interpolate_checkpoints(
    service, source_paths=paths, coefficients=[1.0]
))
result = {
    "path": mixed.path,
    "logps": logps,
    "listed": [one.tinker_path for one in runs],
    "raised": raised,
}
"""
    result = client.run(prelude() + script)
    assert result["path"].endswith("/sampler_weights/mixed")
    assert result["path"] in result["listed"]
    # The mix of one adapter is that adapter, factored anew in float64 and stored in float32.
    assert result["logps"][0] == pytest.approx(result["logps"][1], abs=1e-4)
    assert result["raised"][0] == "UnprocessableEntityError"


def test_a_downloaded_checkpoint_can_be_uploaded_and_loaded_by_its_id(client: Client) -> None:
    script = """
import io, os, httpx
step(training)
training.optim_step(types.AdamParams(learning_rate=1e-2)).result()
path = training.save_state("out").result().path
rest = service.create_rest_client()
url = rest.get_checkpoint_archive_url_from_tinker_path(path).result().url
archive = httpx.get(url).content
answer = httpx.post(
    os.environ["MINT_BASE_URL"] + "/api/v1/checkpoints/upload",
    headers={"X-API-Key": os.environ["MINT_API_KEY"]},
    files={"file": ("adapter.tar.gz", archive, "application/gzip")},
).json()
other = service.create_lora_training_client(base_model="tiny", rank=4)
other.load_state_with_optimizer(answer["checkpoint_id"]).result()
sampled = service.create_sampling_client(model_path=answer["path"])
result = {
    "losses": [step(training), step(other)],
    "logps": sampled.compute_logprobs(types.ModelInput.from_ints([5, 6])).result()[1],
    "run": rest.get_training_run_by_tinker_path(answer["path"]).result().lora_rank,
}
"""
    result = client.run(prelude() + script)
    # The same weights in the same batch.
    assert result["losses"][0] == result["losses"][1]
    assert result["logps"] < 0
    assert result["run"] == 4


def test_the_hosted_profile_has_no_from_state_and_loads_on_fresh_clients(
    tiny_directory: Path, tmp_path: Path
) -> None:
    script = """
step(training)
path = training.save_state("a").result().path
raised = failure(lambda: service.create_training_client_from_state(path))
fresh = service.create_lora_training_client(base_model="tiny", rank=4)
fresh.load_state_with_optimizer(path).result()
late = failure(lambda: training.load_state(path).result())
result = {"raised": raised, "late": late, "losses": [step(training), step(fresh)]}
"""
    with (
        running_server(tiny_directory, tmp_path / "state", "--profile", "hosted") as server,
        running_client(server.url) as client,
    ):
        result = client.run(prelude() + script)
    assert result["raised"][0] == "NotFoundError"
    assert result["late"][0] == "BadRequestError"
    assert result["losses"][0] == result["losses"][1]


@pytest.mark.parametrize(
    ("action", "error", "text"),
    [
        ('train(datum([5, 6], target_tokens=[6, 7, 8], weights=[1.0, 1.0, 1.0]))',
         "RequestFailedError", "target_tokens"),
        ('train(datum([5, 6], target_tokens=[6, -1], weights=[1.0, 1.0]))',
         "RequestFailedError", "-1"),
        ('train(datum([5, 6], weights=[1.0, 1.0]))', "RequestFailedError", "target_tokens"),
        ('train(datum([], target_tokens=[], weights=[]))', "RequestFailedError", "datum 0"),
        ('train(datum(list(range(5)) * 2000, target_tokens=[1] * 10000, weights=[1.0] * 10000))',
         "RequestFailedError", "10000"),
        ('train(datum([5], target_tokens=[6], logprobs=[0.0], advantages=[float("nan")]), "ppo")',
         "ValueError", "JSON"),
        ('train(datum([5], target_tokens=[6], logprobs=[0.0], advantages=[1.0]), "ppo",'
         ' {"clip_low": 1.0})', "BadRequestError", "did you mean `clip_low_threshold`"),
        ('training.forward([datum([5], target_tokens=[6], weights=[1.0])], "dpo").result()',
         None, "dpo"),
        ('sampler().sample(types.ModelInput.from_ints([99999]), 1, types.SamplingParams('
         'max_tokens=2)).result()', "RequestFailedError", "99999"),
        ('sampler().sample(types.ModelInput.empty(), 1, types.SamplingParams(max_tokens=2))'
         '.result()', "RequestFailedError", "prompt"),
        ('sampler().sample(types.ModelInput.from_ints([5] * 100000), 1, types.SamplingParams('
         'max_tokens=2)).result()', "RequestFailedError", "100000"),
    ],
)  # fmt: skip
def test_bad_input_is_the_clients_typed_error_and_nobody_else_notices(
    client: Client, action: str, error: str | None, text: str | None
) -> None:
    script = f"""
def train(one, loss="cross_entropy", config=None):
    return training.forward_backward([one], loss, config).result()

def sampler():
    return service.create_sampling_client(base_model="tiny")

other = service.create_lora_training_client(base_model="tiny", rank=4, seed=7)
before = step(other)
raised = failure(lambda: {action})
result = {{"raised": raised, "same": step(other) == before, "next": step(training)}}
"""
    result: dict[str, Any] = client.run(prelude() + script)
    assert result["raised"] is not None
    kind, message = result["raised"]
    assert error is None or kind == error, message
    assert text is None or text in message
    assert result["same"]
    assert result["next"] > 0


def test_a_full_disk_fails_the_save_only(tiny_directory: Path, tmp_path: Path) -> None:
    save = 'training.save_state("full").result().path'
    script = f"""
raised = failure(lambda: {save})
result = {{"raised": raised, "loss": step(training)}}
"""
    state = tmp_path / "state"
    with (
        running_server(tiny_directory, state) as server,
        running_client(server.url) as client,
    ):
        unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        client.run(prelude(64) + "step(training)\nresult = {}")
        # No file of the server may grow beyond this, as on a disk with no room left.
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (200_000, unlimited[1]))
        failed = client.run(prelude(64) + script)
        left = list((state / "checkpoints").glob("*/*/*"))
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, unlimited)
        saved = client.run(prelude(64) + f'result = {{"path": {save}}}')
    kind, message = failed["raised"]
    assert kind == "RequestFailedError"
    assert "could not be written" in message or "disk" in message
    assert failed["loss"] > 0
    assert left == []
    assert saved["path"].endswith("/weights/full")
