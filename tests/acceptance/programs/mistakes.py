"""Checks of bad requests: each ends in a typed error that names the fault, and nothing else breaks.

After every one the same client trains on, and so does a model that was there before.
"""

from __future__ import annotations

import urllib.error
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from acceptance.programs.checkpoints import errors
from acceptance.programs.harness import add, check, close, refused
from acceptance.programs.world import World

Mistake = Callable[[World, Any], Any]
"""Ask a training client for something that cannot be done, and wait for the answer."""


@contextmanager
def unharmed(world: World, training: Any) -> Iterator[None]:
    """Assert that a model trains on as if nothing had happened, and another one too."""
    bystander, twin = world.model(seed=11), world.model(seed=11)
    data = [world.datum(5)]
    world.train(bystander, data)
    world.train(twin, data)
    fresh = world.model()
    yield
    close(world.train(training, data, steps=2), world.train(fresh, data, steps=2))
    close(world.train(bystander, data, steps=2), world.train(twin, data, steps=2))


def _policy(world: World, **inputs: Any) -> Any:
    chosen = {"logprobs": [-1.0] * 4, "advantages": [1.0] * 4, **inputs}
    return world.datum(4, **{name: value for name, value in chosen.items() if value is not None})


def _passed(world: World, training: Any, datum: Any, loss: str, **config: Any) -> Any:
    return training.forward_backward([datum], loss, **config).result()


def _datum(world: World, tokens: list[int], **inputs: Any) -> Any:
    return world.types.Datum(model_input=world.tokens(tokens), loss_fn_inputs=inputs)


def _is_nan(world: World, training: Any) -> Any:
    datum = _policy(world, advantages=[1.0, float("nan"), 1.0, 1.0])
    return _passed(world, training, datum, "importance_sampling")


def _is_infinite(world: World, training: Any) -> Any:
    datum = world.datum(3, weights=[1.0, float("inf"), 1.0])
    return _passed(world, training, datum, "cross_entropy")


def _input_is_no_token(world: World, training: Any) -> Any:
    datum = _datum(world, [5, 999_999, 7], target_tokens=[6, 7, 8], weights=[1.0] * 3)
    return _passed(world, training, datum, "cross_entropy")


def _target_is_no_token(world: World, training: Any) -> Any:
    datum = _datum(world, [5, 6, 7], target_tokens=[6, -1, 8], weights=[1.0] * 3)
    return _passed(world, training, datum, "cross_entropy")


def _targets_are_short(world: World, training: Any) -> Any:
    datum = _datum(world, [5, 6, 7], target_tokens=[6, 7], weights=[1.0] * 2)
    return _passed(world, training, datum, "cross_entropy")


def _weights_are_short(world: World, training: Any) -> Any:
    datum = _datum(world, [5, 6, 7], target_tokens=[6, 7, 8], weights=[1.0] * 2)
    return _passed(world, training, datum, "cross_entropy")


def _is_empty(world: World, training: Any) -> Any:
    datum = _datum(world, [], target_tokens=[], weights=[])
    return _passed(world, training, datum, "cross_entropy")


def _lacks_advantages(world: World, training: Any) -> Any:
    return _passed(world, training, _policy(world, advantages=None), "importance_sampling")


def _loss_is_unknown(world: World, training: Any) -> Any:
    return _passed(world, training, _policy(world), "stable_reinforce")


def _config_is_unknown(world: World, training: Any) -> Any:
    config = {"clip_middle_threshold": 0.5}
    return _passed(world, training, _policy(world), "ppo", loss_fn_config=config)


def _is_too_long(world: World, training: Any) -> Any:
    served = world.service.get_server_capabilities().supported_models
    room = next(m.max_context_length for m in served if m.model_name == world.target.base)
    tokens = [5 + i % 200 for i in range(room + 1)]
    datum = _datum(world, tokens, target_tokens=tokens, weights=[1.0] * len(tokens))
    return _passed(world, training, datum, "cross_entropy")


def _adam_is_nan(world: World, training: Any) -> Any:
    return training.optim_step(world.types.AdamParams(learning_rate=float("nan"))).result()


def _name_climbs(world: World, training: Any) -> Any:
    return training.save_state("../../escaped").result()


def _state_is_missing(world: World, training: Any) -> Any:
    return training.load_state(f"tinker://{training.model_id}/weights/nowhere").result()


def _state_is_no_path(world: World, training: Any) -> Any:
    return training.load_state("/etc/passwd").result()


def _state_is_of_another_base(world: World, training: Any) -> Any:
    other = world.model(base_model=world.target.other_base)
    return training.load_state(other.save_state("other").result().path).result()


def _state_is_of_another_rank(world: World, training: Any) -> Any:
    return training.load_state(world.model(rank=9).save_state("nine").result().path).result()


def _rank_is_high(world: World, training: Any) -> Any:
    return world.model(rank=100_000)


def _base_is_unknown(world: World, training: Any) -> Any:
    return world.model(base_model="acme/unknown")


def _sampler_is_missing(world: World, training: Any) -> Any:
    path = f"tinker://{training.model_id}/sampler_weights/nowhere"
    return world.sampler(model_path=path).compute_logprobs(world.tokens([5, 6])).result()


def _prompt_is_no_token(world: World, training: Any) -> Any:
    return world.snapshot(training).sample(world.tokens([5, 999_999]), 1, world.sampling()).result()


def _prompt_is_too_long(world: World, training: Any) -> Any:
    prompt = world.tokens([5] * 100_000)
    return world.snapshot(training).sample(prompt, 1, world.sampling()).result()


def _temperature_is_negative(world: World, training: Any) -> Any:
    params = world.sampling(temperature=-1.0)
    return world.snapshot(training).sample(world.tokens([5, 6]), 1, params).result()


def _run_is_missing(world: World, training: Any) -> Any:
    return world.rest.get_training_run("nobody:train:0").result()


_MISTAKES: dict[str, tuple[Mistake, str]] = {
    "advantages_that_are_not_numbers": (_is_nan, "advantages"),
    "weights_that_are_infinite": (_is_infinite, "weights"),
    "a_token_outside_the_vocabulary": (_input_is_no_token, "999999"),
    "a_target_outside_the_vocabulary": (_target_is_no_token, "-1"),
    "targets_of_another_length": (_targets_are_short, "target_tokens"),
    "weights_of_another_length": (_weights_are_short, "weights"),
    "a_datum_without_tokens": (_is_empty, ""),
    "missing_advantages": (_lacks_advantages, "advantages"),
    "an_unknown_loss": (_loss_is_unknown, "stable_reinforce"),
    "an_unknown_setting_of_a_loss": (_config_is_unknown, "clip_middle_threshold"),
    "a_sequence_longer_than_the_context": (_is_too_long, ""),
    "a_learning_rate_that_is_not_a_number": (_adam_is_nan, "learning_rate"),
    "a_checkpoint_name_that_climbs": (_name_climbs, "escaped"),
    "a_state_that_does_not_exist": (_state_is_missing, "nowhere"),
    "a_state_outside_the_server": (_state_is_no_path, "passwd"),
    "a_state_of_another_base_model": (_state_is_of_another_base, ""),
    "a_state_of_another_rank": (_state_is_of_another_rank, "9"),
    "a_rank_beyond_the_limit": (_rank_is_high, "100000"),
    "an_unknown_base_model": (_base_is_unknown, "acme/unknown"),
    "a_sampler_that_does_not_exist": (_sampler_is_missing, "nowhere"),
    "a_prompt_outside_the_vocabulary": (_prompt_is_no_token, "999999"),
    "a_prompt_longer_than_the_context": (_prompt_is_too_long, ""),
    "a_negative_temperature": (_temperature_is_negative, "temperature"),
    "a_run_that_does_not_exist": (_run_is_missing, "nobody"),
}


_NOT_JSON = {_is_nan, _is_infinite, _adam_is_nan}
"""What a client that writes JSON cannot send."""


def _refuses(mistake: Mistake, saying: str, world: World) -> None:
    training = world.model()
    if mistake in _NOT_JSON and not world.is_new:
        expected = refused(ValueError, saying="JSON")
    else:
        expected = refused(*errors(world), saying=saying)
    with unharmed(world, training), expected:
        mistake(world, training)


for _name, (_mistake, _saying) in _MISTAKES.items():
    add(f"{_name}_is_refused", partial(_refuses, _mistake, _saying))


@check()
def a_body_that_is_no_message_is_refused(world: World) -> None:
    training = world.model()
    with unharmed(world, training):
        for kind in ("application/x-protobuf", "application/json"):
            with refused(urllib.error.HTTPError, saying="4"):
                world.open("forward_backward", "POST", b"\xff\x00\xfe", kind)
