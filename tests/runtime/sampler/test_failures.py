"""What goes wrong with one request, and what the others notice of it: nothing."""

from __future__ import annotations

import pytest
from mint_runtime.errors import UserError
from mint_runtime.sampler.schedule import Scheduler
from mint_runtime.sampler.stop import StopRule
from support.sampling import GREEDY, Asked, adapter, ask, finish, limits, prompts, scheduler_of


def test_request_that_can_never_fit_is_refused(base):
    scheduler = scheduler_of(base, num_pages=4)
    each = Asked(prompts((10,))[0], max_tokens=7)

    with pytest.raises(UserError, match="17 tokens together; this server has memory for 16"):
        scheduler.add(each.request)

    assert not scheduler.has_work
    assert not each.is_answered


def test_cache_without_room_for_a_page_is_refused(base):
    with pytest.raises(UserError, match="do not hold one page of 4 tokens"):
        Scheduler(base, limits(cache_bytes=100))


class FailingOnce:
    """Decodes nothing, and not even that the first time."""

    def __init__(self):
        self.has_failed = False

    def __call__(self, tokens):
        if self.has_failed:
            return ""
        self.has_failed = True
        raise ValueError("no text today")


@pytest.mark.parametrize("max_tokens", [1, 8])
def test_request_whose_stop_rule_raises_fails_alone(base, max_tokens):
    first, second = prompts((9, 9))
    rule = StopRule(strings=("x",), decode=FailingOnce())
    broken = Asked(first, num_samples=3, stop=rule, max_tokens=max_tokens)
    good = Asked(second, num_samples=2, max_tokens=max_tokens)
    scheduler = scheduler_of(base)

    ask(scheduler, broken, good)

    assert str(broken.error) == "no text today"
    assert len(good.tokens) == 2
    stats = scheduler.stats
    assert stats.num_used_pages == stats.num_cached_pages


def test_pass_that_raises_fails_its_requests_and_the_next_ones_run(base, monkeypatch):
    prompt = prompts((9,))[0]
    asked = [Asked(prompt), Asked(prompt)]
    scheduler = scheduler_of(base)
    monkeypatch.setattr(
        type(base), "hidden", lambda *_: (_ for _ in ()).throw(RuntimeError("no memory"))
    )
    ask(scheduler, asked[0])
    monkeypatch.undo()

    ask(scheduler, asked[1])

    assert str(asked[0].error) == "no memory"
    assert len(asked[1].tokens[0]) == 16


def test_diverged_adapter_fails_alone_and_leaves_nothing_behind(base):
    diverged = adapter(base, 1)
    diverged.flat_P.fill_(float("nan"))
    first, second = prompts((9, 11))
    broken = Asked(first, adapter=diverged, num_samples=3)
    beside, after, alone = (Asked(second, choice=GREEDY) for _ in range(3))
    scheduler = scheduler_of(base, num_pages=12)

    ask(scheduler, broken, beside)
    ask(scheduler, after)
    ask(scheduler_of(base), alone)

    assert isinstance(broken.error, UserError)
    assert beside.tokens == after.tokens == alone.tokens


def test_answer_that_nobody_takes_disturbs_no_other_request(base):
    prompt, other = prompts((9, 9))
    gone, stays = Asked(prompt), Asked(other)
    scheduler = scheduler_of(base)
    gone.error = RuntimeError("answered already")

    ask(scheduler, gone, stays)

    assert gone.generation is None
    assert len(stays.tokens[0]) == 16


def test_cancelled_request_gets_no_answer_and_holds_nothing(base):
    gone, stays = (Asked(prompt, num_samples=3) for prompt in prompts((9, 9)))
    scheduler = scheduler_of(base)
    scheduler.add(gone.request)
    scheduler.add(stays.request)
    scheduler.step()
    scheduler.step()

    scheduler.cancel(gone.request)
    finish(scheduler)

    assert not gone.is_answered
    assert stays.is_answered
    stats = scheduler.stats
    assert stats.num_used_pages == stats.num_cached_pages


def test_failing_all_answers_running_and_waiting_requests(base):
    asked = [Asked(prompt, num_samples=3) for prompt in prompts((9, 9, 9))]
    scheduler = scheduler_of(base, max_rows=2)
    for each in asked:
        scheduler.add(each.request)
    scheduler.step()
    error = RuntimeError("closing")

    scheduler.fail_all(error)

    assert [each.error for each in asked] == [error] * 3
    assert not scheduler.has_work
    assert scheduler.stats.num_running == scheduler.stats.num_waiting == 0
