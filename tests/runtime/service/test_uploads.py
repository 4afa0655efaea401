"""Uploaded checkpoints: taken when they fit, refused with nothing left behind when they do not."""

from __future__ import annotations

import gzip
import io
import json
import os
import struct
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mint_runtime.engine import commands as c
from mint_runtime.errors import UserError
from mint_runtime.service.unpacking import unpack
from support.service import Api, running_api


def weights(*layers: str) -> bytes:
    """Return a safetensors file of empty LoRA matrices."""
    names = [
        f"base_model.model.model.{layer}.lora_{letter}.weight"
        for layer in layers
        for letter in "AB"
    ]
    empty = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
    header = json.dumps({"__metadata__": {"format": "pt"}, **dict.fromkeys(names, empty)}).encode()
    return struct.pack("<Q", len(header)) + header


WEIGHTS = weights("layers.0.self_attn.q_proj", "layers.0.mlp.gate_proj")
CONFIG = {
    "peft_type": "LORA",
    "r": 8,
    "lora_alpha": 32,
    "base_model_name_or_path": "org/base",
    "target_modules": "all-linear",
}
ADAPTER = {"adapter_model.safetensors": WEIGHTS, "adapter_config.json": json.dumps(CONFIG).encode()}


def packed(files: dict[str, bytes], *members: tarfile.TarInfo) -> bytes:
    """Return a `.tar.gz` of `files`, and of members without content."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        for member in members:
            archive.addfile(member)
    return buffer.getvalue()


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


def upload(api: Api, content: bytes, status: int = 200, **fields: str) -> Any:
    files = {"file": ("adapter.tar.gz", content, "application/gzip")}
    answer = api.http.post("/api/v1/checkpoints/upload", files=files, data=fields)
    assert answer.status_code == status, answer.text
    return answer.json()


def left_over(api: Api) -> list[Path]:
    return [path for path in (api.state / "checkpoints").rglob("*") if path.is_file()]


@pytest.mark.parametrize("prefix", ["", "./", "my-adapter/", "a/b/"])
def test_an_adapter_is_taken_and_can_be_loaded_by_id_and_by_path(api: Api, prefix: str) -> None:
    files = {f"{prefix}{name}": content for name, content in ADAPTER.items()}
    taken = upload(api, packed({**files, f"{prefix}README.md": b"hello"}))
    assert taken["checkpoint_id"].startswith("ckpt_")
    assert taken["path"] == f"tinker://{taken['checkpoint_id']}/weights/uploaded"
    session = api.session()
    model = api.model(session, train_unembed=False)
    for path in (taken["path"], taken["checkpoint_id"]):
        ack = api.post("load_weights", model_id=model, path=path)
        assert api.result(ack)["path"] == taken["path"]
    command = api.engine.commands[-1]
    assert isinstance(command, c.LoadAdapter)
    assert sorted(file.name for file in command.directory.iterdir()) == sorted(ADAPTER)
    fields = {"session_id": session, "sampling_session_seq_id": 0, "model_path": taken["path"]}
    assert api.post("create_sampling_session", **fields)["sampling_session_id"]
    info = api.post("weights_info", tinker_path=taken["checkpoint_id"])
    assert (info["lora_rank"], info["train_unembed"], info["train_mlp"]) == (8, False, True)


def test_an_upload_is_listed_and_survives_a_restart(tmp_path: Path) -> None:
    with running_api(tmp_path) as before:
        path = upload(before, packed(ADAPTER))["path"]
    with running_api(tmp_path) as after:
        assert [one["tinker_path"] for one in after.get("checkpoints")["checkpoints"]] == [path]


def test_a_local_folder_as_base_model_is_known_by_its_name_in_the_form(api: Api) -> None:
    config = json.dumps({**CONFIG, "base_model_name_or_path": "/somebody/else"}).encode()
    content = packed({**ADAPTER, "adapter_config.json": config})
    assert "form field `base_model`" in upload(api, content, 400)["detail"]
    taken = upload(api, content, base_model="org/base")
    directory = next((api.state / "checkpoints" / taken["checkpoint_id"]).glob("*/*"))
    written = json.loads((directory / "adapter_config.json").read_text())
    assert written["base_model_name_or_path"] == "org/base"


def test_the_key_itself_is_enough(tmp_path: Path) -> None:
    with running_api(tmp_path, api_key="sk-right") as api:
        api.http.headers["X-API-Key"] = "sk-right"
        assert upload(api, packed(ADAPTER))["path"]
        api.http.headers["X-API-Key"] = "sk-wrong"
        upload(api, packed(ADAPTER), 401)


def without(name: str) -> dict[str, bytes]:
    return {key: content for key, content in ADAPTER.items() if key != name}


def config(**changes: Any) -> dict[str, bytes]:
    return {**ADAPTER, "adapter_config.json": json.dumps({**CONFIG, **changes}).encode()}


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "not a whole `.tar.gz`"),
        (b"hello", "not a whole `.tar.gz`"),
        (gzip.compress(b"hello"), "not a whole `.tar.gz`"),
        (packed(ADAPTER)[:-30], "not a whole `.tar.gz`"),
        (packed(without("adapter_config.json")), "no `adapter_config.json`"),
        (packed(without("adapter_model.safetensors")), "no `adapter_model.safetensors`"),
        (packed({**ADAPTER, "../evil": b"x"}), "leads out of it"),
        (packed({**ADAPTER, "/etc/passwd": b"x"}), "leads out of it"),
        (packed(ADAPTER, special("a", tarfile.SYMTYPE, "/etc/passwd")), "not an ordinary file"),
        (packed(ADAPTER, special("a", tarfile.LNKTYPE, "adapter_config.json")), "not an ordinary"),
        (packed(ADAPTER, special("null", tarfile.CHRTYPE)), "not an ordinary file"),
        (packed(ADAPTER, special("pipe", tarfile.FIFOTYPE)), "not an ordinary file"),
        (packed({**ADAPTER, "b/adapter_config.json": b"{}"}), "more than one adapter"),
        (packed({**ADAPTER, "adapter_model.safetensors": b"no"}), "not a safetensors file"),
        (packed({**ADAPTER, "adapter_model.safetensors": WEIGHTS[:-9]}), "not a safetensors file"),
        (packed({**ADAPTER, "adapter_model.safetensors": weights()}), "no LoRA matrices"),
        (packed({**ADAPTER, "adapter_config.json": b"["}), "not JSON"),
        (packed({**ADAPTER, "adapter_config.json": b"[" * 100_000}), "not JSON"),
        (packed(config(peft_type="LOHA")), "does not describe a LoRA adapter"),
        (packed(config(r="8")), "`r` = '8'"),
        (packed(config(r=900)), "takes up to 64"),
        (packed(config(base_model_name_or_path="org/other")), "not served here"),
    ],
)
def test_what_is_not_an_adapter_of_ours_is_refused_and_leaves_nothing(
    api: Api, content: bytes, text: str
) -> None:
    assert text in upload(api, content, 400)["detail"]
    assert left_over(api) == []
    assert api.get("checkpoints")["checkpoints"] == []
    assert upload(api, packed(ADAPTER))["path"]


def test_an_upload_above_the_limit_is_413_and_the_next_one_works(tmp_path: Path) -> None:
    with running_api(tmp_path, max_upload_bytes=100_000) as api:
        noise = {**ADAPTER, "noise": os.urandom(200_000)}
        assert "at most 100000" in upload(api, packed(noise), 413)["detail"]
        assert upload(api, packed(ADAPTER))["path"]


def test_an_archive_that_swells_is_refused(tmp_path: Path) -> None:
    with running_api(tmp_path, max_upload_bytes=100_000) as api:
        content = packed({**ADAPTER, "zeros": bytes(1_000_000)})
        assert len(content) < 100_000
        assert "more than 100000 bytes" in upload(api, content, 400)["detail"]
        assert left_over(api) == []


def test_a_header_of_an_impossible_size_is_not_read_into_memory(tmp_path: Path) -> None:
    header = special("x", tarfile.XHDTYPE)
    header.size = 1 << 40
    block = header.tobuf(format=tarfile.GNU_FORMAT)
    with pytest.raises(UserError, match="impossible size"):
        unpack(io.BytesIO(gzip.compress(block + bytes(512))), tmp_path, 1 << 50)


@pytest.mark.parametrize(
    "request_of",
    [
        lambda http: http.post("/api/v1/checkpoints/upload", json={}),
        lambda http: http.post("/api/v1/checkpoints/upload", data={"file": "text"}),
        lambda http: http.post("/api/v1/checkpoints/upload", files={"other": b"x"}),
        lambda http: http.post("/api/v1/checkpoints/upload", files={"file": (None, "text")}),
        lambda http: http.post(
            "/api/v1/checkpoints/upload",
            content=b"--x\r\nnonsense",
            headers={"Content-Type": "multipart/form-data; boundary=x"},
        ),
        lambda http: http.post(
            "/api/v1/checkpoints/upload",
            content=b"",
            headers={"Content-Type": "multipart/form-data"},
        ),
    ],
)
def test_a_form_without_the_file_is_refused_in_words(
    api: Api, request_of: Callable[[Any], Any]
) -> None:
    answer = request_of(api.http)
    assert answer.status_code == 400
    assert "form" in answer.json()["detail"]
