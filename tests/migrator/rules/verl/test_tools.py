"""Conversations with tools: what the script holds itself, what it leaves to a person."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from mint_migrate.model.plan import Fidelity
from support.verl_launch import by_option, launched, script_of
from support.verl_tools import (
    AGENT,
    LAUNCH,
    TURNS,
    Adder,
    Letters,
    Params,
    Policy,
    call,
    config,
    played,
    taken,
)


def test_a_tool_answers_between_turns_and_only_the_turns_are_trained_on() -> None:
    sample, policy, tool = played([call(a=2, b=3), "five"], config())
    asked, answer = call(a=2, b=3), "[tool:5]>"
    assert policy.seen == ["P", f"P{asked}{answer}"]
    assert sample.text == f"{asked}{answer}five"
    assert "".join(map(chr, sample.tokens)) == f"{asked}five"
    assert [sample.dialog[place] for place in sample.own] == sample.tokens
    assert len(sample.logprobs) == len(sample.tokens)
    assert (sample.num_turns, sample.tool_rewards, tool.open) == (4, [0.5], [])


@pytest.mark.parametrize(
    ("changes", "turns", "num_turns"),
    [
        ({"max_assistant_turns": 1}, [call(a=1, b=1)], 2),
        ({"max_user_turns": 1}, [call(a=1, b=1), call(a=2, b=2)], 4),
        ({"max_response_length": 30}, [call(a=1, b=1)], 2),
        ({"max_response_length": len(call(a=1, b=1)) + 9}, [call(a=1, b=1)], 2),
        ({"default_agent_loop": "single_turn_agent"}, [call(a=1, b=1)], 2),
        ({}, ["no call"], 2),
        ({}, ["<tool_call>{broken</tool_call>"], 2),
        ({}, ['<tool_call>{"name": 5, "arguments": {}}</tool_call>'], 2),
    ],
)
def test_a_conversation_ends_where_the_release_ends_it(
    changes: dict[str, Any], turns: list[str], num_turns: int
) -> None:
    sample, policy, _ = played(turns, config(**changes))
    assert len(policy.seen) == len(turns)
    assert sample.num_turns == num_turns
    assert len(sample.dialog) <= config(**changes).max_response_length
    assert sample.own[-1] == len(sample.dialog) - 1


@pytest.mark.parametrize(
    ("release", "name", "answer"),
    [
        ("0.9.1", "add", "Error executing tool 'add': 'b'"),
        ("0.9.1", "sub", "Unknown function 'sub'. Available tools: ['add']"),
        ("0.7.0", "add", "Error when executing tool: 'b'"),
        ("0.7.0", "sub", "Error when executing tool: 'sub'"),
    ],
)
def test_a_failing_tool_says_so_at_any_length(release: str, name: str, answer: str) -> None:
    turn = call(a=1).replace("add", name)
    sample, _, tool = played([turn, "ok"], config(max_tool_response_length=4), release)
    assert sample.text == f"{turn}[tool:{answer}]>ok"
    assert (tool.open, sample.tool_rewards) == ([], [0.0])


@pytest.mark.parametrize(
    ("release", "side", "kept"),
    [
        ("0.9.1", "left", "(truncated)...tail"),
        ("0.9.1", "right", "head...(truncated)"),
        ("0.7.0", "left", "head...(truncated)"),
        ("0.7.0", "right", "(truncated)...tail"),
        ("0.9.1", "middle", "he...(truncated)...il"),
    ],
)
def test_long_answers_are_cut_as_the_release_cuts_them(release: str, side: str, kept: str) -> None:
    options = {**LAUNCH, f"{TURNS}.tool_response_truncate_side": side}
    shorten = taken(script_of(launched(options, release))).shorten
    assert shorten("head and tail", config(max_tool_response_length=4)) == kept
    assert shorten("tail", config(max_tool_response_length=4)) == "tail"


def test_a_long_answer_is_cut_between_turns() -> None:
    sample, _, _ = played([call(a=1000, b=1), "ok"], config(max_tool_response_length=2))
    assert sample.text.endswith("[tool:1...(truncated)...1]>ok")


def test_a_row_chooses_its_loop_its_tools_and_what_they_are_given() -> None:
    extra = {"tools_kwargs": {"add": {"create_kwargs": {"x": 1}}}}
    single = config(default_agent_loop="single_turn_agent")
    _, _, tool = played([call(a=1, b=1), "2"], single, agent_name="tool_agent", extra_info=extra)
    assert tool.given == [{"create_kwargs": {"x": 1}}]
    chosen, _, _ = played([call(a=1, b=1), "2"], config(), extra_info={"tool_selection": ["none"]})
    assert "Unknown function 'add'. Available tools: []" in chosen.text
    with pytest.raises(ValueError, match="the agent loop 'mine'"):
        played(["x"], config(), agent_name="mine")


def test_losses_see_the_tokens_of_the_policy_alone() -> None:
    options = {**LAUNCH, "actor_rollout_ref.actor.use_kl_loss": True}
    functions = taken(script_of(launched(options)))
    policy = Policy([call(a=2, b=3), "five"])
    row = {"prompt_tokens": [80, 81]}
    (sample,) = functions.sample_responses(
        policy, [row], 1, Params(), Letters(), {"add": Adder()}, config()
    )
    functions.add_reference(policy, [sample])
    assert sample.reference == [float(2 + place) for place in sample.own]

    (datum,) = functions.build_batch([sample], config())
    assert datum.model_input == (sample.prompt + sample.dialog)[:-1]

    # Of the policy's tokens nothing has changed; those of the tool do not count, whatever they are.
    sample.advantages = [1.0] * len(sample.tokens)
    sample.reference = list(sample.logprobs)
    new = torch.full((len(datum.model_input),), 50.0)
    new[torch.tensor(sample.own) + len(sample.prompt) - 1] = -1.0
    bounds = config(clip_ratio_low=0.2, clip_ratio_high=0.2, clip_ratio_c=3.0, kl_loss_coef=1.0)
    loss, _ = functions.policy_loss([sample], bounds)(None, [new])
    # The mean of -1 over the tokens; single precision.
    assert float(loss) == pytest.approx(-1.0, abs=1e-6)


@pytest.mark.parametrize(
    ("changes", "release", "reason"),
    [
        ({}, "0.6.0", "in a way of its own"),
        ({f"{TURNS}.tool_config_path": None}, "0.9.1", "no `tool_config_path`"),
        ({f"{TURNS}.interaction_config_path": "i.yaml"}, "0.7.0", "interaction_config_path"),
        ({f"{TURNS}.function_tool_path": "f.py"}, "0.9.1", "function_tool_path"),
        ({f"{TURNS}.format": "gpt-oss"}, "0.9.1", "`gpt-oss` are not read"),
        ({"algorithm.adv_estimator": "reinforce_plus_plus"}, "0.9.1", "places of tokens"),
    ],
)
def test_other_conversations_are_for_a_person(
    changes: dict[str, Any], release: str, reason: str
) -> None:
    outcome = launched({**LAUNCH, **changes}, release)
    decision = by_option(outcome)[f"{TURNS}.enable"]
    assert (decision.fidelity, decision.code) == (Fidelity.MANUAL, "MM312")
    assert reason in decision.note
    assert "play_episode" not in script_of(outcome)


def test_the_loop_that_rows_take_by_default_asks_for_tools_too() -> None:
    outcome = launched({**LAUNCH, f"{TURNS}.enable": None})
    assert by_option(outcome)[AGENT].code == "MM381"
    single = launched({**LAUNCH, f"{TURNS}.enable": None, AGENT: None})
    assert "play_episode" not in script_of(single)
