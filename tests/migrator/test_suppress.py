"""Comments that accept an outcome."""

from __future__ import annotations

import textwrap

import pytest
from mint_migrate.model.source import Span
from mint_migrate.suppress import Reach, suppressions


def at(line: int, column: int = 1) -> Span:
    return Span(line=line, column=column, end_line=line, end_column=column + 1)


def covered(text: str, code: str = "MM203") -> list[int]:
    """Return the lines on which *code* is accepted."""
    text = textwrap.dedent(text).lstrip("\n")
    found = suppressions(text)
    return [n for n in range(1, text.count("\n") + 1) if found.covers(code, at(n))]


def test_a_comment_behind_code_covers_its_line():
    assert covered("""
        a = 1
        b = 2  # mint-migrate: ignore[MM203] not used
        c = 3
    """) == [2]


def test_a_comment_inside_a_call_covers_the_argument_of_its_line():
    assert covered("""
        trainer = SFTTrainer(
            model,
            packing=True,  # mint-migrate: ignore[MM203]
            args=args,
        )
    """) == [3]


def test_a_comment_before_a_statement_covers_its_full_extent():
    assert covered("""
        a = 1
        # mint-migrate: ignore[MM203] the whole call
        trainer = SFTTrainer(
            model,
            packing=True,
        )
        b = 2
    """) == [3, 4, 5, 6]


def test_a_comment_before_a_block_covers_the_block():
    assert covered("""
        # mint-migrate: ignore[MM203]

        # another comment
        def train():
            a = 1

            return a
        b = 2
    """) == [4, 5, 6, 7]


def test_a_comment_before_a_decorated_function_covers_the_function():
    assert covered("""
        # mint-migrate: ignore[MM203]
        @decorated
        def train():
            a = 1
        b = 2
    """) == [2, 3, 4]


def test_a_comment_before_an_argument_covers_that_argument():
    assert covered("""
        trainer = SFTTrainer(
            model,
            # mint-migrate: ignore[MM203]
            peft_config=LoraConfig(
                r=16,
            ),
            args=args,
        )
    """) == [4, 5, 6]


def test_a_comment_for_the_file_covers_everything():
    assert covered("""
        #!/usr/bin/env python
        # mint-migrate: ignore-file[MM203] generated
        import trl
        a = 1
    """) == [1, 2, 3, 4]


@pytest.mark.parametrize("code", ["MM203", "MM207"])
def test_several_codes_may_be_named(code):
    assert covered("a = 1  # mint-migrate: ignore[MM203, MM207]\n", code) == [1]


def test_other_codes_are_not_covered():
    assert covered("a = 1  # mint-migrate: ignore[MM203]\n", "MM204") == []


def test_a_comment_may_follow_another_tools():
    assert covered("a = 1  # noqa: E501  # mint-migrate: ignore[MM203] why\n") == [1]


@pytest.mark.parametrize(
    "text",
    [
        'a = "# mint-migrate: ignore[MM203]"\n',
        '"""\n# mint-migrate: ignore[MM203]\n"""\na = 1\n',
        "a = 1  # TODO[mint-migrate MM203]: act\n",
        "a = 1  # see the pages of mint-migrate on ignore[MM203]\n",
        "a = (  # mint-migrate: ignore[MM203]\n",
    ],
)
def test_what_is_no_such_comment_covers_nothing_and_is_not_complained_about(text):
    found = suppressions(text)
    assert (found.found, found.misread) == ((), ())


@pytest.mark.parametrize(
    ("comment", "words"),
    [
        ("# mint-migrate: ignore", "expected `ignore[MM203] reason`"),
        ("# mint-migrate: ignroe[MM203]", "expected `ignore[MM203] reason`"),
        ("# mint-migrate: ignore[]", "`` is not a code"),
        ("# mint-migrate: ignore[MM203, beta]", "`beta` is not a code"),
        ("# mint-migrate: ignore-file[MM203]", "before the first line of code"),
    ],
)
def test_a_comment_that_cannot_be_read_is_reported_and_covers_nothing(comment, words):
    found = suppressions(f"a = 1\nb = 2  {comment}\n")
    assert found.found == ()
    assert [(each.line, each.column) for each in found.misread] == [(2, 8)]
    assert words in found.misread[0].message


def test_the_reason_and_the_reach_are_kept():
    found = suppressions("# mint-migrate: ignore[MM203]  we never pack \na = 1\n").found[0]
    assert (found.reason, found.reach, found.line) == ("we never pack", Reach.BLOCK, 1)


def test_a_comment_that_accepts_nothing_is_unused():
    found = suppressions(
        "a = 1  # mint-migrate: ignore[MM203]\nb = 2  # mint-migrate: ignore[MM207]\n"
    )
    unused = found.unused([("MM203", at(1)), ("MM203", at(2))])
    assert [each.line for each in unused] == [2]
