"""What an engine is asked to do, and what it answers: plain records and numpy arrays, no torch.

A command is self-contained. Ids are strings chosen by the service; the engine never invents one.
Array letters: `T` positions of one datum, `K` candidate targets per position (1 unless the targets
are two-dimensional).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.generic]
MAX_SAMPLES = 16_384
"""Continuations of one request at most: each costs the server memory before it begins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoraSpec:
    """Shape and seed of one adapter."""

    rank: int
    seed: int | None = None
    train_attn: bool = True
    train_mlp: bool = True
    train_unembed: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateModel:
    """Make a fresh adapter called `model_id` on `base_model`."""

    model_id: str
    base_model: str
    lora: LoraSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class DropModel:
    """Forget the adapter, its gradients and its optimizer. Unknown ids are ignored."""

    model_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Datum:
    """One sequence: position t reads `tokens[t]` and predicts `inputs["target_tokens"][t]`."""

    tokens: npt.NDArray[np.int64]
    inputs: Mapping[str, Array]
    """`target_tokens` int64 `[T]` or `[T, K]`; `weights`, `logprobs`, `advantages` float32 of the
    same shape.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainStep:
    """Compute a loss, summed over targets and datums; with `backward`, add its gradient."""

    model_id: str
    data: tuple[Datum, ...]
    loss_fn: str
    loss_config: Mapping[str, float] = field(default_factory=dict)
    backward: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainResult:
    """Per datum the log-probability of each target (nats), and `name:reduction` metrics."""

    outputs: tuple[Mapping[str, npt.NDArray[np.float32]], ...]
    metrics: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReverseKLDatum:
    """A sequence as the student reads it and as the reference does, with one target per position.

    The two may have different prompts; they are aligned at their ends, so position `-1 - i` of one
    belongs to position `-1 - i` of the other.
    """

    student_tokens: npt.NDArray[np.int64]
    """`[T]`."""
    reference_tokens: npt.NDArray[np.int64]
    """`[U]`, any length that covers every position with a weight."""
    target_tokens: npt.NDArray[np.int64]
    """`[T]`, for the log-probabilities that are reported."""
    weights: npt.NDArray[np.float32]
    """`[T]`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReverseKLStep:
    """Add the gradient of `sum_t weight_t * KL(student_t || reference_t)` over the vocabulary.

    Both distributions are taken at `temperature`. The answer is a `TrainResult` whose outputs hold
    `loss`, `[T]`: the weighted divergence of each position, in nats.
    """

    model_id: str
    reference_sampler_id: str
    """A sampler on the same base model: what the reference reads its distribution from."""
    data: tuple[ReverseKLDatum, ...]
    temperature: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimStep:
    """Clip the accumulated gradient, take one AdamW step, zero the gradient.

    Clipping is by the global norm; 0 means none.
    """

    model_id: str
    learning_rate: float
    beta1: float
    beta2: float
    eps: float
    weight_decay: float
    grad_clip_norm: float


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimResult:
    """`grad_norm` is the global norm before clipping."""

    metrics: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class SaveAdapter:
    """Write the adapter in peft format into `directory`, which appears whole or not at all."""

    model_id: str
    directory: Path
    with_optimizer: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadAdapter:
    """Replace the adapter's weights by those in `directory`.

    With the flag, moments and step count too.
    """

    model_id: str
    directory: Path
    with_optimizer: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class InterpolateAdapters:
    """Write `sum_i coefficient_i * update_i` of saved adapters as one adapter into `directory`.

    An update is `scaling * B A`, the change an adapter makes to a weight matrix; it is the updates
    that are mixed, not their factors.
    """

    base_model: str
    sources: tuple[Path, ...]
    coefficients: tuple[float, ...]
    directory: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotSampler:
    """Freeze the adapter as it is now under `sampler_id`; later training does not change it."""

    model_id: str
    sampler_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenSampler:
    """Make a sampler from a saved adapter, or from the bare base model when `directory` is None."""

    sampler_id: str
    base_model: str
    directory: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DropSampler:
    """Forget a sampler. Unknown ids are ignored."""

    sampler_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SampledToken:
    """One token of one sequence, as soon as it is drawn."""

    sequence: int
    """0..num_samples-1."""
    token: int
    logprob: float
    stop_reason: str | None = None
    """Set on the last token of the sequence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """Draw `num_samples` continuations of `tokens`."""

    sampler_id: str
    tokens: npt.NDArray[np.int64]
    num_samples: int = 1
    max_tokens: int | None = None
    """None fills the context."""
    temperature: float = 1.0
    """0 is greedy."""
    top_k: int = -1
    top_p: float = 1.0
    seed: int | None = None
    """Sample i of a seeded request uses a stream derived from (seed, i)."""
    stop_tokens: tuple[int, ...] | None = None
    stop_strings: tuple[str, ...] = ()
    """Both absent (None and empty): stop at the model's end-of-sequence tokens.

    `()` and empty: never stop early.
    """
    prompt_logprobs: bool = False
    topk_prompt_logprobs: int = 0
    listener: Callable[[SampledToken], None] | None = None
    """Called on the engine's thread for each token, before the result exists; must not wait."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SampledSequence:
    """Tokens, the one that stopped the sequence included, and their log-probabilities.

    Those are of the temperature-scaled distribution.
    """

    tokens: npt.NDArray[np.int64]
    logprobs: npt.NDArray[np.float32]
    stop_reason: str
    """"stop" or "length"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleResult:
    sequences: tuple[SampledSequence, ...]
    prompt_logprobs: tuple[float | None, ...] | None = None
    """Prompt length, None first, at temperature 1."""
    topk_prompt_logprobs: tuple[tuple[tuple[int, float], ...] | None, ...] | None = None
    prompt_cache_hit_tokens: int = 0
    """Leading tokens of the prompt whose keys and values were in the cache already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """The answer of commands that return nothing."""


ModelCommand = (
    CreateModel
    | DropModel
    | TrainStep
    | ReverseKLStep
    | OptimStep
    | SaveAdapter
    | LoadAdapter
    | SnapshotSampler
)
"""Those of one model run in the order in which they are submitted."""
Command = ModelCommand | InterpolateAdapters | OpenSampler | DropSampler | Sample
Result = TrainResult | OptimResult | SampleResult | Done


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseModelInfo:
    """What clients may know about a served base model."""

    name: str
    tokenizer_id: str
    """Path or hub id that `AutoTokenizer.from_pretrained` accepts on this machine."""
    max_context_length: int
    vocab_size: int
    architecture: str
    max_lora_rank: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    base_models: tuple[BaseModelInfo, ...]
    losses: Mapping[str, frozenset[str]]
    """Name of each loss and the config keys it accepts."""
    unserved_losses: Mapping[str, str] = field(default_factory=dict)
    """Losses that clients know and no engine of this kind can have: the reason and the way out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineStats:
    """Counters since the start, and what is held now. Cheap to take, from any thread."""

    num_waiting_training: int
    """Commands of models that have not started."""
    num_waiting_samples: int
    """Sequences that are not being drawn yet."""
    num_running_samples: int
    """Sequences being drawn."""
    num_models: int
    num_samplers: int
    trained_tokens: int
    """Tokens that went through forward and backward passes."""
    sampled_tokens: int
    prompt_tokens: int
    """Prompt tokens of sampling requests, cached ones included."""
    cached_prompt_tokens: int
    num_train_passes: int
    num_decode_steps: int
    training_seconds: float
    sampling_seconds: float
    num_cache_pages: int
    num_used_cache_pages: int
    memory_bytes: int
    """What the process holds on the device: resident memory on a CPU, allocated memory on a GPU."""
