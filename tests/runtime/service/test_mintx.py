"""What the `mint` package adds: reverse KL steps and mixed checkpoints."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from mint_runtime.engine import commands as c
from support.service import Api

TEXT = {"chunks": [{"type": "encoded_text", "tokens": [1, 2]}]}
DATUM = {
    "student_input": TEXT,
    "reference_input": {"chunks": [{"type": "encoded_text", "tokens": [9, 1, 2]}]},
    "target_tokens": {"data": [2, 3], "dtype": "int64", "shape": [2]},
    "weights": {"data": [1.0, 0.5], "dtype": "float32", "shape": [2]},
}


def reverse_kl(api: Api, model: str, status: int = 200, **fields: Any) -> Any:
    """Post a step of one datum, with the nulls that the client sends."""
    body = {
        "model_id": model,
        "reference_model_path": "org/base",
        "data": [DATUM],
        "temperature": 1.0,
        "seq_id": None,
        "type": "mint_forward_backward_reverse_kl",
        **fields,
    }
    return api.post("mint/forward_backward_reverse_kl", status, **body)


def interpolate(api: Api, status: int = 200, **fields: Any) -> Any:
    body = {"output_path": None, "output_checkpoint_type": "sampler", **fields}
    return api.post("mint/checkpoints/interpolate", status, **body)


def opened(api: Api) -> list[c.OpenSampler]:
    return [one for one in api.engine.commands if isinstance(one, c.OpenSampler)]


def test_a_reverse_kl_step_answers_with_a_loss_per_position(api: Api) -> None:
    assert api.result(reverse_kl(api, api.model(), temperature=0.5)) == {
        "outputs": [{"loss": {"data": [0.5, 0.25], "dtype": "float32", "shape": [2]}}],
        "metrics": {"loss:sum": 0.75},
        "type": "mint_forward_backward_reverse_kl",
    }
    step = api.engine.commands[-1]
    assert isinstance(step, c.ReverseKLStep)
    assert step.temperature == 0.5
    assert step.reference_sampler_id == opened(api)[0].sampler_id
    np.testing.assert_array_equal(step.data[0].reference_tokens, [9, 1, 2])
    assert step.data[0].target_tokens.dtype == np.int64


def test_targets_of_the_default_type_are_read_as_tokens(api: Api) -> None:
    targets = {"data": [2, 3], "dtype": "float32", "shape": None}
    api.result(reverse_kl(api, api.model(), data=[DATUM | {"target_tokens": targets}]))
    step = api.engine.commands[-1]
    assert isinstance(step, c.ReverseKLStep)
    assert step.data[0].target_tokens.tolist() == [2, 3]


def test_one_reference_sampler_serves_a_session_and_goes_with_it(api: Api) -> None:
    session = api.session()
    model = api.model(session)
    path = api.save(model, "ref")["path"]
    references = [path, path, "org/base", path.replace("tinker", "mint"), "org/base"]
    for reference in references:
        api.result(reverse_kl(api, model, reference_model_path=reference))
    assert len(opened(api)) == 2
    assert api.get(f"sessions/{session}")["sampler_ids"] == []
    api.post(f"sessions/{session}/finish", 204)
    api.result(api.train(api.model(), 1))
    dropped = [one.sampler_id for one in api.engine.commands if isinstance(one, c.DropSampler)]
    assert sorted(dropped) == sorted(one.sampler_id for one in opened(api))


def test_a_reference_that_is_saved_again_is_read_again(api: Api) -> None:
    model = api.model()
    path = api.save(model, "ref")["path"]
    api.result(reverse_kl(api, model, reference_model_path=path))
    api.save(model, "ref", overwrite=True)
    api.result(reverse_kl(api, model, reference_model_path=path))
    directories = [one.directory for one in opened(api)]
    assert len(set(directories)) == 2


def test_a_reverse_kl_step_keeps_its_place_in_the_line(api: Api) -> None:
    model = api.model()
    api.engine.gate.clear()
    save = api.post("save_weights", model_id=model, path="ref", seq_id=1)
    step = reverse_kl(api, model, reference_model_path=f"tinker://{model}/weights/ref")
    optim = api.post("optim_step", model_id=model, seq_id=2)
    api.engine.gate.set()
    for ack in (save, step, optim):
        assert "error" not in api.result(ack)
    assert api.engine.names()[1:] == ["SaveAdapter", "OpenSampler", "ReverseKLStep", "OptimStep"]


def test_a_step_that_is_sent_again_by_the_http_layer_runs_once(api: Api) -> None:
    model = api.model()
    api.http.headers["X-Idempotency-Key"] = "stainless-1"
    acks = [reverse_kl(api, model) for _ in range(2)]
    api.http.headers["X-Idempotency-Key"] = "stainless-2"
    acks.append(reverse_kl(api, model))
    for ack in acks:
        api.result(ack)
    assert acks[0] == acks[1]
    assert api.engine.names().count("ReverseKLStep") == 2


@pytest.mark.parametrize(
    ("fields", "status", "text"),
    [
        ({"reference_model_path": "org/other"}, 404, "not served"),
        ({"reference_model_path": "tinker://nonsense"}, 400, "not a checkpoint path"),
        ({"temperature": 0}, 422, "temperature"),
        ({"data": [{**DATUM, "weights": None}]}, 422, "weights"),
        ({"data": [{**DATUM, "student_input": {"chunks": [{"type": "image"}]}}]}, 400, "image"),
        (
            {"data": [{**DATUM, "target_tokens": {"data": [1.5, 2.0], "dtype": "float32"}}]},
            400,
            "whole numbers",
        ),
        ({"model_id": "nobody"}, 404, "`nobody` is not known"),
    ],
)
def test_a_bad_reverse_kl_step_is_refused_and_the_next_one_works(
    api: Api, fields: dict[str, Any], status: int, text: str
) -> None:
    model = api.model()
    assert text in reverse_kl(api, fields.pop("model_id", model), status, **fields)["detail"]
    assert api.result(reverse_kl(api, model))["metrics"] == {"loss:sum": 0.75}


def test_a_reference_that_does_not_exist_fails_the_step_only(api: Api) -> None:
    model = api.model()
    missing = reverse_kl(api, model, reference_model_path=f"tinker://{model}/weights/no")
    assert "does not exist" in api.result(missing)["error"]
    assert api.result(api.train(model, 1))["metrics"]


def test_checkpoints_are_mixed_into_one_that_can_be_listed_and_sampled(api: Api) -> None:
    session = api.session()
    model = api.model(session)
    paths = [api.save(model, name)["path"] for name in ("a", "b")]
    mixed = api.result(interpolate(api, source_paths=paths, coefficients=[0.25, 0.75]))
    path = mixed["path"]
    assert path.startswith(f"tinker://{model}/sampler_weights/interpolated-")
    assert mixed == {
        "path": path,
        "checkpoint_type": "sampler",
        "source_paths": paths,
        "coefficients": [0.25, 0.75],
        "has_rank_shards": False,
        "type": "mint_interpolate_checkpoints",
    }
    command = api.engine.commands[-1]
    assert isinstance(command, c.InterpolateAdapters)
    assert (command.base_model, command.coefficients) == ("org/base", (0.25, 0.75))
    assert path in [one["tinker_path"] for one in api.get("checkpoints")["checkpoints"]]
    fields = {"session_id": session, "sampling_session_seq_id": 0, "model_path": path}
    assert api.post("create_sampling_session", **fields)["sampling_session_id"]
    info = api.post("weights_info", tinker_path=path)
    assert (info["lora_rank"], info["train_mlp"], info["train_attn"]) == (16, False, True)


@pytest.mark.parametrize("form", ["{name}", "tinker://{model}/sampler_weights/{name}"])
def test_a_mix_can_be_named_and_a_taken_name_is_refused(api: Api, form: str) -> None:
    model = api.model()
    fields = {
        "source_paths": [api.save(model)["path"]],
        "coefficients": [1.0],
        "output_path": form.format(model=model, name="mix"),
    }
    path = api.result(interpolate(api, **fields))["path"]
    assert path == f"tinker://{model}/sampler_weights/mix"
    again = api.result(interpolate(api, **fields))
    assert (again["category"], "exists" in again["error"]) == ("user", True)


@pytest.mark.parametrize(
    ("fields", "status", "text"),
    [
        ({"coefficients": []}, 422, "`coefficients` has 0 numbers for 1"),
        ({"source_paths": [], "coefficients": []}, 422, "`source_paths` is empty"),
        ({"coefficients": ["x"]}, 422, "coefficients.0"),
        ({"source_paths": ["a"]}, 400, "not a checkpoint path"),
        ({"output_path": "../../etc"}, 400, "the checkpoint name"),
        ({"output_path": "tinker://m/sampler_weights/.."}, 400, "the checkpoint name"),
        ({"output_path": "tinker://m/weights/a"}, 400, "for sampling"),
        ({"output_path": "tinker://m/sampler_weights/a"}, 404, "`m`, which is not known"),
        ({"output_checkpoint_type": "training"}, 422, "output_checkpoint_type"),
    ],
)
def test_a_bad_mix_is_refused(api: Api, fields: dict[str, Any], status: int, text: str) -> None:
    path = api.save(api.model())["path"]
    body = {"source_paths": [path], "coefficients": [1.0], **fields}
    assert text in interpolate(api, status, **body)["detail"]


def test_a_coefficient_that_is_not_finite_is_refused(api: Api) -> None:
    body = b'{"source_paths": ["tinker://m/weights/a"], "coefficients": [NaN]}'
    answer = api.http.post("/api/v1/mint/checkpoints/interpolate", content=body)
    assert (answer.status_code, "finite" in answer.json()["detail"]) == (422, True)


def test_a_source_that_does_not_exist_fails_the_mix(api: Api) -> None:
    path = f"tinker://{api.model()}/weights/no"
    failed = api.result(interpolate(api, source_paths=[path], coefficients=[1.0]))
    assert (failed["category"], "does not exist" in failed["error"]) == ("user", True)
