"""Checks of what is kept: saving, loading, listing, sharing, expiring, downloading, uploading."""

from __future__ import annotations

import json
import time
import uuid
from datetime import UTC, datetime
from typing import Any

from acceptance.programs.harness import OLD, check, close, refused
from acceptance.programs.world import World, files, settled


def errors(world: World) -> tuple[type[Exception], ...]:
    """Return the kinds of error that a request which cannot be met ends in."""
    return (world.package.APIStatusError, world.package.RequestFailedError)


def trained(world: World, steps: int = 3) -> Any:
    """Return a model that has learned something."""
    training = world.model()
    world.train(training, [world.datum(6)], steps=steps)
    return training


@check()
def state_is_restored_without_the_optimizer(world: World) -> None:
    training, datum = trained(world), world.datum(6)
    path = training.save_state("s").result().path
    assert path == f"tinker://{training.model_id}/weights/s"
    expected = world.logprobs(training, datum)[0]
    restored = world.model(seed=9)
    restored.load_state(path).result()
    close(world.logprobs(restored, datum)[0], expected)
    # Fresh moments take another step than those of three steps.
    continued = world.train(training, [datum], steps=2)
    assert abs(world.train(restored, [datum], steps=2)[1] - continued[1]) > 1e-4


@check()
def state_is_restored_with_the_optimizer(world: World) -> None:
    training, data = trained(world), [world.datum(6)]
    path = training.save_state("s").result().path
    expected = world.train(training, data, steps=3)
    restored = world.model(seed=9)
    restored.load_state_with_optimizer(path).result()
    close(world.train(restored, data, steps=3), expected)


@check()
def a_model_is_made_from_a_state(world: World) -> None:
    training = world.model(rank=5, train_mlp=False)
    world.train(training, [world.datum(6)], steps=3)
    path = training.save_state("s").result().path
    expected = world.logprobs(training, world.datum(6))[0]
    made = settled(world.service.create_training_client_from_state(path))
    assert made.model_id != training.model_id
    assert made.get_info().lora_rank == 5
    close(world.logprobs(made, world.datum(6))[0], expected)


@check()
def a_model_is_made_from_a_state_with_its_optimizer(world: World) -> None:
    training, data = trained(world), [world.datum(6)]
    path = training.save_state("s").result().path
    expected = world.train(training, data, steps=3)
    make = world.service.create_training_client_from_state_with_optimizer
    close(world.train(settled(make(path)), data, steps=3), expected)


@check()
def another_client_resumes_where_the_first_stopped(world: World) -> None:
    training, data = trained(world), [world.datum(6)]
    path = training.save_state("s").result().path
    expected = world.train(training, data, steps=2)
    resumed = world.model(service=world.connect(), seed=9)
    resumed.load_state_with_optimizer(path).result()
    close(world.train(resumed, data, steps=2), expected)


@check()
def a_path_of_mint_means_the_same(world: World) -> None:
    training = trained(world)
    path = training.save_state("s").result().path
    restored = world.model(seed=9)
    restored.load_state(path.replace("tinker://", "mint://")).result()
    datum = world.datum(6)
    close(world.logprobs(restored, datum)[0], world.logprobs(training, datum)[0])


@check()
def a_name_is_taken_once_unless_overwritten(world: World) -> None:
    training = trained(world)
    training.save_state("s").result()
    with refused(*errors(world), saying="s"):
        training.save_state("s").result()
    world.train(training, [world.datum(6)], steps=2)
    path = training.save_state("s", overwrite=True).result().path
    restored = world.model(seed=9)
    restored.load_state(path).result()
    datum = world.datum(6)
    close(world.logprobs(restored, datum)[0], world.logprobs(training, datum)[0])


@check()
def checkpoints_are_listed_by_run_and_by_user(world: World) -> None:
    training = trained(world)
    state = training.save_state("one").result().path
    sampler = training.save_weights_for_sampler("two").result().path
    listed = world.rest.list_checkpoints(training.model_id).result().checkpoints
    assert {(c.checkpoint_id, c.checkpoint_type, c.tinker_path) for c in listed} == {
        ("weights/one", "training", state),
        ("sampler_weights/two", "sampler", sampler),
    }
    assert all(c.size_bytes > 1000 and not c.public and c.expires_at is None for c in listed)
    mine = world.rest.list_user_checkpoints(limit=1000).result()
    assert {state, sampler} <= {c.tinker_path for c in mine.checkpoints}
    page = world.rest.list_user_checkpoints(limit=1, offset=1).result()
    assert len(page.checkpoints) == 1
    assert page.cursor.total_count == mine.cursor.total_count


@check()
def a_run_is_found_by_id_by_path_and_in_the_list(world: World) -> None:
    training = trained(world)
    path = training.save_state("one").result().path
    rest = world.rest
    by_path = rest.get_training_run_by_tinker_path(path).result()
    assert by_path.training_run_id == training.model_id
    assert by_path.last_checkpoint.tinker_path == path
    assert rest.get_training_run(training.model_id).result().training_run_id == training.model_id
    runs = rest.list_training_runs(limit=1000).result()
    assert training.model_id in {run.training_run_id for run in runs.training_runs}
    assert len(rest.list_training_runs(limit=2).result().training_runs) == 2
    assert runs.cursor.total_count == len(runs.training_runs)


@check()
def weights_are_described(world: World) -> None:
    training = world.model(rank=6, train_unembed=False)
    path = training.save_state("one").result().path
    info = world.rest.get_weights_info_by_tinker_path(path).result()
    assert (info.base_model, info.is_lora, info.lora_rank) == (world.target.base, True, 6)
    assert (info.train_attn, info.train_mlp, info.train_unembed) == (True, True, False)


@check()
def a_checkpoint_is_published_and_taken_back(world: World) -> None:
    training = trained(world)
    path = training.save_state("one").result().path

    def is_public() -> bool:
        return world.rest.list_checkpoints(training.model_id).result().checkpoints[0].public

    world.rest.publish_checkpoint_from_tinker_path(path).result()
    assert is_public()
    world.rest.unpublish_checkpoint_from_tinker_path(path).result()
    assert not is_public()


@check()
def an_expiry_is_kept_changed_and_removed(world: World) -> None:
    training = trained(world)
    path = training.save_state("one", ttl_seconds=7200).result().path

    def seconds_left() -> float | None:
        found = world.rest.list_checkpoints(training.model_id).result().checkpoints[0].expires_at
        return None if found is None else (found - datetime.now(UTC)).total_seconds()

    left = seconds_left()
    assert left is not None
    assert 7000 < left <= 7200
    world.rest.set_checkpoint_ttl_from_tinker_path(path, 90000).result()
    left = seconds_left()
    assert left is not None
    assert 89000 < left <= 90000
    world.rest.set_checkpoint_ttl_from_tinker_path(path, None).result()
    assert seconds_left() is None


@check()
def an_expired_checkpoint_is_gone(world: World) -> None:
    training = trained(world)
    path = training.save_state("one", ttl_seconds=1).result().path
    for _ in range(100):
        if not world.rest.list_checkpoints(training.model_id).result().checkpoints:
            break
        time.sleep(0.1)
    with refused(*errors(world)):
        world.model().load_state(path).result()
    assert world.rest.list_checkpoints(training.model_id).result().checkpoints == []


@check()
def a_deleted_checkpoint_is_gone(world: World) -> None:
    training = trained(world)
    first = training.save_state("one").result().path
    second = training.save_weights_for_sampler("two").result().path
    world.rest.delete_checkpoint_from_tinker_path(first).result()
    world.rest.delete_checkpoint(training.model_id, "sampler_weights/two").result()
    assert world.rest.list_checkpoints(training.model_id).result().checkpoints == []
    with refused(*errors(world), saying="one"):
        world.model().load_state(first).result()
    with refused(*errors(world), saying="two"):
        world.sampler(model_path=second)
    training.save_state("one").result()


@check(OLD)
def an_archive_link_works_without_a_key(world: World) -> None:
    import urllib.request

    training = trained(world)
    path = training.save_weights_for_sampler("one").result().path
    link = world.rest.get_checkpoint_archive_url_from_tinker_path(path).result()
    with urllib.request.urlopen(link.url, timeout=30) as answer:
        content = files(answer.read())
    assert {"adapter_model.safetensors", "adapter_config.json"} <= set(content)
    config = json.loads(content["adapter_config.json"])
    assert (config["r"], config["lora_alpha"]) == (4, 32)


@check()
def an_uploaded_archive_is_a_checkpoint(world: World) -> None:
    training = trained(world)
    archive = world.archive(training.save_state("one").result().path)
    boundary = uuid.uuid4().hex
    head = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="a.tar.gz"\r\n'
        "Content-Type: application/gzip\r\n\r\n"
    )
    body = head.encode() + archive + f"\r\n--{boundary}--\r\n".encode()
    kind = f"multipart/form-data; boundary={boundary}"
    answer = json.loads(world.open("checkpoints/upload", "POST", body, kind))
    path = answer.get("path") or answer["checkpoint_id"]
    restored = world.model(seed=9)
    restored.load_state(path).result()
    datum = world.datum(6)
    close(world.logprobs(restored, datum)[0], world.logprobs(training, datum)[0])
