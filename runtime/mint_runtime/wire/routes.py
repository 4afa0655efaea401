"""The table of endpoints.

Method, path, name, request. Handlers are found by name, so this stays a plain table.
"""

from __future__ import annotations

from dataclasses import dataclass

from mint_runtime.wire import messages as m
from mint_runtime.wire.openai import OpenBody

PREFIX = "/api/v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One endpoint. Without a `request` the body is not looked at. A `public` one needs no key.

    With `own_body` the handler reads the body itself.

    One of the `openai` family takes its key as a bearer token too, and reports errors as OpenAI's
    clients read them.
    """

    method: str
    path: str
    name: str
    request: type[m.AnyRequest] | None = None
    public: bool = False
    openai: bool = False
    own_body: bool = False


def _post(
    path: str, request: type[m.AnyRequest] | None = None, *, name: str | None = None
) -> Route:
    return Route(method="POST", path=f"{PREFIX}/{path}", name=name or path, request=request)


def _get(path: str, name: str, *, public: bool = False) -> Route:
    return Route(method="GET", path=f"{PREFIX}/{path}", name=name, public=public)


def _openai(prefix: str) -> tuple[Route, ...]:
    def post(path: str, name: str) -> Route:
        place = f"{prefix}/{path}"
        return Route(method="POST", path=place, name=name, request=OpenBody, openai=True)

    def get(path: str, name: str) -> Route:
        return Route(method="GET", path=f"{prefix}/{path}", name=name, openai=True)

    return (
        post("completions", "openai_completions"),
        post("chat/completions", "openai_chat_completions"),
        get("models", "openai_models"),
        get("models/{model:path}", "openai_model"),
    )


_RUN = "training_runs/{run_id}"
_CHECKPOINT = f"{_RUN}/checkpoints/{{kind}}/{{name}}"

MISSING = (
    ("POST", "save_weights_external", "missing_external_save", "saving to external storage"),
    ("GET", f"{_CHECKPOINT}/external_weights_urls", "missing_external_urls", "external storage"),
    ("POST", "sessions/search", "missing_session_search", "searching sessions"),
    ("GET", "sessions/{session_id}/trace_export", "missing_trace", "exporting a session's trace"),
    ("POST", "copy_weights", "missing_copy", "copying weights between accounts"),
    ("GET", "audit", "missing_audit", "the audit log"),
    ("GET", "billing/{rest:path}", "missing_billing", "billing"),
    ("POST", "retrieve_futures", "missing_retrieve_futures", "fetching several results at once"),
    ("POST", "cancel_future", "missing_cancel_future", "cancelling an operation"),
    ("POST", "join_sampling_session", "missing_join_sampling", "joining a sampling session"),
    ("POST", "create_custom_loss", "missing_custom_loss", "a custom loss on the server"),
)
"""Method, path, name and words of what clients can ask for and this server leaves out."""

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
    _post("mint/forward_backward_reverse_kl", m.ReverseKLRequest, name="reverse_kl"),
    _post("mint/checkpoints/interpolate", m.InterpolateRequest, name="interpolate"),
    Route(
        method="POST",
        path=f"{PREFIX}/checkpoints/upload",
        name="upload_checkpoint",
        own_body=True,
    ),
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
    # Before the path that would match one of them with another method.
    *(
        Route(method=method, path=f"{PREFIX}/{path}", name=name)
        for method, path, name, _ in MISSING
    ),
    _get("sessions/{session_id}", "get_session"),
    _get("sessions", "list_sessions"),
    Route(
        method="PUT",
        path=f"{PREFIX}/sessions/{{session_id}}/project",
        name="set_session_project",
        request=m.SetProjectRequest,
    ),
    *_openai("/v1"),
    *_openai("/oai/api/v1"),
    # These look at the key themselves: it is needed only if the server has one.
    Route(method="GET", path="/metrics", name="metrics", public=True),
    Route(method="GET", path="/status.json", name="status", public=True),
    Route(method="GET", path="/", name="status_page", public=True),
)
