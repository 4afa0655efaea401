"""What a local engine holds: base models, adapters in training, and samplers, by id."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from mint_runtime.engine.commands import CreateModel, LoraSpec
from mint_runtime.engine.settings import EngineSettings
from mint_runtime.errors import NotFound, UserError
from mint_runtime.model.adapter import Adapter, Gradient, new_adapter
from mint_runtime.model.load import BaseModel
from mint_runtime.model.lora import ATTENTION, MLP, UNEMBED
from mint_runtime.model.peft_files import read_adapter
from mint_runtime.optim.adam import Adam


@dataclass(slots=True, kw_only=True, eq=False)
class TrainedModel:
    """An adapter with its optimizer."""

    base: BaseModel
    adapter: Adapter
    optimizer: Adam
    gradient: Gradient | None = None
    """Sum over the backward passes since the last optimizer step; None before the first."""

    def replace(self, adapter: Adapter, optimizer: Adam) -> None:
        """Continue from another state; gradients are forgotten."""
        self.adapter, self.optimizer, self.gradient = adapter, optimizer, None

    def frozen_copy(self) -> TrainedModel:
        """Return a copy of adapter and optimizer that training does not change."""
        adapter = self.adapter.frozen_copy()
        return TrainedModel(base=self.base, adapter=adapter, optimizer=self.optimizer.copy(adapter))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sampler:
    """A frozen adapter, or the bare base model."""

    base: BaseModel
    adapter: Adapter | None


@dataclass(slots=True, kw_only=True, eq=False)
class ModelTable:
    """Every model and sampler of an engine. Not thread-safe: one thread owns it."""

    settings: EngineSettings
    bases: Mapping[str, BaseModel]
    trained: dict[str, TrainedModel] = field(default_factory=dict)
    samplers: dict[str, Sampler] = field(default_factory=dict)
    _started_from_initial: set[str] = field(default_factory=set)

    def create(self, command: CreateModel) -> None:
        """Add a model.

        Raises:
            UserError: the id is taken, the table is full, or the adapter asked for cannot be made.
        """
        if command.model_id in self.trained:
            raise UserError(f"there is already a model {command.model_id!r}")
        if len(self.trained) >= self.settings.max_adapters:
            raise UserError(
                f"this server trains at most {self.settings.max_adapters} models at a time; "
                "`--max-adapters` allows more, and those of clients that have gone are dropped "
                "after some minutes"
            )
        base = self.base(command.base_model)
        adapter = self._first_adapter(base, command.lora)
        self.trained[command.model_id] = TrainedModel(
            base=base, adapter=adapter, optimizer=Adam(adapter)
        )
        self._started_from_initial.add(base.name)

    def base(self, name: str) -> BaseModel:
        """Return a base model. Raises NotFound with the names there are."""
        if name not in self.bases:
            served = ", ".join(repr(known) for known in self.bases)
            raise NotFound(f"this server has no base model {name!r}; it has {served}")
        return self.bases[name]

    def model(self, model_id: str) -> TrainedModel:
        """Return a model in training. Raises NotFound."""
        if model_id not in self.trained:
            raise NotFound(f"there is no model {model_id!r} in training; create or load it first")
        return self.trained[model_id]

    def sampler(self, sampler_id: str) -> Sampler:
        """Return a sampler. Raises NotFound."""
        if sampler_id not in self.samplers:
            raise NotFound(f"there is no sampler {sampler_id!r}; open one first")
        return self.samplers[sampler_id]

    def add_sampler(self, sampler_id: str, sampler: Sampler) -> None:
        """Add a sampler. Raises UserError when the id is taken."""
        if sampler_id in self.samplers:
            raise UserError(f"there is already a sampler {sampler_id!r}")
        self.samplers[sampler_id] = sampler

    def _first_adapter(self, base: BaseModel, lora: LoraSpec) -> Adapter:
        groups = trained_groups(lora)
        self._check_rank(lora.rank)
        initial = self.settings.initial_adapter
        if initial is None or base.name in self._started_from_initial:
            return new_adapter(
                base.layers, rank=lora.rank, groups=groups, seed=lora.seed, device=base.device
            )
        adapter = read_adapter(initial, base)
        if adapter.rank != lora.rank:
            raise UserError(
                f"the initial adapter {initial} has rank {adapter.rank}, but the model asks for "
                f"rank {lora.rank}"
            )
        return adapter

    def _check_rank(self, rank: int) -> None:
        if not 1 <= rank <= self.settings.max_lora_rank:
            raise UserError(
                f"`rank` is {rank}; this server takes 1 to {self.settings.max_lora_rank}"
            )


def trained_groups(lora: LoraSpec) -> frozenset[str]:
    """Return the layer groups a request trains. Raises UserError when it trains none."""
    wanted = {ATTENTION: lora.train_attn, MLP: lora.train_mlp, UNEMBED: lora.train_unembed}
    groups = frozenset(group for group, trained in wanted.items() if trained)
    if not groups:
        raise UserError("one of `train_attn`, `train_mlp` and `train_unembed` must be true")
    return groups
