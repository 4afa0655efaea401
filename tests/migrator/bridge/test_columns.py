"""Columns a script reads from its data."""

import pytest
from mint_migrate.bridge.columns import find_columns
from support.cases import FIXTURES, cases


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("trainer = SFTTrainer(train_dataset=d)", {"messages"}),
        ("SFTConfig(dataset_text_field='content')", {"content"}),
        ("SFTConfig(completion_only_loss=True)", {"prompt", "completion"}),
        ("d.filter(lambda r: len(r['body']) > 3)", {"body"}),
        ("d.map(lambda r: {'text': r['q'] + r['a']})", {"q", "a"}),
        ("def f(row):\n    return {'text': row.get('q')}\nd.map(f)\n", {"q"}),
        ("def f(row):\n    return f\"{row['q']}\"\nSFTTrainer(formatting_func=f)\n", {"q"}),
        ("d.rename_column('body', 'text')", {"body"}),
        ("for row in dataset.rename_columns({'body': 'text'}):\n    use(row['text'])\n", {"body"}),
        ("d.map(f, remove_columns=['id', 'body'])", {"id", "body"}),
        ("def f(r):\n    r['text'] = r['q']\n    return tok(r['text'])\nd.map(f)\n", {"q"}),
        ("def f(r):\n    r['text'] = r['text'].strip()\n    return r\nd.map(f)\n", {"text"}),
        ("for row in dataset:\n    use(row['q'])\n", {"q"}),
        ("T = 'Q: {q} A: {a}'\nd.map(lambda r: {'text': T.format(**r)})", {"q", "a"}),
    ],
)  # fmt: skip
def test_columns_that_are_read_are_found(source, expected):
    assert set(find_columns(source).names) == expected


def test_column_made_by_an_earlier_function_is_not_in_the_source():
    columns = find_columns(
        "d = d.map(lambda r: {'text': r['q']})\nd = d.filter(lambda r: len(r['text']) > 1)\n"
    )
    assert columns.names == ("q",)


def test_column_under_a_chat_template_holds_messages():
    columns = find_columns(
        "d.map(lambda r: {'text': tokenizer.apply_chat_template(r['turns'], tokenize=False)})"
    )
    assert columns.conversational == {"turns"}


def test_constants_compared_with_a_column_are_kept_for_its_values():
    columns = find_columns("d.filter(lambda r: r['lang'] in ('en', 'de') and r['n'] == 3)")
    assert dict(columns.literals) == {"lang": ("en", "de"), "n": (3,)}


def hub_cases() -> list:
    """Return the fixtures that train on data from the hub, with the columns their notes declare."""
    return [
        pytest.param(FIXTURES / case["path"], data["columns"], id=case["id"])
        for case in cases()
        if case.get("trains")
        for data in case["data"]
        if data["kind"] == "hub"
    ]


UNREAD = {"source", "num_turns", "tags", "rejected"}
"""Columns that fixtures declare and their scripts never name, so that nothing can tell of them."""


@pytest.mark.parametrize(("script", "declared"), hub_cases())
def test_every_column_a_fixture_names_is_found_with_its_kind(script, declared):
    columns = find_columns(script.read_text(encoding="utf-8"))
    assert set(declared) - UNREAD <= set(columns.names)
    assert {name for name, kind in declared.items() if kind == "messages"} == columns.conversational


@pytest.mark.parametrize(
    ("source", "names", "conversational"),
    [
        ("DPOTrainer(train_dataset=d)", {"prompt", "chosen", "rejected"}, set()),
        ("from trl.experimental.orpo import ORPOTrainer", {"prompt", "chosen", "rejected"}, set()),
        ("KTOTrainer(train_dataset=d)", {"prompt", "completion", "label"}, set()),
        ("GRPOTrainer(train_dataset=d)", {"prompt"}, set()),
        ("GRPOTrainer(d)\nx = c[0]['content']", {"prompt"}, {"prompt"}),
        (
            "DPOTrainer(load_dataset('trl-lib/ultrafeedback_binarized'))",
            {"chosen", "rejected", "score_chosen", "score_rejected"},
            {"chosen", "rejected"},
        ),
        ("DPOTrainer(load_dataset('Anthropic/hh-rlhf'))", {"chosen", "rejected"}, set()),
        (
            "DPOTrainer(d.map(lambda r: {'prompt': r['q'], 'chosen': r['y'], 'rejected': r['n']}))",
            {"q", "y", "n"},
            set(),
        ),
        (
            "d.map(lambda r: {'chosen': r['chosen'][-1]['content']})\nDPOTrainer(d)",
            {"chosen"},
            {"chosen"},
        ),
    ],
)
def test_rows_are_what_the_trainer_takes(source, names, conversational):
    columns = find_columns(source)
    assert set(columns.names) == names
    assert columns.conversational == conversational


REWARDS = """
def exact(completions, answer, **kwargs): ...
def near(prompts, completions, trainer_state, *, gold, **kwargs): return kwargs["level"]
async def late(completions, hint, **kwargs): return kwargs.get("unit")
def unused(completions, nothing): ...
funcs_of_reward = [late]
GRPOTrainer(reward_funcs=[exact, near], train_dataset=d)
"""


def test_reward_functions_ask_for_columns_by_the_names_of_their_parameters():
    names = find_columns(REWARDS).names
    assert set(names) == {"prompt", "answer", "gold", "level", "hint", "unit"}


def test_column_that_a_map_makes_for_a_reward_function_is_not_in_the_source():
    source = "d.map(lambda r: {'prompt': r['q'], 'answer': r['a']})\n" + REWARDS
    assert set(find_columns(source).names) == {"q", "a", "gold", "level", "hint", "unit"}


@pytest.mark.parametrize("source", ["def f(completions, answer): ...", "SFTTrainer(reward=[f])"])
def test_functions_that_are_no_rewards_ask_for_nothing(source):
    assert find_columns(source).names == ("messages",)
