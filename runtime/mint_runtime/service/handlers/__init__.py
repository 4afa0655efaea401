"""The endpoints by the names that `wire.routes` gives them."""

from __future__ import annotations

from collections.abc import Mapping

from mint_runtime.service.call import Endpoint
from mint_runtime.service.handlers import (
    archive,
    checkpoints,
    futures,
    health,
    loading,
    metrics,
    mintx,
    missing,
    models,
    openai,
    runs,
    sampling,
    saving,
    sessions,
    status,
    training,
    uploads,
)

ENDPOINTS: Mapping[str, Endpoint] = {
    **health.ENDPOINTS,
    **sessions.ENDPOINTS,
    **models.ENDPOINTS,
    **training.ENDPOINTS,
    **saving.ENDPOINTS,
    **loading.ENDPOINTS,
    **sampling.ENDPOINTS,
    **futures.ENDPOINTS,
    **runs.ENDPOINTS,
    **checkpoints.ENDPOINTS,
    **archive.ENDPOINTS,
    **mintx.ENDPOINTS,
    **uploads.ENDPOINTS,
    **missing.ENDPOINTS,
    **openai.ENDPOINTS,
    **metrics.ENDPOINTS,
    **status.ENDPOINTS,
}
