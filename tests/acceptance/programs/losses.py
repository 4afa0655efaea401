"""Checks of the policy losses: value and gradient against the formulas, written with torch.

The reference goes through `forward_backward_custom`, where the client differentiates the formula
itself, so a loss of the server is compared with automatic differentiation of its definition.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from typing import Any

from acceptance.programs.harness import ALL, NEW, add, check, close
from acceptance.programs.training import norm
from acceptance.programs.world import World, flat

Formula = Callable[[Any, Any, Any], Any]
"""Log-probabilities, sampled log-probabilities, advantages -> the loss of one datum."""


def importance_sampling(now: Any, then: Any, advantages: Any) -> Any:
    return -((now - then).exp() * advantages).sum()


def ppo(now: Any, then: Any, advantages: Any, low: float = 0.8, high: float = 1.2) -> Any:
    ratio = (now - then).exp()
    return -(ratio * advantages).minimum(ratio.clamp(low, high) * advantages).sum()


def cispo(now: Any, then: Any, advantages: Any, low: float = 0.8, high: float = 1.2) -> Any:
    ratio = (now - then).exp().clamp(low, high).detach()
    return -(ratio * now * advantages).sum()


def dro(now: Any, then: Any, advantages: Any, beta: float = 0.05) -> Any:
    return -(now * advantages - 0.5 * beta * (now - then) ** 2).sum()


def gspo(now: Any, then: Any, advantages: Any, low: float = 0.8, high: float = 1.2) -> Any:
    mean = (now.detach() - then).mean()
    ratio = (mean + now - now.detach()).exp()
    return -(ratio * advantages).minimum(ratio.clamp(low, high) * advantages).sum()


_BOUNDS = {"clip_low_threshold": 0.6, "clip_high_threshold": 1.1}
_LOSSES: dict[str, tuple[str, dict[str, float] | None, Formula, frozenset[str]]] = {
    "importance_sampling": ("importance_sampling", None, importance_sampling, ALL),
    "ppo": ("ppo", None, ppo, ALL),
    "ppo_with_bounds": ("ppo", _BOUNDS, partial(ppo, low=0.6, high=1.1), ALL),
    "cispo": ("cispo", None, cispo, ALL),
    "cispo_with_bounds": ("cispo", _BOUNDS, partial(cispo, low=0.6, high=1.1), ALL),
    "dro": ("dro", {"beta": 0.05}, dro, ALL),
    "dro_with_another_beta": ("dro", {"beta": 0.4}, partial(dro, beta=0.4), ALL),
    "gspo": ("gspo", _BOUNDS, partial(gspo, low=0.6, high=1.1), NEW),
}


def _case(
    world: World, model: Any, extra: dict[str, Any]
) -> tuple[list[Any], list[Any], list[Any]]:
    """Return datums with sampled log-probabilities around the model's own, and their numbers.

    Ratios go from about 0.5 to 2, so that bounds bind on both sides.
    """
    draw = random.Random(3)
    plain = [world.datum(6), world.datum(4, start=60)]
    then = [[lp + draw.uniform(-0.7, 0.7) for lp in one] for one in world.logprobs(model, *plain)]
    advantages = [[draw.uniform(-1, 1) for _ in one] for one in then]
    data = [
        world.datum(
            len(then[index]),
            start=(5, 60)[index],
            logprobs=then[index],
            advantages=advantages[index],
            **{name: values(len(then[index])) for name, values in extra.items()},
        )
        for index in range(2)
    ]
    return data, then, advantages


def _compare(loss_fn: str, config: dict[str, float] | None, formula: Formula, world: World) -> None:
    import torch

    built_in, reference = world.model(), world.model()
    extra = {"sequence_ratio_mask": lambda n: [1.0] * n} if loss_fn == "gspo" else {}
    data, then, advantages = _case(world, built_in, extra)

    def custom(batch: Any, logprobs: Any) -> Any:
        total = sum(
            formula(now, torch.tensor(then[index]), torch.tensor(advantages[index]))
            for index, now in enumerate(logprobs)
        )
        return total, {"expected": float(total.detach())}

    plain = [world.datum(6), world.datum(4, start=60)]
    output = built_in.forward_backward(data, loss_fn, loss_fn_config=config).result()
    expected = reference.forward_backward_custom(plain, custom).result().metrics["expected"]
    close([output.metrics["loss:sum"]], [expected])
    before = world.logprobs(world.model(), *plain)
    for one, wanted in zip(output.loss_fn_outputs, before, strict=True):
        close(flat(one["logprobs"]), wanted)
    # Steps of plain descent, so that the size of the gradient counts and not only its sign.
    for model in (built_in, reference):
        model.optim_step(world.gradient_descent(0.05)).result()
    found = world.adapter(built_in, "after")
    for name, tensor in world.adapter(reference, "after").items():
        close(found[name].ravel(), tensor.ravel())


for _name, (_loss, _config, _formula, _clients) in _LOSSES.items():
    add(f"{_name}_is_its_formula", partial(_compare, _loss, _config, _formula), _clients)


@check()
def weights_mask_a_policy_loss(world: World) -> None:
    masked, short = world.model(), world.model()
    _, then, _ = _case(world, masked, {})
    advantages = [1.0, -1.0, 0.5, 0.25, 1.5, -0.5]
    keep = [0.0, 0.0, 1.0, 1.0, 1.0, 0.0]
    datum = world.datum(6, logprobs=then[0], advantages=advantages, weights=keep)
    zeroed = [a * k for a, k in zip(advantages, keep, strict=True)]
    other = world.datum(6, logprobs=then[0], advantages=zeroed)
    found = masked.forward_backward([datum], "ppo").result().metrics["loss:sum"]
    expected = short.forward_backward([other], "ppo").result().metrics["loss:sum"]
    close([found], [expected])
    close([norm(masked, world)], [norm(short, world)])


@check()
def a_policy_loss_raises_what_was_rewarded(world: World) -> None:
    training = world.model()
    prompt = [5, 6, 7]
    sampler = world.snapshot(training)
    params = world.sampling(6, temperature=1.0, seed=3, stop=[])
    drawn = sampler.sample(world.tokens(prompt), 2, params).result().sequences
    data, plain = [], []
    for sequence, advantage in zip(drawn, (1.0, -1.0), strict=True):
        tokens = prompt + list(sequence.tokens)
        ahead = len(prompt) - 1
        inputs = {
            "target_tokens": tokens[1:],
            "weights": [0.0] * ahead + [1.0] * 6,
            "logprobs": [0.0] * ahead + list(sequence.logprobs),
            "advantages": [0.0] * ahead + [advantage] * 6,
        }
        model_input = world.tokens(tokens[:-1])
        data.append(world.types.Datum(model_input=model_input, loss_fn_inputs=inputs))
        kept = {name: inputs[name] for name in ("target_tokens", "weights")}
        plain.append(world.types.Datum(model_input=model_input, loss_fn_inputs=kept))
    before = [sum(one[2:]) for one in world.logprobs(training, *plain)]
    # Sampled from the same weights at temperature 1, so they are what the sampler reported.
    close(before, [sum(sequence.logprobs) for sequence in drawn], 1e-4)
    training.forward_backward(data, "importance_sampling").result()
    training.optim_step(world.adam()).result()
    after = [sum(one[2:]) for one in world.logprobs(training, *plain)]
    assert after[0] > before[0]
    assert after[1] < before[1]
