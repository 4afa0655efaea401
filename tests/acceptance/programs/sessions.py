"""Checks of connecting: keys, sessions, what is served, and how a model is made."""

from __future__ import annotations

import json

from acceptance.programs.harness import MINT, NEW, check, close, refused
from acceptance.programs.world import World


@check()
def capabilities_list_every_base_model(world: World) -> None:
    served = {m.model_name: m for m in world.service.get_server_capabilities().supported_models}
    assert set(served) == {world.target.base, world.target.other_base}
    assert all(model.max_context_length > 1000 for model in served.values())


@check()
def a_model_knows_its_base_rank_and_tokenizer(world: World) -> None:
    training = world.model(rank=3)
    info = training.get_info()
    assert info.model_id == training.model_id
    assert info.is_lora
    assert info.lora_rank == 3
    assert info.model_data.model_name == world.target.base
    tokenizer = training.get_tokenizer()
    assert tokenizer.decode(tokenizer.encode("two words")) == "two words"


@check()
def a_samplers_tokenizer_is_found_by_the_name_of_the_base_model(world: World) -> None:
    sampler = world.sampler(base_model=world.target.base)
    assert sampler.get_base_model() == world.target.base
    assert sampler.get_tokenizer().encode("two words") == world.model().get_tokenizer().encode(
        "two words"
    )


@check()
def the_default_rank_is_accepted(world: World) -> None:
    made = world.service.create_lora_training_client(world.target.base)
    assert made.get_info().lora_rank == 32


@check()
def the_seed_decides_the_fresh_adapter(world: World) -> None:
    first, same, other = world.model(seed=1), world.model(seed=1), world.model(seed=2)
    tensors = [world.adapter(training, "fresh") for training in (first, same, other)]
    assert all((tensors[0][name] == tensors[1][name]).all() for name in tensors[0])
    assert not all((tensors[0][name] == tensors[2][name]).all() for name in tensors[0])


@check()
def a_fresh_adapter_changes_nothing(world: World) -> None:
    datum = world.datum(6)
    prompt = world.tokens(range(5, 12))
    base = world.sampler(base_model=world.target.base).compute_logprobs(prompt).result()
    close(world.logprobs(world.model(), datum)[0], base[1:])


def _trained_modules(world: World, **flags: bool) -> set[str]:
    chosen = {"train_attn": False, "train_mlp": False, "train_unembed": False, **flags}
    tensors = world.adapter(world.model(**chosen), "fresh")
    return {name.rsplit(".lora_", 1)[0].rsplit(".", 1)[-1] for name in tensors}


@check()
def train_attn_adapts_attention_only(world: World) -> None:
    assert _trained_modules(world, train_attn=True) == {"q_proj", "k_proj", "v_proj", "o_proj"}


@check()
def train_mlp_adapts_the_mlp_only(world: World) -> None:
    assert _trained_modules(world, train_mlp=True) == {"gate_proj", "up_proj", "down_proj"}


@check()
def train_unembed_trains(world: World) -> None:
    training = world.model(train_attn=False, train_mlp=False, train_unembed=True)
    losses = world.train(training, [world.datum(6)], steps=3)
    assert losses[-1] < losses[0]


@check()
def two_base_models_are_two_models(world: World) -> None:
    datum = world.datum(6)
    first = world.logprobs(world.model(), datum)[0]
    second = world.logprobs(world.model(base_model=world.target.other_base), datum)[0]
    assert max(abs(a - b) for a, b in zip(first, second, strict=True)) > 1e-3


@check()
def metadata_of_a_run_comes_back(world: World) -> None:
    training = world.model(user_metadata={"renderer_name": "qwen3", "note": "ü"})
    run = world.rest.get_training_run(training.model_id).result()
    assert run.user_metadata == {"renderer_name": "qwen3", "note": "ü"}
    assert (run.base_model, run.lora_rank, run.is_lora) == (world.target.base, 4, True)


@check(MINT)
def a_key_of_mint_is_accepted(world: World) -> None:
    service = world.connect(api_key="sk-0123456789abcdef")
    assert service.get_server_capabilities().supported_models


@check()
def a_key_of_tinker_is_accepted(world: World) -> None:
    service = world.connect(api_key="tml-0123456789abcdef")
    assert service.get_server_capabilities().supported_models


@check()
def a_wrong_key_is_an_authentication_error(world: World) -> None:
    with refused(world.package.AuthenticationError):
        service = world.connect(base_url=world.target.locked_url, api_key="tml-wrong-key-0000")
        service.get_server_capabilities()
    assert world.service.get_server_capabilities().supported_models


@check(NEW)
def a_closed_client_finishes_its_session(world: World) -> None:
    with world.connect() as service:
        training = world.model(service=service)
        world.train(training, [world.datum(4)])
        path = training.save_state("kept").result().path
    # What was saved outlives the session.
    resumed = world.service.create_training_client_from_state(path)
    assert world.logprobs(resumed, world.datum(4))


@check(NEW)
def whoami_answers(world: World) -> None:
    assert world.rest.whoami().result().user_urn


@check(NEW)
def settings_that_may_change_are_served(world: World) -> None:
    body = json.dumps({"sdk_version": world.package.__version__}).encode()
    answer = world.open("client/dynamic_config", "POST", body, "application/json")
    assert isinstance(json.loads(answer), dict)


@check(NEW)
def a_listing_client_needs_no_session(world: World) -> None:
    rest = world.package.RestClient(base_url=world.target.url, api_key=world.target.key)
    assert rest.get_server_capabilities().result().supported_models
    assert rest.list_training_runs().result().cursor is not None


@check()
def a_session_lists_its_models_and_samplers(world: World) -> None:
    service = world.connect()
    training = world.model(service=service)
    world.sampler(service=service, base_model=world.target.base)
    session = training.model_id.split(":train:")[0]
    found = world.rest.get_session(session).result()
    assert found.training_run_ids == [training.model_id]
    assert len(found.sampler_ids) == 1
    assert session in world.rest.list_sessions(limit=100).result().sessions
    sampler = world.rest.get_sampler(found.sampler_ids[0]).result()
    assert sampler.base_model == world.target.base


@check()
def a_session_can_be_moved_to_a_project(world: World) -> None:
    session = world.model().model_id.split(":train:")[0]
    world.rest.assign_session_project(session, "project-1").result()
