"""Clients that share a server: what each gets is what it gets alone."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from acceptance.programs.harness import check, close
from acceptance.programs.world import World

Outcome = dict[str, list[float]]


def run_job(world: World, number: int) -> Outcome:
    """Train a model and sample from it; rank, seed, data and loss follow from the number."""
    training = world.model(service=world.connect(), seed=number, rank=1 + 3 * (number % 3))
    lengths = [3 + number, 40 - 5 * number]
    losses = []
    for step in range(4):
        data, loss_fn = _batch(world, training, lengths, step, is_policy=number % 2 == 1)
        passed = training.forward_backward(data, loss_fn)
        stepped = training.optim_step(world.adam(1e-2 * (1 + number)))
        losses.append(passed.result().metrics["loss:sum"])
        stepped.result()
    sampler = world.snapshot(training)
    params = world.sampling(6, temperature=0.0, stop=[])
    drawn = sampler.sample(world.tokens([5 + number, 6 + number]), 1, params).result()
    (sequence,) = drawn.sequences
    return {
        "losses": losses,
        "tokens": [float(token) for token in sequence.tokens],
        "sampled": list(sequence.logprobs),
        "logprobs": [lp for one in _logprobs(world, training, lengths) for lp in one],
    }


def _batch(
    world: World, training: Any, lengths: list[int], step: int, *, is_policy: bool
) -> tuple[list[Any], str]:
    data = _plain(world, lengths)
    if not is_policy or step == 0:
        return data, "cross_entropy"
    rewarded = [
        world.datum(length, start=5 + length, logprobs=now, advantages=[(-1.0) ** step] * length)
        for length, now in zip(lengths, world.logprobs(training, *data), strict=True)
    ]
    return rewarded, "importance_sampling"


def _plain(world: World, lengths: list[int]) -> list[Any]:
    return [world.datum(length, start=5 + length) for length in lengths]


def _logprobs(world: World, training: Any, lengths: list[int]) -> list[list[float]]:
    return world.logprobs(training, *_plain(world, lengths))


def same(found: Outcome, expected: Outcome) -> None:
    """Assert that two outcomes are of the same job."""
    assert found["tokens"] == expected["tokens"]
    for name in ("losses", "sampled", "logprobs"):
        # Several steps let the rounding of a batch's sums grow.
        close(found[name], expected[name], 1e-4)


@check()
def clients_at_once_get_what_they_get_alone(world: World) -> None:
    numbers = range(4)
    alone = [run_job(world, number) for number in numbers]
    with ThreadPoolExecutor(len(numbers)) as pool:
        together = list(pool.map(lambda number: run_job(world, number), numbers))
    for found, expected in zip(together, alone, strict=True):
        same(found, expected)


@check()
def a_failing_neighbour_is_not_noticed(world: World) -> None:
    expected = run_job(world, 1)

    def fail_often() -> int:
        training, failures = world.model(service=world.connect()), 0
        broken: list[Callable[[], Any]] = [
            lambda: training.forward_backward([_broken(world)], "cross_entropy").result(),
            lambda: training.load_state("tinker://nobody/weights/nothing").result(),
            lambda: training.forward_backward([world.datum(3)], "custom").result(),
        ]
        for ask in broken * 4:
            try:
                ask()
            except (world.package.APIStatusError, world.package.RequestFailedError):
                failures += 1
        return failures

    with ThreadPoolExecutor(2) as pool:
        failing = pool.submit(fail_often)
        found = pool.submit(run_job, world, 1)
        assert failing.result() == 12
        same(found.result(), expected)


def _broken(world: World) -> Any:
    inputs = {"target_tokens": [6, 999_999, 8], "weights": [1.0] * 3}
    return world.types.Datum(model_input=world.tokens([5, 6, 7]), loss_fn_inputs=inputs)
