"""What is remembered of runs, and rates of counters."""

from __future__ import annotations

import pytest
from mint_runtime.observe.history import History
from mint_runtime.observe.metrics import Metrics
from mint_runtime.observe.rates import Rates


def test_a_step_has_the_loss_of_all_its_passes() -> None:
    history = History()
    for loss, weight in ((6.0, 2.0), (3.0, 1.0)):
        history.passed("m", loss_fn="ppo", tokens=10, loss=loss, weight=weight)
    assert history.stepped("m", learning_rate=0.1, grad_norm=2.0) == 3.0
    run = history.runs()["m"]
    assert (run.steps, run.tokens, run.loss, run.grad_norm) == (1, 20, 3.0, 2.0)
    assert run.curve == ((1.0, 3.0),)


def test_a_step_without_a_pass_has_no_loss_and_no_point() -> None:
    history = History()
    assert history.stepped("m", learning_rate=0.1, grad_norm=None) is None
    assert (history.runs()["m"].steps, history.runs()["m"].curve) == (1, ())


def test_passes_of_one_step_do_not_count_for_the_next() -> None:
    history = History()
    for loss in (8.0, 2.0):
        history.passed("m", loss_fn="ppo", tokens=1, loss=loss, weight=1.0)
        history.stepped("m", learning_rate=0.1, grad_norm=None)
    assert [value for _, value in history.runs()["m"].curve] == [8.0, 2.0]


def test_the_run_that_was_silent_longest_is_forgotten() -> None:
    history = History(max_runs=2)
    for name in ("a", "b", "a", "c"):
        history.passed(name, loss_fn="ppo", tokens=1, loss=1.0, weight=1.0)
    assert set(history.runs()) == {"a", "c"}


def test_the_latest_events_are_kept_newest_first() -> None:
    history = History(max_events=2)
    for name in "abc":
        history.event({"op": name})
    assert [event["op"] for event in history.events()] == ["c", "b"]


def test_rates_are_per_second_between_readings() -> None:
    rates = Rates(max_samples=2)
    for time, trained, sampled in ((0.0, 0, 0), (2.0, 10, 4), (3.0, 10, 5), (5.0, 30, 5)):
        rates.read(time, trained, sampled)
    assert [(one.trained, one.sampled) for one in rates.rates()] == [(0.0, 1.0), (10.0, 0.0)]


def test_a_second_reading_at_the_same_time_is_ignored() -> None:
    rates = Rates()
    for reading in ((1.0, 0, 0), (1.0, 9, 9), (2.0, 9, 9)):
        rates.read(*reading)
    assert [one.trained for one in rates.rates()] == [9.0]


@pytest.mark.parametrize("first", [True, False])
def test_models_with_a_series_are_few_and_the_silent_ones_go(first: bool) -> None:
    metrics = Metrics(max_models=2)
    for name in ("a", "b", *("a" for _ in range(first)), "c"):
        metrics.loss(name, 1.0)
    text = metrics.render({}, {}).decode()
    assert ('model="a"' in text, 'model="b"' in text) == (first, not first)
    assert 'model="c"' in text


def test_a_label_cannot_break_out_of_its_quotes() -> None:
    metrics = Metrics()
    metrics.loss('a"} 1\nforged 2', 1.0)
    assert "\nforged" not in metrics.render({}, {}).decode()
