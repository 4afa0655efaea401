"""What is sampled is what transformers samples one at a time, whatever runs beside it."""

from __future__ import annotations

import pytest
import torch
from mint_runtime.sampler.logits import Choice
from mint_runtime.sampler.stop import StopRule
from support.sampling import (
    GREEDY,
    Asked,
    adapter,
    ask,
    greedy_by_hand,
    prompts,
    scheduler_of,
)
from support.tiny import build_small, load, logits
from transformers import AutoModelForCausalLM

# A cache changes the shapes of the products, nothing else.
TOLERANCE = 1e-5
LENGTHS = (5, 20, 1, 33, 12, 4, 20)
CRAMPED = {"num_pages": 16}


def generated(directory, prompt, num_tokens):
    """Continue a prompt with transformers alone."""
    plain = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32).eval()
    prompt_1T = torch.tensor(prompt)[None]
    plain.generation_config.eos_token_id = None
    plain.generation_config.pad_token_id = 0
    text = plain.generate(
        prompt_1T,
        attention_mask=torch.ones_like(prompt_1T),
        max_new_tokens=num_tokens,
        do_sample=False,
    )
    return text[0, len(prompt) :].tolist()


def recomputed(base, prompt, tokens, *, temperature=1.0, adapter=None):
    """Return the log-probability of each token from one pass over the whole text."""
    logits_TV = logits(base, torch.tensor(prompt + tokens), adapter) / temperature
    logp_TV = logits_TV.log_softmax(dim=1)[len(prompt) - 1 : -1]
    return logp_TV.gather(1, torch.tensor(tokens)[:, None])[:, 0].tolist()


def assert_close(found, expected):
    torch.testing.assert_close(torch.tensor(found), torch.tensor(expected), atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize(
    "room",
    [{}, {"max_step_tokens": 7}, CRAMPED, {"max_rows": 2}],
    ids=["roomy", "prompts in pieces", "set back", "two at a time"],
)
def test_greedy_equals_transformers_generate(base, tiny_directory, room):
    asked = [Asked(prompt, choice=GREEDY, max_tokens=24) for prompt in prompts(LENGTHS)]

    ask(scheduler_of(base, **room), *asked)

    for each in asked:
        prompt = each.request.prompt_T.tolist()
        assert each.tokens == [generated(tiny_directory, prompt, 24)]


@pytest.mark.parametrize(
    "architecture", ["gemma3", "llama3", "mistral_sliding", "qwen2", "qwen3_moe"]
)
def test_other_families_equal_transformers_generate(tmp_path, architecture):
    # 40 and more tokens, so that windows of 16 have passed the prompt.
    directory = build_small(tmp_path / architecture, architecture)
    base = load(directory)
    asked = [Asked(prompt, choice=GREEDY, max_tokens=24) for prompt in prompts((3, 30, 17))]

    ask(scheduler_of(base, max_step_tokens=11), *asked)

    for each in asked:
        prompt = each.request.prompt_T.tolist()
        assert each.tokens == [generated(directory, prompt, 24)]


@pytest.mark.parametrize("room", [{}, {"max_step_tokens": 9}, CRAMPED])
def test_adapters_and_the_base_model_run_side_by_side(base, room):
    adapters = [None, adapter(base, 1), adapter(base, 2, rank=8)]
    asked = [
        Asked(prompt, adapter=adapters[index % 3], choice=GREEDY)
        for index, prompt in enumerate(prompts(LENGTHS))
    ]

    ask(scheduler_of(base, **room), *asked)

    for each in asked:
        expected = greedy_by_hand(
            lambda text, each=each: logits(base, text, each.request.adapter),
            each.request.prompt_T.tolist(),
            16,
        )
        assert each.tokens == [expected]


def test_snapshot_keeps_its_answers_while_its_model_trains_on(base):
    training = adapter(base, 1)
    snapshot = training.frozen_copy()
    scheduler = scheduler_of(base)
    before, after = (
        Asked(prompts((9,))[0], adapter=snapshot, num_samples=2, prompt_logprobs=True)
        for _ in range(2)
    )

    ask(scheduler, before)
    training.flat_P.add_(0.1)
    ask(scheduler, after)

    assert after.tokens == before.tokens
    assert_close(after.result.prompt_logprobs, before.result.prompt_logprobs)


def test_cramped_cache_really_sets_sequences_back(base):
    scheduler = scheduler_of(base, **CRAMPED)
    asked = [Asked(prompt, max_tokens=24) for prompt in prompts((5, 5, 5))]
    for each in asked:
        scheduler.add(each.request)
    were_running = 0
    is_set_back = False
    while scheduler.has_work:
        scheduler.step()
        stats = scheduler.stats
        is_set_back |= stats.num_running + sum(each.is_answered for each in asked) < were_running
        were_running = max(were_running, stats.num_running)

    assert is_set_back


@pytest.mark.parametrize("temperature", [1.0, 0.5, 2.0, 0.0])
@pytest.mark.parametrize("room", [{}, CRAMPED])
def test_log_probabilities_equal_a_pass_over_the_whole_text(base, temperature, room):
    trained = adapter(base, 1)
    asked = [
        Asked(prompt, adapter=trained, num_samples=3, choice=Choice(temperature=temperature))
        for prompt in prompts((20, 7))
    ]

    ask(scheduler_of(base, **room), *asked)

    for each in asked:
        prompt = each.request.prompt_T.tolist()
        for tokens, logprobs in zip(each.tokens, each.logprobs, strict=True):
            expected = recomputed(
                base, prompt, tokens, temperature=temperature or 1.0, adapter=trained
            )
            assert_close(logprobs, expected)


@pytest.mark.parametrize(
    "room",
    [{}, {"max_step_tokens": 5}, CRAMPED, {"max_rows": 3}, {"page_size": 64}],
    ids=["roomy", "prompts in pieces", "set back", "three at a time", "one page"],
)
def test_seeded_samples_do_not_depend_on_what_else_runs(base, room):
    prompt, *others = prompts((14, 20, 3, 9))
    choice = Choice(temperature=1.3, top_p=0.95)
    alone = [Asked(prompt, num_samples=count, seed=3, choice=choice) for count in (5, 2)]
    for each in alone:
        ask(scheduler_of(base), each)
    together = Asked(prompt, num_samples=5, seed=3, choice=choice)
    crowd = [Asked(text, num_samples=3, seed=None, choice=Choice(top_k=3)) for text in others]

    ask(scheduler_of(base, **room), crowd[0], together, *crowd[1:])

    assert together.tokens == alone[0].tokens
    assert alone[0].tokens[:2] == alone[1].tokens
    assert len({tuple(tokens) for tokens in together.tokens}) == 5


def test_more_samples_than_rows_are_drawn_in_turns(base):
    prompt = prompts((9,))[0]
    wide, narrow = (Asked(prompt, num_samples=12, max_tokens=5) for _ in range(2))

    ask(scheduler_of(base), wide)
    ask(scheduler_of(base, max_rows=4), narrow)

    assert narrow.tokens == wide.tokens


@pytest.mark.parametrize("is_chunked", [False, True])
def test_prompt_log_probabilities_equal_a_pass_over_the_prompt(base, is_chunked):
    prompt = prompts((30,))[0]
    trained = adapter(base, 1)
    each = Asked(prompt, adapter=trained, prompt_logprobs=True, num_top_prompt=3, num_samples=2)
    logp = logits(base, torch.tensor(prompt), trained).log_softmax(dim=1)[:-1]
    scheduler = scheduler_of(base, **({"max_step_tokens": 7} if is_chunked else {}))
    # What is in the cache has no hidden states to report from.
    ask(scheduler, Asked(prompt, adapter=trained))

    ask(scheduler, each)

    assert_close(
        each.result.prompt_logprobs,
        logp.gather(1, torch.tensor(prompt[1:])[:, None])[:, 0].tolist(),
    )
    best = logp.topk(3, dim=1)
    assert [[token for token, _ in row] for row in each.result.top_prompt] == best.indices.tolist()
    assert_close(
        [[value for _, value in row] for row in each.result.top_prompt], best.values.tolist()
    )
    assert each.result.num_cached == 0


def test_prompt_log_probabilities_are_whole_when_set_back_in_the_prompt(base):
    first, second = prompts((20, 40))
    early = Asked(first, max_tokens=40)
    late = Asked(second, prompt_logprobs=True, max_tokens=1)

    ask(scheduler_of(base, num_pages=16, max_step_tokens=4), early, late)

    logp = logits(base, torch.tensor(second)).log_softmax(dim=1)[:-1]
    expected = logp.gather(1, torch.tensor(second[1:])[:, None])[:, 0].tolist()
    assert_close(late.result.prompt_logprobs, expected)


def test_prompt_of_one_token_has_no_log_probabilities(base):
    each = Asked([7], prompt_logprobs=True, num_top_prompt=2)

    ask(scheduler_of(base), each)

    assert (each.result.prompt_logprobs, each.result.top_prompt) == ([], [])


@pytest.mark.parametrize("with_prompt", [False, True])
def test_zero_tokens_give_empty_continuations(base, with_prompt):
    each = Asked(prompts((9,))[0], max_tokens=0, num_samples=2, prompt_logprobs=with_prompt)

    ask(scheduler_of(base), each)

    assert each.tokens == [[], []]
    assert [sequence.stop_reason for sequence in each.result.continuations] == ["length"] * 2
    assert each.heard == []
    assert (each.result.prompt_logprobs is not None) == with_prompt


def test_sequences_that_stop_leave_the_others_undisturbed(base):
    prompt = prompts((20,))[0]
    free = Asked(prompt, num_samples=4)
    ask(scheduler_of(base), free)
    stops = frozenset({free.tokens[0][4], free.tokens[2][9]})
    stopped = Asked(prompt, num_samples=4, stop=StopRule(tokens=stops))

    ask(scheduler_of(base), stopped)

    for sequence, tokens in zip(stopped.result.continuations, free.tokens, strict=True):
        end = next((place for place, token in enumerate(tokens, 1) if token in stops), None)
        assert sequence.tokens == tokens[:end]
        assert sequence.stop_reason == ("length" if end is None else "stop")


def test_listener_hears_every_token_in_order_and_how_it_ended(base):
    each = Asked(prompts((9,))[0], num_samples=3)

    ask(scheduler_of(base), each)

    for index, sequence in enumerate(each.result.continuations):
        heard = [new for new in each.heard if new.sequence == index]
        assert [new.token for new in heard] == sequence.tokens
        assert [new.logprob for new in heard] == sequence.logprobs
        assert [new.stop_reason for new in heard] == [None] * 15 + ["length"]
