"""The table of endpoints.

Method, path, name, request. Handlers are found by name, so this stays a plain table.
"""

from __future__ import annotations

from dataclasses import dataclass

from mint_runtime.wire import messages as m

PREFIX = "/api/v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One endpoint. Without a `request` the body is not read. A `public` one needs no key."""

    method: str
    path: str
    name: str
    request: type[m.Request] | None = None
    public: bool = False


def _post(path: str, request: type[m.Request] | None = None, *, name: str | None = None) -> Route:
    return Route(method="POST", path=f"{PREFIX}/{path}", name=name or path, request=request)


def _get(path: str, name: str, *, public: bool = False) -> Route:
    return Route(method="GET", path=f"{PREFIX}/{path}", name=name, public=public)


_RUN = "training_runs/{run_id}"
_CHECKPOINT = f"{_RUN}/checkpoints/{{kind}}/{{name}}"

ROUTES: tuple[Route, ...] = (
    Route(method="GET", path="/health", name="health", public=True),
    _get("healthz", "health", public=True),
    _post("client/config", m.ClientConfigRequest, name="client_config"),
    _post("client/dynamic_config", name="dynamic_config"),
    _post("auth/token", name="auth_token"),
    _post("create_session", m.CreateSessionRequest),
    _post("session_heartbeat", m.SessionHeartbeatRequest),
    _post("sessions/{session_id}/finish", name="finish_session"),
    _post("telemetry"),
    _get("get_server_capabilities", "get_server_capabilities"),
    _post("create_model", m.CreateModelRequest),
    _post("get_info", m.ModelRequest),
    _post("unload_model", m.ModelRequest),
    _post("forward", m.ForwardRequest),
    _post("forward_backward", m.ForwardBackwardRequest),
    _post("optim_step", m.OptimStepRequest),
    _post("save_weights", m.SaveWeightsRequest),
    _post("save_weights_for_sampler", m.SaveWeightsForSamplerRequest),
    _post("load_weights", m.LoadWeightsRequest),
    _post("weights_info", m.WeightsInfoRequest),
    _post("create_sampling_session", m.CreateSamplingSessionRequest),
    _get("samplers/{sampler_id}", "get_sampler"),
    _post("asample", m.SampleRequest),
    _post("retrieve_future", m.RetrieveFutureRequest),
    _get(_RUN, "get_training_run"),
    _get("training_runs", "list_training_runs"),
    _get(f"{_RUN}/checkpoints", "list_run_checkpoints"),
    Route(method="DELETE", path=f"{PREFIX}/{_CHECKPOINT}", name="delete_checkpoint"),
    Route(method="POST", path=f"{PREFIX}/{_CHECKPOINT}/publish", name="publish_checkpoint"),
    Route(method="DELETE", path=f"{PREFIX}/{_CHECKPOINT}/publish", name="unpublish_checkpoint"),
    Route(
        method="PUT",
        path=f"{PREFIX}/{_CHECKPOINT}/ttl",
        name="set_checkpoint_ttl",
        request=m.SetTtlRequest,
    ),
    _get(f"{_CHECKPOINT}/archive", "checkpoint_archive"),
    # The link itself is the permission: clients fetch it without a header.
    _get(f"{_CHECKPOINT}/download", "checkpoint_download", public=True),
    _get("checkpoints", "list_checkpoints"),
    _get("sessions/{session_id}", "get_session"),
    _get("sessions", "list_sessions"),
    Route(
        method="PUT",
        path=f"{PREFIX}/sessions/{{session_id}}/project",
        name="set_session_project",
        request=m.SetProjectRequest,
    ),
)
