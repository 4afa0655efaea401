"""What every check is handed: a connected client, and short ways to ask it for things."""

from __future__ import annotations

import importlib
import io
import json
import tarfile
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from acceptance.programs.harness import MINT, NEW

FIRST_TOKEN = 5
"""Tokens below are special in the tiny vocabulary."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where the server is and what it serves."""

    url: str
    key: str
    base: str
    other_base: str
    locked_url: str
    """A server that accepts one key, which is not `key`."""


class World:
    """One client package, connected to one server."""

    def __init__(self, client: str, target: Target) -> None:
        self.client_name = client
        self.target = target
        # `mint` patches `tinker` when it is imported, so it comes first.
        self.package: Any = importlib.import_module("mint" if client in MINT else "tinker")
        self.types: Any = self.package.types
        self.is_new = client in NEW
        self.service = self.connect()
        self._made: list[str] = []

    def connect(self, **options: Any) -> Any:
        """Return a new service client."""
        chosen = {"base_url": self.target.url, "api_key": self.target.key, **options}
        return self.package.ServiceClient(**chosen)

    def model(self, *, seed: int = 7, rank: int = 4, service: Any = None, **options: Any) -> Any:
        """Return a new training client."""
        chosen = {"base_model": self.target.base, **options}
        connected = service or self.service
        made = settled(connected.create_lora_training_client(rank=rank, seed=seed, **chosen))
        self._made.append(made.model_id)
        return made

    def release(self) -> None:
        """Give back the places of the models made so far; clients have no call for it."""
        while self._made:
            body = json.dumps({"model_id": self._made.pop(), "type": "unload_model"}).encode()
            try:
                self.open("unload_model", "POST", body, "application/json")
            except urllib.error.HTTPError as error:
                # A model goes with its session, when that is closed.
                if error.code != 404:
                    raise

    def sampler(self, *, service: Any = None, **options: Any) -> Any:
        """Return a new sampling client."""
        return settled((service or self.service).create_sampling_client(**options))

    def snapshot(self, training: Any) -> Any:
        """Return a sampling client of the weights as they are now."""
        return settled(training.save_weights_and_get_sampling_client())

    @property
    def rest(self) -> Any:
        """A client of the listings."""
        return self.service.create_rest_client()

    def tokens(self, values: Sequence[int]) -> Any:
        """Return a model input."""
        return self.types.ModelInput.from_ints(list(values))

    def datum(self, length: int, start: int = FIRST_TOKEN, **inputs: Any) -> Any:
        """Return `length` rising tokens that predict their successors, with weights of 1."""
        chosen = inputs if inputs else {"weights": [1.0] * length}
        targets = {"target_tokens": list(range(start + 1, start + 1 + length))}
        return self.types.Datum(
            model_input=self.tokens(range(start, start + length)),
            loss_fn_inputs={**targets, **chosen},
        )

    def adam(self, learning_rate: float = 1e-2, **options: float) -> Any:
        """Return optimizer parameters; `eps` is one that float32 can hold."""
        chosen = {"eps": 1e-8, **options}
        return self.types.AdamParams(learning_rate=learning_rate, **chosen)

    def gradient_descent(self, rate: float = 1.0) -> Any:
        """Return Adam parameters that make a step `-rate * gradient`.

        Without moments the update is `g / (|g| + eps)`; a huge eps makes that `g / eps`.
        """
        return self.types.AdamParams(
            learning_rate=rate * 1e6, beta1=0.0, beta2=0.0, eps=1e6, weight_decay=0.0
        )

    def train(
        self, training: Any, data: Sequence[Any], steps: int = 1, rate: float = 1e-2
    ) -> list[float]:
        """Take cross-entropy steps and return the loss before each."""
        losses = []
        for _ in range(steps):
            passed = training.forward_backward(list(data), "cross_entropy")
            stepped = training.optim_step(self.adam(rate))
            losses.append(passed.result().metrics["loss:sum"])
            stepped.result()
        return losses

    def logprobs(self, training: Any, *data: Any) -> list[list[float]]:
        """Return the log-probability of each target, by a forward pass."""
        output = training.forward(list(data), "cross_entropy").result()
        return [flat(one["logprobs"]) for one in output.loss_fn_outputs]

    def sampling(self, max_tokens: int | None = 8, **options: Any) -> Any:
        """Return sampling parameters."""
        return self.types.SamplingParams(max_tokens=max_tokens, **options)

    def open(
        self, path: str, method: str = "GET", data: bytes | None = None, kind: str | None = None
    ) -> bytes:
        """Return the answer to a request made without any client; `kind` is of the body."""
        url = f"{self.target.url}/api/v1/{path}"
        sent = {"X-API-Key": self.target.key, **({"Content-Type": kind} if kind else {})}
        request = urllib.request.Request(url, data=data, method=method, headers=sent)
        with urllib.request.urlopen(request, timeout=30) as answer:
            content: bytes = answer.read()
            return content

    def archive(self, path: str) -> bytes:
        """Return the archive of a checkpoint."""
        run, kind, name = path.removeprefix("tinker://").split("/")
        return self.open(f"training_runs/{run}/checkpoints/{kind}/{name}/archive")

    def adapter(self, training: Any, name: str) -> dict[str, Any]:
        """Return the tensors of an adapter as float64 arrays, by way of a saved checkpoint."""
        path = training.save_weights_for_sampler(name).result().path
        return tensors(self.archive(path))


def settled(made: Any) -> Any:
    """Return a client; newer packages hand out a future of it first."""
    return made.result() if hasattr(made, "result") else made


def flat(tensor: Any) -> list[float]:
    """Return the numbers of a tensor."""
    return [float(value) for value in tensor.to_numpy().ravel()]


def files(archive: bytes) -> dict[str, bytes]:
    """Return the files in an archive, by their last name."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        members = [member for member in tar.getmembers() if member.isfile()]
        opened = {m.name.rsplit("/", 1)[-1]: tar.extractfile(m) for m in members}
        return {name: file.read() for name, file in opened.items() if file is not None}


def tensors(archive: bytes) -> dict[str, Any]:
    """Return the adapter's tensors in an archive as float64 arrays."""
    from safetensors.numpy import load

    content = files(archive)
    assert json.loads(content["adapter_config.json"])["peft_type"] == "LORA"
    return {k: v.astype("float64") for k, v in load(content["adapter_model.safetensors"]).items()}
