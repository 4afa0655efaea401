"""What the scheduler computes once and keeps, shares and frees."""

from __future__ import annotations

import pytest
from support.sampling import (
    GREEDY,
    PAGE,
    Asked,
    adapter,
    ask,
    finish,
    prompts,
    scheduler_of,
)

LENGTHS = (5, 20, 1, 33, 12, 4, 20)
CRAMPED = {"num_pages": 16}


def test_prompt_that_was_seen_before_is_not_computed_again(base):
    prompt = prompts((4 * PAGE + 2,))[0]
    first, again = (Asked(prompt, choice=GREEDY) for _ in range(2))
    longer = Asked([*prompt, 5, 6, 7], choice=GREEDY)
    fresh = Asked([*prompt, 5, 6, 7], choice=GREEDY)
    scheduler = scheduler_of(base)

    ask(scheduler, first)
    ask(scheduler, again)
    ask(scheduler, longer)
    ask(scheduler_of(base), fresh)

    cached = [each.result.num_cached for each in (first, again, longer)]
    assert cached == [0, 4 * PAGE, 4 * PAGE]
    assert again.tokens == first.tokens
    assert longer.tokens == fresh.tokens
    assert scheduler.stats.cached_prompt_tokens == 8 * PAGE
    assert scheduler.stats.prompt_tokens == 3 * len(prompt) + 3


def test_whole_prompt_in_pages_still_computes_its_last_token(base):
    prompt = prompts((4 * PAGE,))[0]
    first, again = (Asked(prompt, choice=GREEDY) for _ in range(2))
    scheduler = scheduler_of(base)

    ask(scheduler, first)
    ask(scheduler, again)

    assert again.result.num_cached == 3 * PAGE
    assert again.tokens == first.tokens


def test_reply_is_cached_for_the_next_turn(base):
    prompt = prompts((2 * PAGE,))[0]
    first = Asked(prompt, choice=GREEDY, max_tokens=2 * PAGE)
    scheduler = scheduler_of(base)
    ask(scheduler, first)
    turn = [*prompt, *first.tokens[0], 9, 9]
    second, fresh = Asked(turn, choice=GREEDY), Asked(turn, choice=GREEDY)

    ask(scheduler, second)
    ask(scheduler_of(base), fresh)

    # The last token of a reply is never computed, so its page is not full.
    assert second.result.num_cached == 3 * PAGE
    assert second.tokens == fresh.tokens


def test_adapters_share_nothing(base):
    prompt = prompts((20,))[0]
    adapters = [adapter(base, 1), adapter(base, 1), None]
    asked = [Asked(prompt, adapter=each) for each in adapters]
    scheduler = scheduler_of(base)

    for each in asked:
        ask(scheduler, each)

    assert [each.result.num_cached for each in asked] == [0, 0, 0]


def test_forgotten_adapter_frees_its_pages_and_running_requests_go_on(base):
    prompt = prompts((20,))[0]
    trained = adapter(base, 1)
    scheduler = scheduler_of(base)
    first, second = (Asked(prompt, adapter=trained, choice=GREEDY) for _ in range(2))
    ask(scheduler, first)
    scheduler.add(second.request)
    scheduler.step()

    scheduler.forget(trained)

    assert scheduler.stats.num_cached_pages == 0
    finish(scheduler)
    assert second.tokens == first.tokens
    assert scheduler.stats.num_used_pages == 0


def test_prompts_that_begin_alike_and_come_together_are_computed_once(base):
    beginning, *ends = prompts((8 * PAGE, 3, 5, 4))
    asked = [Asked(beginning + end, choice=GREEDY) for end in ends]

    ask(scheduler_of(base, max_step_tokens=3 * PAGE), *asked)

    assert [each.result.num_cached for each in asked] == [0, 8 * PAGE, 8 * PAGE]
    for each in asked:
        alone = Asked(each.request.prompt_T.tolist(), choice=GREEDY)
        ask(scheduler_of(base), alone)
        assert each.tokens == alone.tokens


def test_samples_of_one_prompt_share_its_pages(base):
    scheduler = scheduler_of(base)
    scheduler.add(Asked(prompts((10 * PAGE + 1,))[0], num_samples=8).request)

    scheduler.step()
    scheduler.step()

    # Ten whole pages once, and for each sample the page it writes to.
    assert scheduler.stats.num_running == 8
    assert scheduler.stats.num_used_pages == 10 + 8


@pytest.mark.parametrize("room", [{}, CRAMPED, {"max_rows": 2}])
def test_no_page_is_held_when_everything_has_ended(base, room):
    scheduler = scheduler_of(base, **room)
    asked = [
        Asked(prompt, num_samples=3, prompt_logprobs=index == 2)
        for index, prompt in enumerate(prompts(LENGTHS))
    ]

    ask(scheduler, *asked)

    stats = scheduler.stats
    assert stats.num_used_pages == stats.num_cached_pages
    scheduler.forget(None)
    assert scheduler.stats.num_used_pages == 0


def test_small_request_is_not_kept_waiting_by_a_large_one(base):
    large = Asked(prompts((5,))[0], num_samples=200)
    small = Asked(prompts((5,), seed=1)[0])
    scheduler = scheduler_of(base, max_rows=8)
    scheduler.add(large.request)
    scheduler.step()
    scheduler.add(small.request)

    for _ in range(16):
        scheduler.step()

    assert small.is_answered
    assert not large.is_answered
    finish(scheduler)
    assert len(large.tokens) == 200


def test_counters_say_what_was_done(base):
    scheduler = scheduler_of(base)
    scheduler.add(Asked(prompts((9,))[0], num_samples=3, max_tokens=4).request)
    assert scheduler.stats.num_waiting == 3

    finish(scheduler)

    stats = scheduler.stats
    assert (stats.sampled_tokens, stats.prompt_tokens, stats.num_decode_steps) == (12, 9, 4)
