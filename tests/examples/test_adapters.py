"""What the adapters ask, and what they reward."""

from __future__ import annotations

import math_rl
import pretrain_tiny
import pytest
import reverse_rl
import sft_reverse
from chat_rl import ChatRL
from code_rl import PROBLEMS, CodeRL, extract_program
from judge import HeuristicJudge
from math_rl import MathRL, extract_answer
from reverse_rl import ReverseRL
from sandbox import Outcome

TOKENIZER = pretrain_tiny.build_tokenizer()


def text(adapter, sample) -> str:
    return TOKENIZER.decode(adapter.make_prompt(sample, TOKENIZER))


@pytest.mark.parametrize(
    ("response", "answer"),
    [
        (" 8", 8),
        ("8", 8),
        ("-3", -3),
        (" the answer is 12.", 12),
        (" 7\n\nQ: What is 1 + 1?\nA: 2", 7),
        ("\n 7", 7),
        ("eight", None),
        ("", None),
    ],
)
def test_the_answer_is_the_first_integer_of_the_first_line(response, answer):
    assert extract_answer(response) == answer


def test_a_sum_is_rewarded_for_the_numbers_that_were_asked():
    adapter = MathRL()
    assert all(
        f"What is {a} + {b}?" in text(adapter, (a, b))
        and adapter.compute_reward(f" {a + b}", (a, b)) == 1.0
        and adapter.compute_reward(f" {a + b + 1}", (a, b)) == 0.0
        for a, b in adapter.build_dataset()
    )


def test_an_example_comes_first_if_asked_for():
    assert text(MathRL(few_shot=math_rl.FEW_SHOT), (1, 2)) == (
        "Q: What is 4 + 5?\nA: 9\n\nQ: What is 1 + 2?\nA:"
    )


@pytest.mark.parametrize("adapter", [MathRL(), ReverseRL()], ids=["math", "reverse"])
def test_nothing_is_both_trained_on_and_held_out(adapter):
    train, held_out = set(adapter.build_dataset()), set(adapter.build_eval_dataset())
    assert train
    assert held_out
    assert not train & held_out


def test_held_out_strings_have_every_digit_in_every_place():
    held_out = [f"{i:05}" for i in range(100_000) if reverse_rl.is_held_out(f"{i:05}")]
    assert all({digits[place] for digits in held_out} == set("0123456789") for place in range(5))


def test_the_base_model_was_not_trained_on_what_is_held_out():
    numbers = range(100_000)
    strings = [f"{i:05}" for i in numbers]
    rules = (pretrain_tiny.is_held_out_string, reverse_rl.is_held_out, sft_reverse.is_held_out)
    first, *others = [[rule(digits) for digits in strings] for rule in rules]
    assert others == [first, first]
    pairs = [(a, b) for a in range(20) for b in range(20)]
    assert [pretrain_tiny.is_held_out_sum(*pair) for pair in pairs] == [
        math_rl.is_held_out(*pair) for pair in pairs
    ]


def test_a_reversed_string_is_rewarded_only_if_nothing_follows():
    score = ReverseRL().compute_reward
    assert [score(" 54321", "12345"), score("543210", "12345"), score("", "12345")] == [1, 0, 0]


def test_a_chat_prompt_ends_where_the_reply_begins():
    assert text(ChatRL(HeuristicJudge()), "hello") == (
        "<|im_start|>user\nhello<|im_end|>\n<|im_start|>assistant\n"
    )


def test_a_chat_is_rewarded_by_its_judge():
    class Length:
        def score(self, prompt, response):
            return len(prompt) + len(response) / 10

    assert ChatRL(Length()).compute_reward("abc", "de") == pytest.approx(2.3)


@pytest.mark.parametrize(
    ("response", "program"),
    [
        (" print(a)", "print(a)"),
        ("Sure:\n```python\nprint(a)\n```\nDone.", "print(a)\n"),
        ("```\nprint(a)", "print(a)"),
        ("x = a\nprint(x)\n\nQ: Print b.", "x = a\nprint(x)"),
    ],
)
def test_the_program_is_found_in_a_response(response, program):
    assert extract_program(response) == program


SOLUTIONS = dict(pretrain_tiny.PROGRAMS)


@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: problem.statement)
def test_only_the_right_program_passes_every_test(problem):
    rewards = {
        statement: CodeRL().compute_reward(f" {program}", problem)
        for statement, program in SOLUTIONS.items()
    }
    assert [each for each, reward in rewards.items() if reward == 1.0] == [problem.statement]


@pytest.mark.parametrize("program", pretrain_tiny.BROKEN)
def test_a_program_that_prints_nothing_has_no_reward(program):
    assert CodeRL().compute_reward(program, PROBLEMS[0]) == 0.0


def test_another_sandbox_can_be_used():
    adapter = CodeRL(execute=lambda program, stdin: Outcome(status="ok", stdout="11\n", stderr=""))
    assert adapter.compute_reward("", PROBLEMS[0]) == 0.5  # 3 + 8 and 9 + 2 of four tests


CORPUS = [
    (pretrain_tiny.ADDITION.format(1, 2), MathRL(), (1, 2)),
    (pretrain_tiny.REVERSAL.format("12345"), ReverseRL(), "12345"),
    *[(pretrain_tiny.PROGRAM.format(each.statement), CodeRL(), each) for each in PROBLEMS],
]


@pytest.mark.parametrize(("known", "adapter", "sample"), CORPUS)
def test_the_base_model_knows_the_prompts(known, adapter, sample):
    assert text(adapter, sample) == known
