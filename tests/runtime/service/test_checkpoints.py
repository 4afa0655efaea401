"""Saving, listing, loading, expiring and deleting; what a crash leaves behind."""

from __future__ import annotations

import contextlib
import io
import shutil
import sqlite3
import tarfile
import time
from pathlib import Path

import pytest
from mint_runtime.engine import commands as c
from mint_runtime.errors import ServerFault, UserError
from mint_runtime.service.checkpoints import check_name, parse_path
from mint_runtime.service.records import CheckpointKind
from support.service import Api, running_api


def files(api: Api) -> list[Path]:
    """Return the directories of saved adapters, finished or not."""
    return sorted((api.state / "checkpoints").glob("*/*/*"))


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> object:
    """Return a function that moves the clock of the catalogue forward."""
    real = time.time

    def move(seconds: float) -> None:
        monkeypatch.setattr(time, "time", lambda: real() + seconds)

    return move


@pytest.mark.parametrize(
    ("kind", "segment", "with_optimizer"),
    [("save_weights", "weights", True), ("save_weights_for_sampler", "sampler_weights", False)],
)
def test_a_save_has_a_path_a_row_and_files(
    api: Api, kind: str, segment: str, with_optimizer: bool
) -> None:
    model = api.model()
    saved = api.save(model, "step 1", kind)
    assert saved == {"path": f"tinker://{model}/{segment}/step 1", "type": kind}
    listed = api.get(f"training_runs/{model}/checkpoints")["checkpoints"]
    assert [one["checkpoint_id"] for one in listed] == [f"{segment}/step 1"]
    assert listed[0]["size_bytes"] == len(b"weights")
    command = api.engine.commands[-1]
    assert isinstance(command, c.SaveAdapter)
    assert command.with_optimizer is with_optimizer
    assert files(api) == [command.directory]


@pytest.mark.parametrize(
    "name", ["", "a/b", "..", "a..b", ".hidden", "a\nb", "a\x00", " a", "x" * 129, "a%2Fb", "a?b"]
)
def test_a_name_that_a_path_cannot_carry_is_refused(name: str) -> None:
    with pytest.raises(UserError, match="checkpoint name"):
        check_name(name)


@pytest.mark.parametrize("name", ["a", "step-000100", "final.v2", "x" * 128, "épreuve 2"])
def test_an_ordinary_name_is_taken(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize("scheme", ["tinker", "mint"])
def test_both_schemes_name_the_same_checkpoint(scheme: str) -> None:
    ref = parse_path(f"{scheme}://s:train:0/weights/a")
    assert (ref.model_id, ref.kind, ref.name) == ("s:train:0", CheckpointKind.TRAINING, "a")


@pytest.mark.parametrize(
    "path",
    ["", "a", "tinker://", "tinker://m/weights", "tinker://m/other/a", "tinker://m/weights/a/b",
     "http://m/weights/a", "tinker:///weights/a", "tinker://m/weights/"],
)  # fmt: skip
def test_another_form_of_path_is_refused(path: str) -> None:
    with pytest.raises(UserError, match="not a checkpoint path"):
        parse_path(path)


@pytest.mark.parametrize("kind", ["save_weights", "save_weights_for_sampler"])
def test_a_name_that_is_taken_is_refused(api: Api, kind: str) -> None:
    model = api.model()
    api.save(model, "a", kind)
    again = api.save(model, "a", kind)
    assert again["category"] == "user"
    assert "exists" in again["error"]
    assert len(files(api)) == 1


def test_overwriting_replaces_files_and_row(api: Api) -> None:
    model = api.model()
    api.save(model, "a")
    before = files(api)
    assert "error" not in api.save(model, "a", overwrite=True)
    after = files(api)
    assert len(after) == 1
    assert after != before
    assert len(api.get("checkpoints")["checkpoints"]) == 1


def test_a_failed_save_leaves_no_row_and_frees_the_name(api: Api) -> None:
    model = api.model()
    api.engine.failures[c.SaveAdapter] = ServerFault("the disk is full")
    assert api.save(model, "a")["error"] == "the disk is full"
    del api.engine.failures[c.SaveAdapter]
    assert api.get("checkpoints")["checkpoints"] == []
    assert "error" not in api.save(model, "a")


@pytest.mark.parametrize("with_optimizer", [True, False])
def test_a_load_hands_the_files_and_the_flag_to_the_engine(api: Api, with_optimizer: bool) -> None:
    session = api.session()
    source, target = api.model(session, 0), api.model(session, 1)
    path = api.save(source)["path"]
    ack = api.post("load_weights", model_id=target, path=path, optimizer=with_optimizer)
    assert api.result(ack) == {"path": path, "type": "load_weights"}
    command = api.engine.commands[-1]
    assert command == c.LoadAdapter(
        model_id=target, directory=files(api)[0], with_optimizer=with_optimizer
    )


def test_a_load_of_what_does_not_exist_names_what_does(api: Api) -> None:
    model = api.model()
    api.save(model, "good")
    ack = api.post("load_weights", model_id=model, path=f"tinker://{model}/weights/bad")
    assert "latest of" in (failed := api.result(ack))["error"]
    assert "`weights/good`" in failed["error"]
    assert failed["category"] == "user"


def test_a_load_into_another_shape_names_the_difference(api: Api) -> None:
    session = api.session()
    path = api.save(api.model(session, 0))["path"]
    other = api.model(session, 1, rank=4)
    failed = api.result(api.post("load_weights", model_id=other, path=path))
    assert "create the training client with rank=8" in failed["error"]


def test_a_sampler_checkpoint_has_no_optimizer_to_load(api: Api) -> None:
    model = api.model()
    path = api.save(model, "s", "save_weights_for_sampler")["path"]
    failed = api.result(api.post("load_weights", model_id=model, path=path, optimizer=True))
    assert "no optimizer state" in failed["error"]


def test_weights_info_describes_the_adapter(api: Api) -> None:
    path = api.save(api.model(train_mlp=False))["path"]
    assert api.post("weights_info", tinker_path=path) == {
        "base_model": "org/base",
        "is_lora": True,
        "lora_rank": 8,
        "train_unembed": True,
        "train_mlp": False,
        "train_attn": True,
    }


def test_a_load_by_session_creates_a_model_of_the_same_shape(api: Api) -> None:
    session = api.session()
    path = api.save(api.model(session, 0, rank=3, train_unembed=False))["path"]
    fields = {"session_id": session, "model_seq_id": 5, "path": path, "optimizer": True}
    acks = [api.post("load_weights", **fields) for _ in range(2)]
    assert acks[0] == acks[1]
    assert api.result(acks[0])["path"] == path
    info = api.post("get_info", model_id=f"{session}:train:5")
    assert info["lora_rank"] == 3
    created, loaded = api.engine.commands[-2:]
    assert isinstance(created, c.CreateModel)
    assert created.lora == c.LoraSpec(rank=3, train_unembed=False)
    assert isinstance(loaded, c.LoadAdapter)


def test_an_expired_checkpoint_is_not_listed_and_not_loaded(api: Api, later) -> None:
    model = api.model()
    path = api.save(model, "a", ttl_seconds=3600)["path"]
    assert len(api.get("checkpoints")["checkpoints"]) == 1
    later(3601)
    assert api.get("checkpoints") == {
        "checkpoints": [],
        "cursor": {"offset": 0, "limit": 100, "total_count": 0},
    }
    failed = api.result(api.post("load_weights", model_id=model, path=path))
    assert "has expired" in failed["error"]
    assert "error" not in api.save(model, "a")


@pytest.mark.parametrize(("ttl", "num_left"), [(60, 0), (None, 1)])
def test_the_expiry_can_be_set_and_cleared(api: Api, later, ttl: int | None, num_left: int) -> None:
    model = api.model()
    api.save(model, "a", ttl_seconds=3600)
    url = f"/api/v1/training_runs/{model}/checkpoints/weights/a/ttl"
    assert api.http.put(url, json={"ttl_seconds": ttl}).status_code == 204
    later(7200)
    assert len(api.get("checkpoints")["checkpoints"]) == num_left


def test_deleting_removes_row_and_files_once(api: Api) -> None:
    model = api.model()
    api.save(model)
    url = f"/api/v1/training_runs/{model}/checkpoints/weights/a"
    assert [api.http.delete(url).status_code for _ in range(2)] == [204, 404]
    assert api.get("checkpoints")["checkpoints"] == []
    assert files(api) == []


@pytest.mark.parametrize(("method", "public"), [("POST", True), ("DELETE", False)])
def test_publishing_marks_and_unmarks(api: Api, method: str, public: bool) -> None:
    model = api.model()
    api.save(model)
    url = f"/api/v1/training_runs/{model}/checkpoints/weights/a/publish"
    api.http.post(url)
    assert api.http.request(method, url).status_code == 204
    assert api.get("checkpoints")["checkpoints"][0]["public"] is public


def test_an_archive_link_works_without_a_key_until_it_is_changed(api: Api, later) -> None:
    model = api.model()
    api.save(model)
    url = f"/api/v1/training_runs/{model}/checkpoints/weights/a/archive"
    redirect = api.http.get(url, follow_redirects=False)
    assert redirect.status_code == 302
    assert redirect.headers["Expires"].endswith("GMT")
    link = redirect.headers["Location"]
    api.http.headers.pop("X-API-Key")
    with tarfile.open(fileobj=io.BytesIO(api.http.get(link).content)) as archive:
        assert archive.getnames() == ["adapter_model.safetensors"]
    assert api.http.get(link[:-1] + ("A" if link[-1] != "A" else "B")).status_code == 401
    assert api.http.get(link.replace("weights/a/", "weights/b/")).status_code == 401
    later(3600)
    assert api.http.get(link).status_code == 401


def test_what_a_crash_leaves_is_removed_at_the_next_start(tmp_path: Path) -> None:
    with running_api(tmp_path) as before:
        model = before.model()
        before.save(model, "kept")
        before.save(model, "rowless")
        kept, rowless = sorted(files(before), key=lambda path: path.stat().st_mtime_ns)
        before.http.delete(f"/api/v1/training_runs/{model}/checkpoints/weights/rowless")
        rowless.mkdir()
        (rowless.parent / ".half-written").mkdir()
    with running_api(tmp_path) as after:
        assert files(after) == [kept]
        assert list(kept.parent.iterdir()) == [kept]


def test_a_row_whose_files_are_gone_is_forgotten_at_the_next_start(tmp_path: Path) -> None:
    with running_api(tmp_path) as before:
        before.save(before.model())
        directory = files(before)[0]
    (directory / "adapter_model.safetensors").unlink()
    directory.rmdir()
    with running_api(tmp_path) as after:
        assert after.get("checkpoints")["checkpoints"] == []


def test_a_model_from_before_a_restart_names_its_last_checkpoint(tmp_path: Path) -> None:
    with running_api(tmp_path) as before:
        model = before.model()
        before.save(model, "one")
        before.save(model, "two")
    with running_api(tmp_path) as after:
        detail = after.post("get_info", 404, model_id=model)["detail"]
        assert f'load_state_with_optimizer("tinker://{model}/weights/two")' in detail
        listed = after.get("checkpoints")["checkpoints"]
        assert [one["checkpoint_id"] for one in listed] == ["weights/two", "weights/one"]
        fresh = after.model()
        path = f"tinker://{model}/weights/two"
        ack = after.post("load_weights", model_id=fresh, path=path, optimizer=True)
        assert after.result(ack)["path"] == path


def test_a_model_that_was_never_saved_says_so_after_a_restart(tmp_path: Path) -> None:
    with running_api(tmp_path) as before:
        model = before.model()
    with running_api(tmp_path) as after:
        assert "never saved" in after.post("get_info", 404, model_id=model)["detail"]


@pytest.mark.parametrize("kind", ["save_weights", "save_weights_for_sampler"])
def test_metadata_of_a_checkpoint_is_listed_with_it(api: Api, kind: str) -> None:
    model = api.model()
    api.save(model, "plain", kind)
    api.save(model, "told", kind, user_metadata={"step": "7"})
    listed = api.get("checkpoints")["checkpoints"]
    assert {one["checkpoint_id"].split("/")[1]: one["user_metadata"] for one in listed} == {
        "plain": None,
        "told": {"step": "7"},
    }


def test_overwriting_replaces_the_metadata_as_a_whole(api: Api) -> None:
    model = api.model()
    api.save(model, "a", user_metadata={"step": "7", "note": "x"})
    api.save(model, "a", overwrite=True, user_metadata={"step": "8"})
    assert api.get("checkpoints")["checkpoints"][0]["user_metadata"] == {"step": "8"}


@pytest.mark.parametrize(
    ("sent", "read"), [({"renderer_name": "qwen3"}, {"renderer_name": "qwen3"}), (None, {"a": "b"})]
)
def test_a_load_by_session_keeps_or_replaces_the_metadata_of_the_run(
    api: Api, sent: dict[str, str] | None, read: dict[str, str]
) -> None:
    session = api.session()
    fields = {"session_id": session, "model_seq_id": 0, "base_model": "org/base"}
    created = api.post("create_model", **fields, user_metadata={"a": "b"})
    path = api.save(api.result(created)["model_id"])["path"]
    load = {"session_id": session, "model_seq_id": 1, "path": path, "user_metadata": sent}
    api.result(api.post("load_weights", **load))
    assert api.get(f"training_runs/{session}:train:1")["user_metadata"] == read


def test_expired_files_and_rows_are_deleted_while_the_server_runs(tmp_path: Path, later) -> None:
    with running_api(tmp_path, expiry_sweep_s=0.05) as api:
        model = api.model()
        kept = api.save(model, "kept")["path"]
        gone = api.save(model, "gone", ttl_seconds=3600)["path"]
        assert len(files(api)) == 2
        later(3601)
        deadline = time.monotonic() + 10
        while len(files(api)) > 1:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        failed = api.result(api.post("load_weights", model_id=model, path=gone))
        assert "has expired" in failed["error"]
        assert [one["tinker_path"] for one in api.get("checkpoints")["checkpoints"]] == [kept]


def test_a_catalogue_of_the_version_before_is_brought_up(tmp_path: Path) -> None:
    with running_api(tmp_path) as before:
        path = before.save(before.model())["path"]
    with contextlib.closing(sqlite3.connect(tmp_path / "catalogue.sqlite")) as db:
        db.execute("ALTER TABLE checkpoints DROP COLUMN user_metadata")
        db.execute("ALTER TABLE checkpoints DROP COLUMN shape")
        db.execute("ALTER TABLE sessions DROP COLUMN display_name")
        db.execute("PRAGMA user_version = 1")
    with running_api(tmp_path) as after:
        assert [one["tinker_path"] for one in after.get("checkpoints")["checkpoints"]] == [path]
        assert after.post("weights_info", tinker_path=path)["lora_rank"] == 8


def test_an_archive_of_files_that_have_gone_is_404(api: Api) -> None:
    model = api.model()
    api.save(model)
    url = f"/api/v1/training_runs/{model}/checkpoints/weights/a/archive"
    link = api.http.get(url, follow_redirects=False).headers["Location"]
    shutil.rmtree(files(api)[0])
    answer = api.http.get(link)
    assert (answer.status_code, "deleted" in answer.json()["detail"]) == (404, True)
