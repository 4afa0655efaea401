"""Recorded completions come back in order, with the log-probabilities of a training step."""

from __future__ import annotations

import json

import pytest
import torch
from mint_runtime.errors import UserError
from mint_runtime.sampler.logits import Choice
from mint_runtime.sampler.replay import Replay, ReplayScheduler
from mint_runtime.sampler.stop import StopRule
from support.sampling import Asked, adapter, ask, limits
from support.tiny import logits

# A pass over several texts computes what one over each does, in kernels of other shapes.
TOLERANCE = 1e-5
STOP = StopRule(tokens=frozenset({2}))


def recorded(path, *lines):
    """Write (step, prompt, completion) lines and return the file."""
    keys = ("step", "prompt", "completion")
    path.write_text(
        "".join(json.dumps(dict(zip(keys, line, strict=True))) + "\n" for line in lines)
    )
    return path


def scheduler(base, path):
    return ReplayScheduler(base, Replay(path), limits())


def by_hand(base, prompt, tokens, used=None, temperature=1.0):
    """Return log-probabilities from the logits of one text."""
    logits_TV = logits(base, torch.tensor([*prompt, *tokens]), used) / temperature
    logp_TV = logits_TV.log_softmax(dim=1)[len(prompt) - 1 : -1]
    return logp_TV.gather(1, torch.tensor(tokens)[:, None])[:, 0].tolist()


def test_completions_of_a_prompt_are_taken_in_their_order(base, tmp_path):
    path = recorded(
        tmp_path / "r.jsonl",
        (0, [5, 6], [7, 2]),
        (0, [5, 9], [8, 8, 2]),
        (0, [5, 6], [9, 2]),
        (1, [5, 6], [4, 2]),
    )
    replay = scheduler(base, path)
    one, two, other = (Asked(p, stop=STOP, num_samples=n) for p, n in
                       (([5, 6], 2), ([5, 6], 1), ([5, 9], 1)))  # fmt: skip
    ask(replay, one, two, other)
    assert one.tokens == [[7, 2], [9, 2]]
    assert two.tokens == [[4, 2]]
    assert other.tokens == [[8, 8, 2]]


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_log_probabilities_are_those_of_the_samplers_adapter(base, tmp_path, temperature):
    prompt, tokens = [5, 6, 7], [[11, 12, 2], [9, 2]]
    used = adapter(base, 3)
    path = recorded(tmp_path / "r.jsonl", *((0, prompt, each) for each in tokens))
    asked = Asked(
        prompt, adapter=used, stop=STOP, num_samples=2, choice=Choice(temperature=temperature)
    )
    ask(scheduler(base, path), asked)
    for found, each in zip(asked.logprobs, tokens, strict=True):
        assert found == pytest.approx(
            by_hand(base, prompt, each, used, temperature), abs=TOLERANCE, rel=0
        )
    assert asked.logprobs[1] != pytest.approx(by_hand(base, prompt, tokens[1]), abs=1e-3)


def test_the_reason_is_stop_at_a_stop_token_and_length_at_the_limit(base, tmp_path):
    path = recorded(tmp_path / "r.jsonl", (0, [5], [7, 2]), (0, [5], [7, 8, 9]))
    asked = Asked([5], stop=STOP, num_samples=2, max_tokens=3)
    ask(scheduler(base, path), asked)
    assert [each.stop_reason for each in asked.result.continuations] == ["stop", "length"]
    assert [(new.token, new.stop_reason) for new in asked.heard] == [
        *((7, None), (2, "stop"), (7, None), (8, None), (9, "length")),
    ]


@pytest.mark.parametrize(
    ("completion", "max_tokens", "text"),
    [
        ([7, 8, 9], 2, "has 3 tokens, but `max_tokens` is 2"),
        ([7, 2, 9], 3, "`stop` would have ended it after 2"),
        ([7, 8, 9], 4, "ends with none of `stop`, and `max_tokens` is 4"),
    ],
)
def test_what_the_request_could_not_have_drawn_is_refused(
    base, tmp_path, completion, max_tokens, text
):
    path = recorded(tmp_path / "r.jsonl", (3, [5], completion))
    with pytest.raises(UserError, match="recorded in step 3") as caught:
        scheduler(base, path).add(Asked([5], stop=STOP, max_tokens=max_tokens).request)
    assert text in str(caught.value)


def test_a_prompt_that_was_never_continued_is_refused_with_what_comes_next(base, tmp_path):
    path = recorded(tmp_path / "r.jsonl", (0, [5], [2]), (4, [5, 6], [2]))
    replay = scheduler(base, path)
    ask(replay, Asked([5], stop=STOP))
    with pytest.raises(UserError) as caught:
        replay.add(Asked([8, 9], stop=STOP).request)
    assert "the prompt of 2 tokens that ends with [8, 9] was never continued" in str(caught.value)
    assert "next in it is step 4, with a prompt of 2 tokens that ends with [5, 6]" in str(
        caught.value
    )


def test_completions_that_are_used_up_are_refused(base, tmp_path):
    replay = scheduler(base, recorded(tmp_path / "r.jsonl", (0, [5], [2]), (2, [5], [2])))
    ask(replay, Asked([5], stop=STOP))
    with pytest.raises(UserError) as caught:
        replay.add(Asked([5], stop=STOP, num_samples=2).request)
    assert "continued 2 times" in str(caught.value)
    assert "in steps 0 to 2; 2 completions were asked for and 1 are left" in str(caught.value)


@pytest.mark.parametrize("line", ["{", "[]", '{"step": 0, "prompt": [1]}', '{"step": "x"}'])
def test_a_line_that_is_no_completion_is_refused_with_its_number(base, tmp_path, line):
    path = recorded(tmp_path / "r.jsonl", (0, [5], [2]))
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(UserError, match="line 2 is not a JSON object"):
        scheduler(base, path).add(Asked([5]).request)


def test_without_the_file_a_scheduler_draws(base, tmp_path):
    asked = Asked([5, 6], max_tokens=4)
    ask(scheduler(base, tmp_path / "later.jsonl"), asked)
    assert len(asked.tokens[0]) == 4


def test_a_request_about_its_prompt_uses_no_completion_up(base, tmp_path):
    replay = scheduler(base, recorded(tmp_path / "r.jsonl", (0, [5, 6, 7], [2])))
    about = Asked([5, 6, 7], max_tokens=1, prompt_logprobs=True)
    drawn = Asked([5, 6, 7], stop=STOP)
    ask(replay, about, drawn)
    assert about.result.prompt_logprobs == pytest.approx(
        by_hand(base, [5], [6, 7]), abs=TOLERANCE, rel=0
    )
    assert drawn.tokens == [[2]]


def test_a_failed_engine_fails_recorded_requests_too(base, tmp_path):
    replay = scheduler(base, recorded(tmp_path / "r.jsonl", (0, [5], [2]), (0, [5], [2])))
    first, second = Asked([5], stop=STOP), Asked([5], stop=STOP)
    replay.add(first.request)
    replay.add(second.request)
    replay.cancel(first.request)
    replay.fail_all(UserError("over"))
    assert not first.is_answered
    assert str(second.error) == "over"
    assert not replay.has_work
