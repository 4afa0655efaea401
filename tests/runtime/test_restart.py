"""What survives `kill -9`: everything saved under a name, and nothing else."""

from __future__ import annotations

from pathlib import Path

from support.server import running_client, start_server

BATCH = """
import mint
from mint import types

def data():
    return [
        types.Datum(
            model_input=types.ModelInput.from_ints([5 + i, 6, 7, 8]),
            loss_fn_inputs={"target_tokens": [6, 7, 8, 9 + i], "weights": [0.0, 1.0, 1.0, 0.5]},
        )
        for i in range(3)
    ]

def step(training):
    passed = training.forward_backward(data(), "cross_entropy")
    adam = types.AdamParams(learning_rate=2e-2, weight_decay=0.1, grad_clip_norm=1.0)
    stepped = training.optim_step(adam)
    loss = passed.result().metrics["loss:sum"]
    stepped.result()
    return loss

service = mint.ServiceClient()
"""
BEFORE = """
training = service.create_lora_training_client(base_model="tiny", rank=4, seed=3)
for _ in range(3):
    step(training)
path = training.save_state("three").result().path
sampler = training.save_weights_for_sampler("three").result().path
prompt = types.ModelInput.from_ints([5, 6, 7])
logprobs = service.create_sampling_client(model_path=sampler).compute_logprobs(prompt).result()
# Saved, and then trained further without saving: this is what the kill loses.
expected = [step(training) for _ in range(2)]
result = {
    "model": training.model_id, "path": path, "sampler": sampler,
    "expected": expected, "logprobs": logprobs,
}
"""
AFTER = """
rest = service.create_rest_client()
prompt = types.ModelInput.from_ints([5, 6, 7])
listed = [c.tinker_path for c in rest.list_user_checkpoints().result().checkpoints]
training = service.create_lora_training_client(base_model="tiny", rank=4, seed=99)
training.load_state_with_optimizer(PATH).result()
resumed = [step(training) for _ in range(2)]
logprobs = service.create_sampling_client(model_path=SAMPLER).compute_logprobs(prompt).result()
try:
    mint.TrainingClient(service.holder, 0, MODEL).get_info()
    error = None
except Exception as raised:
    error = [type(raised).__name__, str(raised)]
result = {"listed": listed, "resumed": resumed, "logprobs": logprobs, "error": error}
"""


def test_training_resumes_after_a_kill_as_if_nothing_had_happened(
    tiny_directory: Path, tmp_path: Path
) -> None:
    state = tmp_path / "state"
    first = start_server(tiny_directory, state)
    try:
        with running_client(first.url) as client:
            before = client.run(BATCH + BEFORE)
    finally:
        first.kill()
    debris = next((state / "checkpoints").glob("*/weights")) / ".half-written"
    debris.mkdir()
    second = start_server(tiny_directory, state)
    try:
        names = "".join(
            f"{name} = {before[key]!r}\n"
            for name, key in (("PATH", "path"), ("SAMPLER", "sampler"), ("MODEL", "model"))
        )
        with running_client(second.url) as client:
            after = client.run(BATCH + names + AFTER)
    finally:
        status = second.stop()
    assert set(after["listed"]) == {before["path"], before["sampler"]}
    assert after["resumed"] == before["expected"]
    assert after["logprobs"] == before["logprobs"]
    kind, message = after["error"]
    assert kind == "NotFoundError"
    assert f'load_state_with_optimizer("{before["path"]}")' in message
    assert not debris.exists()
    assert status == 0
