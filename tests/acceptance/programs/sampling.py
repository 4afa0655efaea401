"""Checks of sampling: what is drawn, when it stops, and which probabilities are reported."""

from __future__ import annotations

import math
import pickle
from typing import Any

from acceptance.programs.harness import NEW, check, close, refused
from acceptance.programs.world import World

PROMPT = [5, 6, 7, 8]


def drawn(world: World, sampler: Any, num: int = 1, **params: Any) -> list[Any]:
    """Return the sequences that follow the prompt."""
    chosen = world.sampling(**{"max_tokens": 8, "stop": [], **params})
    return list(sampler.sample(world.tokens(PROMPT), num, chosen).result().sequences)


def next_tokens(world: World, sampler: Any, count: int) -> list[tuple[int, float]]:
    """Return the most likely tokens after the prompt, and their log-probabilities."""
    answer = sampler.sample(
        world.tokens([*PROMPT, 0]),
        1,
        world.sampling(1),
        include_prompt_logprobs=True,
        topk_prompt_logprobs=count,
    ).result()
    return [(int(token), float(lp)) for token, lp in answer.topk_prompt_logprobs[-1]]


def base(world: World) -> Any:
    """Return a sampler of the bare base model."""
    return world.sampler(base_model=world.target.base)


@check()
def greedy_sampling_takes_the_most_likely_token(world: World) -> None:
    sampler = base(world)
    (sequence,) = drawn(world, sampler, temperature=0.0)
    tokens = PROMPT + list(sequence.tokens)
    answer = sampler.sample(
        world.tokens(tokens),
        1,
        world.sampling(1),
        include_prompt_logprobs=True,
        topk_prompt_logprobs=1,
    ).result()
    best = [entry[0] for entry in answer.topk_prompt_logprobs[len(PROMPT) :]]
    assert [token for token, _ in best] == list(sequence.tokens)
    close(sequence.logprobs, [lp for _, lp in best], 1e-4)


@check()
def sampled_logprobs_are_those_of_the_model(world: World) -> None:
    sampler = base(world)
    (sequence,) = drawn(world, sampler, seed=1)
    prompt = world.tokens(PROMPT + list(sequence.tokens))
    close(sequence.logprobs, sampler.compute_logprobs(prompt).result()[len(PROMPT) :], 1e-4)


@check()
def sampled_logprobs_are_of_the_scaled_distribution(world: World) -> None:
    sampler = base(world)
    plain = {s.tokens[0]: s.logprobs[0] for s in drawn(world, sampler, 64, max_tokens=1, seed=1)}
    scaled = {
        s.tokens[0]: s.logprobs[0]
        for s in drawn(world, sampler, 64, max_tokens=1, seed=1, temperature=2.0)
    }
    both = sorted(set(plain) & set(scaled))
    assert len(both) > 2
    first, *others = both
    close(
        [scaled[token] - scaled[first] for token in others],
        [(plain[token] - plain[first]) / 2 for token in others],
        1e-4,
    )


@check()
def top_k_of_one_is_greedy(world: World) -> None:
    sampler = base(world)
    greedy, narrow = drawn(world, sampler, temperature=0.0), drawn(world, sampler, top_k=1)
    assert list(narrow[0].tokens) == list(greedy[0].tokens)


@check()
def top_k_draws_from_the_k_most_likely(world: World) -> None:
    sampler = base(world)
    likely = {token for token, _ in next_tokens(world, sampler, 3)}
    found = {s.tokens[0] for s in drawn(world, sampler, 64, max_tokens=1, top_k=3, seed=5)}
    assert len(likely) == 3
    assert found == likely


@check()
def top_p_draws_from_the_smallest_set_that_holds_p(world: World) -> None:
    sampler = base(world)
    ranked = next_tokens(world, sampler, 5)
    # Between the probability of the first two tokens together and that of three.
    two = sum(math.exp(lp) for _, lp in ranked[:2])
    p = two + math.exp(ranked[2][1]) / 2
    found = {s.tokens[0] for s in drawn(world, sampler, 64, max_tokens=1, top_p=p, seed=5)}
    assert found == {token for token, _ in ranked[:3]}


@check()
def a_seed_repeats_its_samples_and_they_differ_from_each_other(world: World) -> None:
    sampler = base(world)
    first, again, other = (
        [tuple(s.tokens) for s in drawn(world, sampler, 6, seed=seed)] for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other
    assert len(set(first)) == 6


@check()
def without_a_seed_samples_differ(world: World) -> None:
    sampler = base(world)
    found = [tuple(s.tokens) for _ in range(2) for s in drawn(world, sampler, 3)]
    assert len(set(found)) == 6


@check()
def a_stop_token_ends_a_sequence_and_is_kept(world: World) -> None:
    sampler = base(world)
    tokens = list(drawn(world, sampler, seed=1)[0].tokens)
    last = tokens[3]
    (sequence,) = drawn(world, sampler, seed=1, stop=[last])
    end = tokens.index(last) + 1
    assert list(sequence.tokens) == tokens[:end]
    assert sequence.stop_reason == "stop"
    assert len(sequence.logprobs) == end


def _stops_at_text(world: World, as_list: bool) -> None:
    sampler = base(world)
    tokenizer = sampler.get_tokenizer()
    (whole,) = drawn(world, sampler, max_tokens=16, temperature=0.0)
    text = tokenizer.decode(list(whole.tokens))
    pairs = [text[start : start + 2] for start in range(3, len(text) - 1)]
    wanted = next(pair for pair in pairs if pair.isascii() and pair.isprintable())
    stop = [wanted] if as_list else wanted
    (sequence,) = drawn(world, sampler, max_tokens=16, temperature=0.0, stop=stop)
    count = len(sequence.tokens)
    assert sequence.stop_reason == "stop"
    assert list(sequence.tokens) == list(whole.tokens)[:count]
    assert wanted in tokenizer.decode(list(sequence.tokens))
    assert wanted not in tokenizer.decode(list(sequence.tokens)[:-1])


@check()
def a_stop_string_ends_a_sequence(world: World) -> None:
    _stops_at_text(world, as_list=True)


@check()
def a_bare_stop_string_ends_a_sequence(world: World) -> None:
    _stops_at_text(world, as_list=False)


@check()
def the_end_token_stops_unless_stops_are_an_empty_list(world: World) -> None:
    training = world.model()
    end = training.get_tokenizer().eos_token_id
    ending = world.types.Datum(
        model_input=world.tokens(PROMPT),
        loss_fn_inputs={
            "target_tokens": [*PROMPT[1:], end],
            "weights": [0.0, 0.0, 0.0, 1.0],
        },
    )
    world.train(training, [ending], steps=12, rate=5e-2)
    sampler = world.snapshot(training)
    (stopped,) = drawn(world, sampler, temperature=0.0, stop=None)
    assert list(stopped.tokens) == [end]
    assert stopped.stop_reason == "stop"
    (unstopped,) = drawn(world, sampler, temperature=0.0, stop=[])
    assert unstopped.tokens[0] == end
    assert len(unstopped.tokens) == 8
    assert unstopped.stop_reason == "length"


@check()
def without_a_limit_the_context_is_filled(world: World) -> None:
    served = {m.model_name: m for m in world.service.get_server_capabilities().supported_models}
    room = served[world.target.base].max_context_length
    prompt = world.tokens([5 + i % 200 for i in range(room - 20)])
    params = world.sampling(None, stop=[], temperature=0.0)
    (sequence,) = base(world).sample(prompt, 1, params).result().sequences
    assert len(sequence.tokens) == 20
    assert sequence.stop_reason == "length"


@check()
def prompt_logprobs_are_those_of_forward(world: World) -> None:
    training = world.model()
    world.train(training, [world.datum(8)], steps=2)
    sampler = world.snapshot(training)
    prompt = world.tokens(range(5, 14))
    answer = sampler.sample(
        prompt, 1, world.sampling(2, temperature=0.3), include_prompt_logprobs=True
    ).result()
    assert len(answer.prompt_logprobs) == 9
    assert answer.prompt_logprobs[0] is None
    close(answer.prompt_logprobs[1:], world.logprobs(training, world.datum(8))[0], 1e-4)
    computed = sampler.compute_logprobs(prompt).result()
    close(computed[1:], answer.prompt_logprobs[1:])


@check()
def prompt_logprobs_are_left_out_unless_asked_for(world: World) -> None:
    answer = base(world).sample(world.tokens(PROMPT), 1, world.sampling(2)).result()
    assert answer.prompt_logprobs is None
    assert answer.topk_prompt_logprobs is None


@check()
def top_prompt_logprobs_are_ranked_and_hold_the_prompts_own(world: World) -> None:
    answer = base(world).sample(
        world.tokens(PROMPT),
        1,
        world.sampling(1),
        include_prompt_logprobs=True,
        topk_prompt_logprobs=512,
    )
    found = answer.result()
    assert found.topk_prompt_logprobs[0] is None
    assert len(found.topk_prompt_logprobs) == len(PROMPT)
    for position in range(1, len(PROMPT)):
        entries = found.topk_prompt_logprobs[position]
        values = [lp for _, lp in entries]
        assert len(entries) == 512
        assert values == sorted(values, reverse=True)
        own = dict(entries)[PROMPT[position]]
        close([own], [found.prompt_logprobs[position]])


@check()
def an_unnamed_snapshot_does_not_follow_training(world: World) -> None:
    training = world.model()
    world.train(training, [world.datum(8)], steps=2)
    sampler, prompt = world.snapshot(training), world.tokens(range(5, 14))
    before = sampler.compute_logprobs(prompt).result()
    world.train(training, [world.datum(8)], steps=3, rate=5e-2)
    assert sampler.compute_logprobs(prompt).result() == before
    newer = world.snapshot(training).compute_logprobs(prompt).result()
    assert max(abs(a - b) for a, b in zip(newer[1:], before[1:], strict=True)) > 0.1


@check()
def a_named_sampler_can_be_opened_by_another_client(world: World) -> None:
    training = world.model()
    world.train(training, [world.datum(8)], steps=3)
    prompt = world.tokens(range(5, 14))
    expected = world.snapshot(training).compute_logprobs(prompt).result()
    path = training.save_weights_for_sampler("named").result().path
    assert path == f"tinker://{training.model_id}/sampler_weights/named"
    sampler = world.sampler(service=world.connect(), model_path=path)
    close(sampler.compute_logprobs(prompt).result()[1:], expected[1:])
    assert sampler.get_base_model() == world.target.base
    mine = world.sampler(model_path=path)
    assert [list(s.tokens) for s in drawn(world, mine, temperature=0.0)] == [
        list(s.tokens) for s in drawn(world, sampler, temperature=0.0)
    ]


@check()
def a_base_model_can_be_sampled_beside_another(world: World) -> None:
    prompt = world.tokens(range(5, 14))
    one = base(world).compute_logprobs(prompt).result()
    other = world.sampler(base_model=world.target.other_base).compute_logprobs(prompt).result()
    assert max(abs(a - b) for a, b in zip(one[1:], other[1:], strict=True)) > 1e-3


@check()
def a_pickled_sampler_works(world: World) -> None:
    sampler = base(world)
    clone = pickle.loads(pickle.dumps(sampler))
    expected = drawn(world, sampler, temperature=0.0)[0].tokens
    assert list(drawn(world, clone, temperature=0.0)[0].tokens) == list(expected)


@check(NEW)
def a_sampler_is_handed_on_as_text(world: World) -> None:
    sampler = base(world)
    handle = sampler.get_sampler_handle()
    other = world.package.SamplingClient.from_sampler_handle(handle, api_key=world.target.key)
    expected = drawn(world, sampler, temperature=0.0)[0].tokens
    assert list(drawn(world, other, temperature=0.0)[0].tokens) == list(expected)


@check(NEW)
def every_sequence_has_an_id_of_its_own(world: World) -> None:
    found = drawn(world, base(world), 5)
    assert len({sequence.sequence_id for sequence in found}) == 5


@check(NEW)
def an_output_that_is_not_served_is_an_error_and_not_a_silence(world: World) -> None:
    sampler = base(world)
    with refused(RuntimeError, world.package.TinkerError):
        sampler.sample(world.tokens(PROMPT), 1, world.sampling(), prompt_alt_tokens_k=3).result()
    assert drawn(world, sampler)


@check()
def many_requests_at_once_are_answered_each_with_its_own(world: World) -> None:
    sampler = base(world)
    params = world.sampling(6, temperature=0.0, stop=[])
    prompts = [[5 + i, 6 + i, 7 + i] for i in range(40)]
    together = [sampler.sample(world.tokens(one), 1, params) for one in prompts]
    found = [list(one.result().sequences[0].tokens) for one in together]
    alone = [
        list(sampler.sample(world.tokens(one), 1, params).result().sequences[0].tokens)
        for one in prompts[::8]
    ]
    assert found[::8] == alone
    assert len({tuple(one) for one in found}) > 5
