"""GRPO on MinT: one loop for every task; what differs between tasks is an `RLAdapter`.

Each step samples a group of responses to each of a few prompts, scores them, compares every
response with the mean of its group, and makes one optimizer step with the `importance_sampling`
loss.

    class Parity(RLAdapter):
        def build_dataset(self): return list(range(100))
        def make_prompt(self, sample, tokenizer): return tokenizer.encode(f"Is {sample} even?\\nA:")
        def compute_reward(self, response, sample): return float(("yes" in response) != sample % 2)

    path = run_grpo(Parity(), RLConfig.from_env(max_tokens=4))

The server comes from MINT_BASE_URL and MINT_API_KEY, which are read when `mint` is imported. A run
that is started again with the same output folder goes on from its last checkpoint.
"""

from __future__ import annotations

import json
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import Any, Self

import mint
from grpo_data import Group, add_kl_penalty, batch_at, build_datums, mean
from mint import types


def _setting(default: Any, *variables: str) -> Any:
    return field(default=default, metadata={"variables": variables})


@dataclass(frozen=True, slots=True, kw_only=True)
class RLConfig:
    """What a run needs to know. The environment variable of each setting stands beside it."""

    base_model: str = _setting("Qwen/Qwen3-0.6B", "MINT_BASE_MODEL")
    rank: int = _setting(16, "MINT_LORA_RANK")
    train_mlp: bool = True
    train_attn: bool = True
    train_unembed: bool = True

    steps: int = _setting(5, "MINT_RL_STEPS")
    batch_size: int = _setting(8, "MINT_RL_BATCH", "MINT_RL_GROUPS_PER_BATCH")
    """Prompts in a step."""
    group_size: int = _setting(4, "MINT_RL_GROUP")
    """Responses to each prompt. With 1 there is nothing to compare with, and nothing is learned."""
    max_tokens: int = _setting(16, "MINT_RL_MAX_TOKENS")
    temperature: float = _setting(0.8, "MINT_RL_TEMPERATURE")
    """The loss weighs each token by its probability in training over that in sampling, so any
    temperature is sound; 1.0 has the least variance, as the two are then equal."""

    loss_fn: str = "importance_sampling"
    normalize_by_std: bool = False
    """Divide the advantages of a group by its standard deviation."""
    kl_penalty_coef: float = _setting(0.0, "MINT_RL_KL_PENALTY_COEF")
    """Price of a nat of distance from the base model; 0 asks for no reference at all."""

    learning_rate: float = _setting(2e-5, "MINT_RL_LR")
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    weight_decay: float = 0.0
    grad_clip_norm: float = 0.0

    seed: int = _setting(0, "MINT_RL_SEED")
    save_every: int = _setting(20, "MINT_RL_SAVE_EVERY")
    """Steps between checkpoints to resume from."""
    output_dir: str = _setting("rl-run", "MINT_RL_OUTPUT_DIR")
    """Folder of `metrics.jsonl` and `checkpoint.json`."""

    @classmethod
    def from_env(cls, **presets: Any) -> Self:
        """Return the settings of the environment, then of `presets`, then the defaults.

        Raises:
            ValueError: a variable is not a number where one is needed.
        """
        for each in fields(cls):
            for variable in each.metadata.get("variables", ()):
                if text := os.environ.get(variable):
                    try:
                        presets[each.name] = type(each.default)(text)
                    except ValueError:
                        kind = type(each.default).__name__
                        raise ValueError(
                            f"{variable} is {text!r}; it must be of type {kind}"
                        ) from None
        return cls(**presets)


class RLAdapter(ABC):
    """A task. Any object with the three abstract methods will do; inheriting adds the others."""

    @abstractmethod
    def build_dataset(self) -> Sequence[Any]:
        """Return the samples to train on; each becomes a prompt. Called once."""

    @abstractmethod
    def make_prompt(self, sample: Any, tokenizer: Any) -> list[int]:
        """Return the tokens that the model continues."""

    @abstractmethod
    def compute_reward(self, response: str, sample: Any) -> float:
        """Score a response; higher is better. Called from several threads at once."""

    def build_eval_dataset(self) -> Sequence[Any]:
        """Return samples that are never trained on, answered greedily before and after the run."""
        return ()

    def stop(self, tokenizer: Any) -> list[int] | list[str]:
        """Return where a response ends: token ids or strings, not both."""
        return [tokenizer.eos_token_id]

    def evaluate(self, step: int, rewards: Sequence[float], num_datums: int) -> None:
        """Report a step, counted from 1, with the rewards of all its responses."""
        print(f"Step {step}: reward={mean(rewards):.3f}, datums={num_datums}", flush=True)


def sample_groups(
    adapter: Any,
    tokenizer: Any,
    sampling_client: mint.SamplingClient,
    samples: Sequence[Any],
    *,
    num_samples: int,
    max_tokens: int,
    temperature: float,
) -> list[Group]:
    """Sample and score; all prompts are in flight at once, and scoring overlaps with sampling."""
    params = types.SamplingParams(
        max_tokens=max_tokens, temperature=temperature, stop=_hook(adapter, "stop")(tokenizer)
    )
    prompts = [adapter.make_prompt(sample, tokenizer) for sample in samples]
    futures = [
        sampling_client.sample(types.ModelInput.from_ints(tokens=prompt), num_samples, params)
        for prompt in prompts
    ]
    drawn, scores = [], []
    with ThreadPoolExecutor(max_workers=8) as pool:
        for sample, future in zip(samples, futures, strict=True):
            sequences = future.result().sequences
            texts = [tokenizer.decode(each.tokens, skip_special_tokens=True) for each in sequences]
            drawn.append(sequences)
            scores.append([pool.submit(adapter.compute_reward, text, sample) for text in texts])
        rewards = [[float(score.result()) for score in group] for group in scores]
    return [
        Group(prompt=prompt, sequences=sequences, rewards=scored)
        for prompt, sequences, scored in zip(prompts, drawn, rewards, strict=True)
    ]


def _hook(adapter: Any, name: str) -> Callable[..., Any]:
    """Return an optional method of an adapter, or the default for objects that lack it."""
    return getattr(adapter, name, partial(getattr(RLAdapter, name), adapter))


def check_adapter(adapter: Any) -> None:
    """Fail early, with the names of what is missing, for an object that cannot be an adapter.

    Raises:
        TypeError: a method is missing.
    """
    missing = [
        name
        for name in sorted(RLAdapter.__abstractmethods__)
        if not callable(getattr(adapter, name, None))
    ]
    if missing:
        raise TypeError(f"{type(adapter).__name__} has no {', '.join(missing)}; see RLAdapter")


class Journal:
    """The output folder: one line of `metrics.jsonl` per step, and where to resume."""

    def __init__(self, folder: str) -> None:
        """Open the folder; records of steps that a resumed run will do again are dropped."""
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._metrics = self.folder / "metrics.jsonl"
        self._checkpoint = self.folder / "checkpoint.json"
        self.next_step, self.state_path = 0, None
        if self._checkpoint.exists():
            saved = json.loads(self._checkpoint.read_text())
            self.next_step, self.state_path = saved["next_step"], saved["state_path"]
        lines = self._metrics.read_text().splitlines() if self._metrics.exists() else []
        kept = [line for line in lines if json.loads(line)["step"] < self.next_step]
        self._metrics.write_text("".join(f"{line}\n" for line in kept))

    def log(self, record: dict[str, Any]) -> None:
        """Add a record."""
        with self._metrics.open("a") as file:
            file.write(json.dumps(record) + "\n")

    def saved(self, next_step: int, state_path: str) -> None:
        """Note a checkpoint. The file appears whole or not at all."""
        partial_file = self._checkpoint.with_suffix(".partial")
        partial_file.write_text(
            json.dumps({"next_step": next_step, "state_path": state_path}) + "\n"
        )
        os.replace(partial_file, self._checkpoint)


def run_grpo(adapter: Any, cfg: RLConfig | None = None) -> str:
    """Train a LoRA adapter with GRPO.

    Args:
        adapter: an `RLAdapter`, or any object with its three abstract methods.
        cfg: the settings; None takes them from the environment.

    Returns:
        the path of the final weights, for `create_sampling_client(model_path=...)`.

    Raises:
        TypeError: the adapter lacks a method.
        ValueError: a setting or the data set cannot be used.
    """
    check_adapter(adapter)
    cfg = cfg or RLConfig.from_env()
    dataset, journal = list(adapter.build_dataset()), Journal(cfg.output_dir)
    if not dataset:
        raise ValueError(f"{type(adapter).__name__}.build_dataset() returned nothing to train on")

    service_client = mint.ServiceClient()
    training_client = service_client.create_lora_training_client(
        base_model=cfg.base_model,
        rank=cfg.rank,
        seed=cfg.seed,
        train_mlp=cfg.train_mlp,
        train_attn=cfg.train_attn,
        train_unembed=cfg.train_unembed,
    )
    if journal.state_path:
        training_client.load_state_with_optimizer(journal.state_path).result()
        print(f"resumed at step {journal.next_step + 1} from {journal.state_path}")
    reference = (
        service_client.create_sampling_client(base_model=cfg.base_model)
        if cfg.kl_penalty_coef
        else None
    )
    run = _Run(adapter, cfg, training_client, reference)
    print(f"Model: {cfg.base_model}, vocabulary: {len(run.tokenizer)}, settings: {asdict(cfg)}")

    if journal.next_step == 0 and (reward := run.held_out_reward()) is not None:
        journal.log({"step": -1, "held_out_reward": reward})
        print(f"held-out reward before: {reward:.3f}")
    for step in range(journal.next_step, cfg.steps):
        started = time.monotonic()
        record = run.step(batch_at(dataset, step, cfg.batch_size, cfg.seed))
        rewards = record.pop("rewards")
        _hook(adapter, "evaluate")(step + 1, rewards, record["num_datums"])
        journal.log({"step": step, **record, "seconds": round(time.monotonic() - started, 3)})
        if (step + 1) % cfg.save_every == 0 or step + 1 == cfg.steps:
            state = training_client.save_state(name=f"step-{step + 1:06d}", overwrite=True).result()
            journal.saved(step + 1, state.path)
    if (reward := run.held_out_reward()) is not None:
        journal.log({"step": cfg.steps, "held_out_reward": reward})
        print(f"held-out reward after: {reward:.3f}")
    path = training_client.save_weights_for_sampler(name="final").result().path
    print(f"Saved: {path}")
    return path


class _Run:
    """The clients of a run, and what a step does with them."""

    def __init__(
        self,
        adapter: Any,
        cfg: RLConfig,
        training_client: mint.TrainingClient,
        reference: mint.SamplingClient | None,
    ) -> None:
        self.adapter, self.cfg = adapter, cfg
        self.training_client, self.reference = training_client, reference
        self.tokenizer = training_client.get_tokenizer()

    def step(self, samples: Sequence[Any]) -> dict[str, Any]:
        """Sample, score and update once; return the record of the step."""
        cfg = self.cfg
        # 1. Sample from the current policy. The client is a snapshot: it stays as it is.
        policy = self.training_client.save_weights_and_get_sampling_client()
        # 2. Score.
        groups = sample_groups(
            self.adapter,
            self.tokenizer,
            policy,
            samples,
            num_samples=cfg.group_size,
            max_tokens=cfg.max_tokens,
            temperature=cfg.temperature,
        )
        # 3. Compare each response with its group.
        datums = build_datums(
            groups,
            normalize_by_std=cfg.normalize_by_std,
            keep_equal=self.reference is not None,
        )
        rewards = [reward for group in groups for reward in group.rewards]
        lengths = [len(sequence.tokens) for group in groups for sequence in group.sequences]
        record = {
            "rewards": rewards,
            "reward": mean(rewards),
            "num_datums": len(datums),
            "response_length": mean(lengths),
        }
        # 4. Train. Without a datum there is no gradient, and Adam's momentum alone should not move.
        if datums and self.reference is not None:
            datums, record["kl"] = add_kl_penalty(
                datums, policy, self.reference, cfg.kl_penalty_coef
            )
        return {**record, **(self._update(datums) if datums else {})}

    def _update(self, datums: list[types.Datum]) -> dict[str, float]:
        cfg = self.cfg
        # Both requests are queued before either is awaited.
        passed = self.training_client.forward_backward(datums, loss_fn=cfg.loss_fn)
        updated = self.training_client.optim_step(
            types.AdamParams(
                learning_rate=cfg.learning_rate,
                beta1=cfg.beta1,
                beta2=cfg.beta2,
                eps=cfg.eps,
                weight_decay=cfg.weight_decay,
                grad_clip_norm=cfg.grad_clip_norm,
            )
        )
        return {"loss": passed.result().metrics["loss:sum"], **(updated.result().metrics or {})}

    def held_out_reward(self) -> float | None:
        """Return the mean reward of greedy answers to the held-out samples; None without any."""
        samples = _hook(self.adapter, "build_eval_dataset")()
        if not samples:
            return None
        groups = sample_groups(
            self.adapter,
            self.tokenizer,
            self.training_client.save_weights_and_get_sampling_client(),
            samples,
            num_samples=1,
            max_tokens=self.cfg.max_tokens,
            temperature=0.0,
        )
        return mean([group.rewards[0] for group in groups])
