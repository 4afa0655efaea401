"""Sampling commands: checks, defaults and stop rules."""

from __future__ import annotations

from concurrent.futures import Future

import numpy as np
import pytest
from mint_runtime.engine.commands import Sample
from mint_runtime.engine.models import Sampler
from mint_runtime.engine.sampling import make_request
from mint_runtime.errors import UserError
from mint_runtime.model.load import BaseModel
from mint_runtime.sampler.schedule import Scheduler
from support.sampling import adapter, finish, limits
from support.tiny import VOCAB_SIZE

PROMPT = np.arange(5, 25)


def draw(base: BaseModel, tokens=PROMPT, **changes):
    command = Sample(sampler_id="s", tokens=tokens, **{"max_tokens": 16, "seed": 0, **changes})
    (result,) = answers(base, [(Sampler(base=base, adapter=None), command)])
    return result


def answers(base, asked):
    """Return the results of (sampler, command) pairs that run together."""
    scheduler = Scheduler(base, limits(cache_bytes=2**26))
    futures = []
    for sampler, command in asked:
        future = Future()
        future.set_running_or_notify_cancel()
        scheduler.add(make_request(sampler, command, future))
        futures.append(future)
    finish(scheduler)
    return [future.result(timeout=0) for future in futures]


def free_tokens(base, **changes):
    """Return what is sampled when nothing stops it."""
    return draw(base, stop_tokens=(), **changes).sequences[0].tokens.tolist()


def find_seed_reaching(base, wanted, num_tokens=200):
    """Return a seed whose free sample contains a wanted token, and how many tokens it takes."""
    for seed in range(200):
        tokens = free_tokens(base, seed=seed, max_tokens=num_tokens)
        for count, token in enumerate(tokens, start=1):
            if token in wanted:
                return seed, count
    raise AssertionError("no seed reaches the wanted tokens")


def test_without_stop_rules_the_models_end_of_sequence_stops(base):
    seed, count = find_seed_reaching(base, base.eos_tokens)

    (sequence,) = draw(base, seed=seed, max_tokens=200).sequences

    assert sequence.stop_reason == "stop"
    assert len(sequence.tokens) == count
    assert sequence.tokens[-1] in base.eos_tokens
    assert len(sequence.logprobs) == count


def test_empty_stop_tokens_never_stop_early(base):
    seed, _ = find_seed_reaching(base, base.eos_tokens)

    (sequence,) = draw(base, seed=seed, max_tokens=200, stop_tokens=()).sequences

    assert (len(sequence.tokens), sequence.stop_reason) == (200, "length")


def test_given_stop_tokens_replace_the_end_of_sequence(base):
    seed, count = find_seed_reaching(base, base.eos_tokens)
    tokens = free_tokens(base, seed=seed, max_tokens=count + 5)

    (sequence,) = draw(base, seed=seed, max_tokens=200, stop_tokens=(tokens[-1],)).sequences

    assert sequence.tokens.tolist() == tokens[: tokens.index(tokens[-1]) + 1]


def test_stop_string_ends_with_the_token_that_completes_it(base):
    tokens = free_tokens(base)
    words = [base.tokenizer.decode([token]) for token in tokens]
    place = next(index for index in range(4, 16) if words[index].isascii())
    # It begins in the token before, so no single token gives it away.
    string = words[place - 1][-1:] + words[place]

    (sequence,) = draw(base, stop_strings=(string,)).sequences

    assert len(string) > 1
    assert sequence.tokens.tolist() == tokens[: place + 1]
    assert sequence.stop_reason == "stop"


def test_end_of_sequence_still_stops_beside_stop_strings(base):
    seed, count = find_seed_reaching(base, base.eos_tokens)

    (sequence,) = draw(base, seed=seed, max_tokens=200, stop_strings=("\0never\0",)).sequences

    assert len(sequence.tokens) == count


def test_no_limit_fills_the_context(base):
    prompt = np.full(base.max_context_length - 3, 7)

    (sequence,) = draw(base, prompt, max_tokens=None, stop_tokens=()).sequences

    assert (len(sequence.tokens), sequence.stop_reason) == (3, "length")


def test_prompt_lists_have_prompt_length_and_none_first(base):
    result = draw(base, max_tokens=1, topk_prompt_logprobs=2)

    assert len(result.prompt_logprobs) == len(result.topk_prompt_logprobs) == len(PROMPT)
    assert result.prompt_logprobs[0] is result.topk_prompt_logprobs[0] is None
    assert all(len(row) == 2 for row in result.topk_prompt_logprobs[1:])


def test_prompt_lists_are_absent_unless_asked(base):
    result = draw(base, max_tokens=1)

    assert (result.prompt_logprobs, result.topk_prompt_logprobs) == (None, None)


def test_prompt_log_probabilities_ignore_the_temperature(base):
    cold = draw(base, max_tokens=1, prompt_logprobs=True, temperature=0.1)
    warm = draw(base, max_tokens=1, prompt_logprobs=True, temperature=1.0)

    assert cold.prompt_logprobs == warm.prompt_logprobs


def test_arrays_have_the_promised_types(base):
    (sequence,) = draw(base).sequences

    assert (sequence.tokens.dtype, sequence.logprobs.dtype) == (np.int64, np.float32)


def test_listener_is_told_each_token_before_the_result(base):
    heard = []

    result = draw(base, num_samples=2, max_tokens=3, stop_tokens=(), listener=heard.append)

    assert [[new.token for new in heard if new.sequence == index] for index in range(2)] == [
        sequence.tokens.tolist() for sequence in result.sequences
    ]
    assert [new.stop_reason for new in heard if new.sequence == 1] == [None, None, "length"]


def test_samplers_run_side_by_side_each_with_its_own_weights(base):
    samplers = [Sampler(base=base, adapter=each) for each in (None, adapter(base, 1))]
    command = Sample(sampler_id="s", tokens=PROMPT, max_tokens=8, temperature=0.0, stop_tokens=())
    alone = [answers(base, [(sampler, command)])[0] for sampler in samplers]

    together = answers(base, [(sampler, command) for sampler in samplers])

    found = [result.sequences[0].tokens.tolist() for result in together]
    assert found == [result.sequences[0].tokens.tolist() for result in alone]
    assert found[0] != found[1]


def test_cached_tokens_of_the_prompt_are_reported(base):
    command = Sample(sampler_id="s", tokens=PROMPT, max_tokens=1)
    sampler = Sampler(base=base, adapter=None)

    first, second = answers(base, [(sampler, command)] * 2)

    # All whole pages of 4 before the last token.
    assert (first.prompt_cache_hit_tokens, second.prompt_cache_hit_tokens) == (0, 16)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"num_samples": 0}, "`num_samples` is 0"),
        ({"num_samples": 10**9, "max_tokens": 0}, "`num_samples` is 1000000000; it must be 1 to"),
        ({"temperature": -0.1}, "`temperature` is -0.1"),
        ({"temperature": float("nan")}, "`temperature` is nan"),
        ({"top_p": 0.0}, r"`top_p` is 0\.0"),
        ({"top_p": 1.5}, r"`top_p` is 1\.5"),
        ({"top_k": -2}, "`top_k` is -2"),
        ({"max_tokens": -1}, "`max_tokens` is -1"),
        ({"max_tokens": 10**6}, "`max_tokens` is 1000000; after a prompt of 20 tokens"),
        ({"topk_prompt_logprobs": VOCAB_SIZE + 1}, "`topk_prompt_logprobs` is 513"),
        ({"stop_strings": ("a", "")}, "`stop` holds an empty string"),
        ({"tokens": np.array([1, VOCAB_SIZE])}, "`prompt` holds 512 at position 1"),
        ({"tokens": np.zeros(0, dtype=np.int64)}, r"`prompt` has shape \[0\]"),
        ({"tokens": np.zeros(9000, dtype=np.int64)}, "the prompt has 9000 tokens"),
    ],
)
def test_parameters_out_of_range_are_named(base, changes, sentence):
    with pytest.raises(UserError, match=sentence):
        draw(base, **changes)
