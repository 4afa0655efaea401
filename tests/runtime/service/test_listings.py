"""What clients can read about sessions, runs and the server."""

from __future__ import annotations

from support.service import Api


def test_the_server_answers_that_it_lives_without_a_key(api: Api) -> None:
    api.http.headers.pop("X-API-Key")
    assert api.http.get("/health").json() == api.get("healthz") == {"status": "ok"}


def test_clients_are_told_to_use_tokens_and_the_transport_that_keeps_redirects(api: Api) -> None:
    config = api.post("client/config", sdk_version="0.22.0")
    assert config == {"pjwt_auth_enabled": True, "use_pyqwest_transport": False}
    assert api.post("client/dynamic_config") == {}


def test_capabilities_list_the_base_models(api: Api) -> None:
    models = api.get("get_server_capabilities")["supported_models"]
    assert [(one["model_name"], one["max_context_length"]) for one in models] == [("org/base", 128)]


def test_info_names_the_tokenizer_of_the_base_model(api: Api) -> None:
    model = api.model()
    info = api.post("get_info", model_id=model)
    assert info["model_data"] == {
        "arch": "Fake",
        "model_name": "org/base",
        "tokenizer_id": "/models/of/base",
    }
    assert (info["model_id"], info["lora_rank"], info["is_lora"]) == (model, 8, True)


def test_telemetry_is_accepted_whatever_it_holds(api: Api) -> None:
    answer = api.http.post("/api/v1/telemetry", content=b"\xff not json")
    assert answer.json() == {"status": "accepted"}


def test_a_heartbeat_keeps_a_known_session_only(api: Api) -> None:
    assert api.post("session_heartbeat", session_id=api.session())
    api.post("session_heartbeat", 404, session_id="sess-0")


def test_a_session_lists_its_models_and_samplers(api: Api) -> None:
    session = api.session()
    models = [api.model(session, number) for number in range(2)]
    fields = {"session_id": session, "sampling_session_seq_id": 0, "base_model": "org/base"}
    sampler = api.post("create_sampling_session", **fields)["sampling_session_id"]
    assert api.get(f"sessions/{session}") == {
        "training_run_ids": models,
        "sampler_ids": [sampler],
        "user_metadata": None,
        "display_name": None,
    }
    api.get("sessions/sess-0", 404)


def test_sessions_are_listed_newest_first_by_page(api: Api) -> None:
    sessions = [api.session() for _ in range(3)][::-1]
    assert api.get("sessions")["sessions"] == sessions
    assert api.get("sessions?limit=1&offset=1")["sessions"] == sessions[1:2]


def test_a_run_shows_its_shape_metadata_and_latest_checkpoints(api: Api) -> None:
    session = api.session()
    fields = {"session_id": session, "model_seq_id": 0, "base_model": "org/base"}
    metadata = {"renderer_name": "qwen3"}
    model = api.result(api.post("create_model", **fields, user_metadata=metadata))["model_id"]
    api.save(model, "one")
    api.save(model, "two")
    run = api.get(f"training_runs/{model}?access_scope=owned")
    assert run["training_run_id"] == model
    assert (run["base_model"], run["lora_rank"], run["corrupted"]) == ("org/base", 32, False)
    assert run["user_metadata"] == metadata
    assert run["last_checkpoint"]["checkpoint_id"] == "weights/two"
    assert run["last_sampler_checkpoint"] is None


def test_runs_are_listed_newest_first_by_page(api: Api) -> None:
    session = api.session()
    models = [api.model(session, number) for number in range(3)][::-1]
    page = api.get("training_runs?limit=2&offset=1&access_scope=owned")
    assert [run["training_run_id"] for run in page["training_runs"]] == models[1:]
    assert page["cursor"] == {"offset": 1, "limit": 2, "total_count": 3}


def test_an_unknown_run_is_404(api: Api) -> None:
    api.get("training_runs/nobody", 404)
    api.get("training_runs/nobody/checkpoints", 404)


def test_a_session_can_move_to_a_project(api: Api) -> None:
    session = api.session()
    url = f"/api/v1/sessions/{session}/project"
    assert api.http.put(url, json={"project_id": "p"}).status_code == 204


def test_a_session_shows_its_name_and_metadata(api: Api) -> None:
    fields = {"tags": [], "user_metadata": {"who": "me"}, "display_name": "a run"}
    session = api.post("create_session", **fields)["session_id"]
    shown = api.get(f"sessions/{session}")
    assert (shown["user_metadata"], shown["display_name"]) == ({"who": "me"}, "a run")
