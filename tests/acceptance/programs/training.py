"""Checks of training: passes, gradients, optimizer steps, custom losses."""

from __future__ import annotations

import asyncio
import math
from typing import Any

from acceptance.programs.harness import MINT, check, close
from acceptance.programs.world import World, flat


def norm(training: Any, world: World) -> float:
    """Take a step and return the norm of the gradient it used."""
    return float(training.optim_step(world.adam()).result().metrics["grad_norm"])


@check()
def training_lowers_the_loss(world: World) -> None:
    losses = world.train(world.model(), [world.datum(4), world.datum(6)], steps=5)
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < losses[0] - 0.1


@check()
def the_loss_is_the_weighted_sum_of_the_logprobs(world: World) -> None:
    weights = [[0.5, 0.0, -1.5], [2.0, 1.0, 0.25, 3.0, 1.0]]
    data = [world.datum(len(one), weights=one) for one in weights]
    output = world.model().forward_backward(data, "cross_entropy").result()
    logprobs = [flat(one["logprobs"]) for one in output.loss_fn_outputs]
    assert [len(one) for one in logprobs] == [3, 5]
    expected = -sum(
        w * lp
        for ws, lps in zip(weights, logprobs, strict=True)
        for w, lp in zip(ws, lps, strict=True)
    )
    close([output.metrics["loss:sum"]], [expected])


@check()
def weights_left_out_are_ones(world: World) -> None:
    training = world.model()
    bare = world.types.Datum(
        model_input=world.tokens([5, 6, 7]), loss_fn_inputs={"target_tokens": [6, 7, 8]}
    )
    without = training.forward_backward([bare], "cross_entropy").result()
    given = training.forward_backward([world.datum(3)], "cross_entropy").result()
    close([without.metrics["loss:sum"]], [given.metrics["loss:sum"]])


@check()
def forward_gives_the_logprobs_of_forward_backward(world: World) -> None:
    training, data = world.model(), [world.datum(4), world.datum(7, start=20)]
    world.train(training, data)
    passed = training.forward_backward(data, "cross_entropy").result()
    found = world.logprobs(training, *data)
    for one, expected in zip(found, passed.loss_fn_outputs, strict=True):
        close(one, flat(expected["logprobs"]))


@check()
def forward_leaves_the_gradient_alone(world: World) -> None:
    training, other = world.model(), world.model()
    for model in (training, other):
        model.forward_backward([world.datum(4)], "cross_entropy")
    training.forward([world.datum(9)], "cross_entropy").result()
    close([norm(training, world)], [norm(other, world)])


@check()
def passes_before_a_step_add_up(world: World) -> None:
    whole, parts = world.model(), world.model()
    data = [world.datum(4), world.datum(6, start=30)]
    whole.forward_backward(data, "cross_entropy")
    for one in data:
        parts.forward_backward([one], "cross_entropy")
    for model in (whole, parts):
        model.optim_step(world.gradient_descent(0.1)).result()
    found, expected = world.adapter(parts, "a"), world.adapter(whole, "a")
    for name, tensor in expected.items():
        close(found[name].ravel(), tensor.ravel())
    close(world.logprobs(parts, *data)[1], world.logprobs(whole, *data)[1])


@check()
def a_step_uses_the_gradient_up(world: World) -> None:
    training = world.model()
    norms = []
    for _ in range(2):
        training.forward_backward([world.datum(4)], "cross_entropy")
        stepped = training.optim_step(world.adam(learning_rate=0.0)).result()
        norms.append(stepped.metrics["grad_norm"])
    close(norms[1:], norms[:1])


@check()
def more_datums_than_one_request_takes_are_one_pass(world: World) -> None:
    lengths = [2 + index % 3 for index in range(2100)]
    data = [world.datum(length, start=5 + index % 50) for index, length in enumerate(lengths)]
    few = data[:150]
    training, other = world.model(), world.model()
    output = training.forward_backward(data, "cross_entropy").result()
    assert [len(flat(one["logprobs"])) for one in output.loss_fn_outputs] == lengths
    # The tokens repeat every 150 datums, so their gradient is 14 times that of the first ones.
    expected = other.forward_backward(few, "cross_entropy").result()
    close([output.metrics["loss:sum"] / 14], [expected.metrics["loss:sum"]], 1e-4)
    close([norm(training, world) / 14], [norm(other, world)], 1e-4)
    close(
        [value for one in output.loss_fn_outputs[1950:2100] for value in flat(one["logprobs"])],
        [value for one in expected.loss_fn_outputs for value in flat(one["logprobs"])],
    )


@check()
def several_targets_for_each_position(world: World) -> None:
    import torch

    training = world.model()
    targets = [[6, 9, 12], [7, 10, 13], [8, 11, 14]]
    weights = [[0.5, 0.25, 0.25], [1.0, 0.0, 0.0], [0.2, 0.3, 0.5]]
    datum = world.types.Datum(
        model_input=world.tokens([5, 6, 7]),
        loss_fn_inputs={
            "target_tokens": torch.tensor(targets),
            "weights": torch.tensor(weights),
        },
    )
    output = training.forward_backward([datum], "cross_entropy").result()
    found = output.loss_fn_outputs[0]["logprobs"].to_numpy()
    assert found.shape == (3, 3)
    for column in range(3):
        single = world.types.Datum(
            model_input=world.tokens([5, 6, 7]),
            loss_fn_inputs={
                "target_tokens": [row[column] for row in targets],
                "weights": [1.0] * 3,
            },
        )
        close(found[:, column], world.logprobs(training, single)[0])
    close([output.metrics["loss:sum"]], [-(found * weights).sum()])


@check()
def sparse_targets_mean_the_same_as_dense_ones(world: World) -> None:
    import torch

    generator = torch.Generator().manual_seed(0)
    targets = torch.zeros(12, 40, dtype=torch.int64)
    weights = torch.zeros(12, 40)
    for row in range(12):
        chosen = torch.randperm(40, generator=generator)[:2]
        targets[row, chosen] = torch.randint(5, 200, (2,), generator=generator)
        weights[row, chosen] = torch.rand(2, generator=generator)
    norms, losses = [], []
    for pick in (lambda t: t, lambda t: t.tolist()):
        training = world.model()
        datum = world.types.Datum(
            model_input=world.tokens(range(5, 17)),
            loss_fn_inputs={"target_tokens": pick(targets), "weights": pick(weights)},
        )
        output = training.forward_backward([datum], "cross_entropy").result()
        losses.append(output.metrics["loss:sum"])
        norms.append(norm(training, world))
    close(losses[:1], losses[1:])
    close(norms[:1], norms[1:], 1e-4)


@check()
def a_custom_loss_equal_to_cross_entropy_trains_alike(world: World) -> None:
    plain, custom = world.model(), world.model()
    data = [world.datum(4), world.datum(6)]

    def loss(batch: Any, logprobs: Any) -> Any:
        total = -sum(one.sum() for one in logprobs)
        return total, {"mine": float(total.detach())}

    found = []
    for _ in range(3):
        output = custom.forward_backward_custom(data, loss).result()
        custom.optim_step(world.adam()).result()
        found.append(output.metrics["mine"])
    close(found, world.train(plain, data, steps=3), 1e-4)


@check()
def a_pairwise_custom_loss_moves_the_pair_apart(world: World) -> None:
    import torch.nn.functional as functional

    training = world.model()
    data = [world.datum(5), world.datum(5, start=40)]

    def loss(batch: Any, logprobs: Any) -> Any:
        margin = logprobs[0].sum() - logprobs[1].sum()
        return -functional.logsigmoid(margin), {"margin": float(margin.detach())}

    margins = []
    for _ in range(4):
        output = training.forward_backward_custom(data, loss).result()
        training.optim_step(world.adam()).result()
        margins.append(output.metrics["margin"])
    assert margins == sorted(margins)
    assert margins[-1] > margins[0] + 0.5


@check()
def every_adam_parameter_is_used(world: World) -> None:
    import numpy as np

    rate, beta1, beta2, eps, decay = 0.02, 0.8, 0.9, 1e-4, 0.3
    data = [world.datum(6)]
    params = world.types.AdamParams(
        learning_rate=rate, beta1=beta1, beta2=beta2, eps=eps, weight_decay=decay
    )
    # A twin on the same weights tells the gradient: it takes a step of plain descent.
    training = world.model()
    world.train(training, data)
    path = training.save_state("start").result().path
    training = _restored(world, path)
    moments: dict[str, Any] = {}
    for step in (1, 2):
        before = world.adapter(training, f"before-{step}")
        path = training.save_state(f"before-{step}").result().path
        gradient = _gradient(world, path, data)
        training.forward_backward(data, "cross_entropy")
        training.optim_step(params).result()
        after = world.adapter(training, f"after-{step}")
        for name, weight in before.items():
            mean, square = moments.get(name, (0.0, 0.0))
            mean = beta1 * mean + (1 - beta1) * gradient[name]
            square = beta2 * square + (1 - beta2) * gradient[name] ** 2
            moments[name] = mean, square
            update = (mean / (1 - beta1**step)) / (np.sqrt(square / (1 - beta2**step)) + eps)
            expected = weight - rate * (update + decay * weight)
            # The gradient was read off a difference of float32 weights.
            close(after[name].ravel(), expected.ravel(), 2e-4)


def _restored(world: World, path: str) -> Any:
    training = world.model()
    training.load_state(path).result()
    return training


def _gradient(world: World, path: str, data: list[Any]) -> dict[str, Any]:
    twin = _restored(world, path)
    before = world.adapter(twin, "twin-before")
    twin.forward_backward(data, "cross_entropy")
    twin.optim_step(world.gradient_descent()).result()
    after = world.adapter(twin, "twin-after")
    return {name: before[name] - after[name] for name in before}


@check()
def the_gradient_is_clipped_to_its_norm(world: World) -> None:
    import numpy as np

    training = world.model()
    before = world.adapter(training, "before")
    training.forward_backward([world.datum(6)], "cross_entropy")
    params = world.types.AdamParams(
        learning_rate=1e6, beta1=0.0, beta2=0.0, eps=1e6, grad_clip_norm=0.5
    )
    metrics = training.optim_step(params).result().metrics
    after = world.adapter(training, "after")
    moved = np.sqrt(sum(((after[name] - before[name]) ** 2).sum() for name in before))
    assert metrics["grad_norm"] > 0.5
    # The step is a difference of float32 weights.
    close([moved], [0.5], 1e-3)


@check()
def a_step_without_a_rate_changes_nothing(world: World) -> None:
    training, datum = world.model(), world.datum(6)
    world.train(training, [datum])
    before = world.logprobs(training, datum)[0]
    world.train(training, [datum], rate=0.0)
    assert world.logprobs(training, datum)[0] == before


@check()
def work_sent_ahead_gives_what_waiting_gives(world: World) -> None:
    waiting, ahead, data = world.model(), world.model(), [world.datum(5)]
    expected = world.train(waiting, data, steps=4)
    passes = []
    for _ in range(4):
        passes.append(ahead.forward_backward(data, "cross_entropy"))
        ahead.optim_step(world.adam())
    close([one.result().metrics["loss:sum"] for one in passes], expected)


@check()
def the_asynchronous_calls_work(world: World) -> None:
    data = [world.datum(5)]

    async def train() -> list[float]:
        training = await world.service.create_lora_training_client_async(
            base_model=world.target.base, rank=4, seed=7
        )
        losses = []
        for _ in range(3):
            passed = await training.forward_backward_async(data, "cross_entropy")
            stepped = await training.optim_step_async(world.adam())
            losses.append((await passed.result_async()).metrics["loss:sum"])
            await stepped.result_async()
        sampler = await training.save_weights_and_get_sampling_client_async()
        drawn = await sampler.sample_async(world.tokens([5, 6]), 1, world.sampling(3, stop=[]))
        assert len(drawn.sequences[0].tokens) == 3
        return losses

    close(asyncio.run(train()), world.train(world.model(), data, steps=3))


@check(MINT)
def a_reverse_divergence_of_a_model_from_itself_is_nothing(world: World) -> None:
    training = world.model()
    world.train(training, [world.datum(6)])
    reference = training.save_weights_for_sampler("reference").result().path
    answer = _reverse_kl(world, training, reference)
    close([abs(answer.metrics["loss:sum"])], [0.0])
    close([norm(training, world)], [0.0], 1e-4)


@check(MINT)
def a_reverse_divergence_is_its_definition(world: World) -> None:
    teacher, student = world.model(), world.model(seed=8)
    world.train(teacher, [world.datum(6)], steps=3)
    world.train(student, [world.datum(6, start=20)], steps=3)
    reference = teacher.save_weights_for_sampler("teacher").result().path
    answer = _reverse_kl(world, student, reference)
    ours = _distributions(world, world.snapshot(student))
    theirs = _distributions(world, world.sampler(model_path=reference))
    expected = [
        sum(math.exp(lp) * (lp - there[token]) for token, lp in here.items())
        for here, there in zip(ours, theirs, strict=True)
    ]
    close(answer.outputs[0].loss.data, expected, 1e-4)
    close([answer.metrics["loss:sum"]], [sum(expected)], 1e-4)


def _distributions(world: World, sampler: Any) -> list[dict[int, float]]:
    """Return the log-probability of every token after each of the six that `_reverse_kl` sends."""
    answer = sampler.sample(
        world.tokens([*range(5, 11), 0]),
        1,
        world.sampling(1),
        include_prompt_logprobs=True,
        topk_prompt_logprobs=512,
    ).result()
    return [dict(entries) for entries in answer.topk_prompt_logprobs[1:]]


@check(MINT)
def a_reverse_divergence_pulls_the_student_to_its_reference(world: World) -> None:
    teacher, student = world.model(), world.model(seed=8)
    world.train(teacher, [world.datum(6)], steps=3)
    reference = teacher.save_weights_for_sampler("teacher").result().path
    losses = []
    for _ in range(10):
        losses.append(_reverse_kl(world, student, reference).metrics["loss:sum"])
        student.optim_step(world.adam()).result()
    assert losses[-1] < losses[0] / 2


def _reverse_kl(world: World, training: Any, reference: str) -> Any:
    extension = world.package.mint
    data = {"data": [6, 7, 8, 9, 10, 11], "dtype": "int64", "shape": [6]}
    weights = {"data": [1.0] * 6, "dtype": "float32", "shape": [6]}
    datum = extension.ReverseKLDatum(
        student_input=world.tokens(range(5, 11)),
        reference_input=world.tokens(range(5, 11)),
        target_tokens=data,
        weights=weights,
    )
    return extension.forward_backward_reverse_kl(
        training, reference_model_path=reference, data=[datum]
    )


@check(MINT)
def checkpoints_are_interpolated(world: World) -> None:
    paths = []
    for seed in (1, 2):
        training = world.model(seed=seed)
        world.train(training, [world.datum(6, start=10 * seed)], steps=3)
        paths.append(training.save_weights_for_sampler("source").result().path)
    answer = world.package.mint.interpolate_checkpoints(
        world.service, source_paths=paths, coefficients=[1.0, 0.0]
    )
    assert answer.checkpoint_type == "sampler"
    prompt = world.tokens(range(5, 12))
    mixed = world.sampler(model_path=answer.path).compute_logprobs(prompt).result()
    first = world.sampler(model_path=paths[0]).compute_logprobs(prompt).result()
    close(mixed[1:], first[1:], 1e-4)
