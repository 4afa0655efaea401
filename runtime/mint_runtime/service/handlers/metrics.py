"""`/metrics`, as Prometheus reads it.

It names models and holds no secrets. A server with a key asks for it, as a bearer token too; one
without listens on this machine only and answers anybody there.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping

from starlette.responses import Response

from mint_runtime.engine.commands import EngineStats
from mint_runtime.observe.metrics import CONTENT_TYPE
from mint_runtime.service.call import Call, Endpoint
from mint_runtime.service.credentials import check_reader
from mint_runtime.service.services import Services


async def metrics(call: Call[None]) -> Response:
    """Report counters since the start and what is held now."""
    check_reader(call.services, call.request)
    stats = call.services.engine.stats()
    gauges = {**engine_gauges(stats), **await service_gauges(call.services)}
    body = call.services.steps.metrics.render(engine_counters(stats), gauges)
    return Response(body, headers={"content-type": CONTENT_TYPE})


def engine_counters(stats: EngineStats) -> Mapping[str, float]:
    """Return the engine's totals by name."""
    return {
        "trained_tokens": stats.trained_tokens,
        "sampled_tokens": stats.sampled_tokens,
        "prompt_tokens": stats.prompt_tokens,
        "cached_prompt_tokens": stats.cached_prompt_tokens,
        "train_passes": stats.num_train_passes,
        "decode_steps": stats.num_decode_steps,
        "training_seconds": stats.training_seconds,
        "sampling_seconds": stats.sampling_seconds,
    }


def engine_gauges(stats: EngineStats) -> Mapping[str, float]:
    """Return what the engine holds now by name."""
    return {
        "waiting_training_commands": stats.num_waiting_training,
        "waiting_samples": stats.num_waiting_samples,
        "running_samples": stats.num_running_samples,
        "models": stats.num_models,
        "samplers": stats.num_samplers,
        "cache_pages": stats.num_cache_pages,
        "used_cache_pages": stats.num_used_cache_pages,
        "memory_bytes": stats.memory_bytes,
    }


async def service_gauges(services: Services) -> Mapping[str, float]:
    """Return what the service holds now by name."""
    count, size = await checkpoint_totals(services)
    return {
        "futures_waiting": services.futures.num_waiting,
        "sessions": len(services.sessions.silence()),
        "checkpoints": count,
        "checkpoint_bytes": size,
        "start_time_seconds": services.steps.started,
    }


async def checkpoint_totals(services: Services) -> tuple[int, int]:
    """Return the number of checkpoints that have not expired, and their bytes."""
    now = time.time()
    rows = await asyncio.to_thread(services.store.all_checkpoints)
    sizes = [row.size_bytes for row in rows if not row.is_expired(now)]
    return len(sizes), sum(sizes)


ENDPOINTS = {"metrics": Endpoint(metrics)}
