"""The sampling loop, against transformers' own generate and a recomputation without a cache."""

from __future__ import annotations

import pytest
import torch
from mint_runtime.model.lora import new_adapter
from mint_runtime.sampler.generate import Draw, generate
from mint_runtime.sampler.stop import StopRule
from support.tiny import shake
from transformers import AutoModelForCausalLM

PROMPT = torch.arange(5, 25)
# A cache changes the shapes of the products, nothing else.
TOLERANCE = 1e-5


def draw(**changes):
    settings = {
        "num_samples": 1,
        "max_tokens": 24,
        "temperature": 1.0,
        "top_k": -1,
        "top_p": 1.0,
        "seed": 0,
        "stop": StopRule(),
    }
    return Draw(**{**settings, **changes})


def tokens_of(generation):
    return [sequence.tokens for sequence in generation.continuations]


def recomputed_logprobs(base, sequence, temperature=1.0):
    """Return the log-probability of each sampled token from one pass over the whole text."""
    text = torch.cat([PROMPT, torch.tensor(sequence.tokens)])
    with torch.no_grad():
        logp = (base.unembed(base.hidden(text[None]))[0] / temperature).log_softmax(dim=1)
    return logp[len(PROMPT) - 1 : -1].gather(1, torch.tensor(sequence.tokens)[:, None])[:, 0]


def test_greedy_equals_transformers_generate(base, tiny_directory):
    plain = AutoModelForCausalLM.from_pretrained(tiny_directory, dtype=torch.float32).eval()
    expected = plain.generate(
        PROMPT[None],
        attention_mask=torch.ones_like(PROMPT)[None],
        max_new_tokens=24,
        do_sample=False,
        eos_token_id=-1,
    )

    found = generate(base, PROMPT, draw(temperature=0.0))

    assert tokens_of(found) == [expected[0, len(PROMPT) :].tolist()]


@pytest.mark.parametrize("temperature", [1.0, 0.5, 2.0])
def test_log_probabilities_equal_a_pass_over_the_whole_text(base, temperature):
    adapter = new_adapter(base.layers, rank=4, groups=frozenset({"attn", "unembed"}), seed=0)
    shake(adapter)
    with base.use(adapter):
        found = generate(base, PROMPT, draw(num_samples=3, temperature=temperature))
        for sequence in found.continuations:
            expected = recomputed_logprobs(base, sequence, temperature)
            torch.testing.assert_close(
                torch.tensor(sequence.logprobs), expected, atol=TOLERANCE, rtol=0
            )


def test_greedy_log_probabilities_are_unscaled(base):
    (sequence,) = generate(base, PROMPT, draw(temperature=0.0)).continuations

    torch.testing.assert_close(
        torch.tensor(sequence.logprobs),
        recomputed_logprobs(base, sequence),
        atol=TOLERANCE,
        rtol=0,
    )


def test_same_seed_repeats_and_samples_of_one_request_differ(base):
    first = tokens_of(generate(base, PROMPT, draw(num_samples=4, seed=3)))
    again = tokens_of(generate(base, PROMPT, draw(num_samples=4, seed=3)))

    assert first == again
    assert len({tuple(tokens) for tokens in first}) == 4


def test_a_sample_does_not_depend_on_its_companions(base):
    alone = tokens_of(generate(base, PROMPT, draw(num_samples=1, seed=3)))
    together = tokens_of(generate(base, PROMPT, draw(num_samples=4, seed=3)))

    assert together[0] == alone[0]


def test_sequences_that_stop_leave_the_others_undisturbed(base):
    free = tokens_of(generate(base, PROMPT, draw(num_samples=4, seed=3)))
    stops = frozenset({free[0][4], free[2][9]})

    found = generate(base, PROMPT, draw(num_samples=4, seed=3, stop=StopRule(tokens=stops)))

    for sequence, tokens in zip(found.continuations, free, strict=True):
        end = next((place for place, token in enumerate(tokens, 1) if token in stops), None)
        assert sequence.tokens == tokens[:end]
        assert sequence.is_stopped == (end is not None)
        torch.testing.assert_close(
            torch.tensor(sequence.logprobs),
            recomputed_logprobs(base, sequence),
            atol=TOLERANCE,
            rtol=0,
        )


def test_zero_tokens_give_empty_continuations(base):
    (sequence,) = generate(base, PROMPT, draw(max_tokens=0)).continuations

    assert (sequence.tokens, sequence.is_stopped) == ([], False)


def test_prompt_log_probabilities_start_at_the_second_token(base):
    with torch.no_grad():
        logp = base.unembed(base.hidden(PROMPT[None]))[0].log_softmax(dim=1)
    expected = logp[:-1].gather(1, PROMPT[1:, None])[:, 0]

    found = generate(base, PROMPT, draw(max_tokens=1, prompt_logprobs=True, num_top_prompt=3))

    torch.testing.assert_close(
        torch.tensor(found.prompt_logprobs), expected, atol=TOLERANCE, rtol=0
    )
    best = logp[:-1].topk(3, dim=1)
    assert [[token for token, _ in row] for row in found.top_prompt] == best.indices.tolist()


def test_prompt_of_one_token_has_no_log_probabilities(base):
    found = generate(base, PROMPT[:1], draw(max_tokens=1, prompt_logprobs=True, num_top_prompt=2))

    assert (found.prompt_logprobs, found.top_prompt) == ([], [])
