"""Who holds which page, and what can be found."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from mint_runtime.sampler.pages import PageBook

SIZE = 2


def publish(book, owner, tokens):
    """Take and publish the pages of a text; return them."""
    space = entry = book.space(owner)
    pages = []
    for start in range(0, len(tokens) - SIZE + 1, SIZE):
        page = book.take()
        entry = book.publish(page, space, (entry, tuple(tokens[start : start + SIZE])))
        pages.append(page)
    return pages


def found(book, owner, tokens):
    return book.find(book.space(owner), tokens)[0]


def test_pages_are_handed_out_until_none_is_left():
    book = PageBook(3, SIZE)

    assert len({book.take() for _ in range(3)}) == 3
    assert book.take() is None


def test_released_page_can_be_taken_again():
    book = PageBook(1, SIZE)
    page = book.take()
    book.release([page])

    assert book.take() == page


def test_page_with_another_holder_stays():
    book = PageBook(1, SIZE)
    page = book.take()
    book.hold([page])
    assert book.is_shared(page)

    book.release([page])

    assert book.take() is None
    assert not book.is_shared(page)


def test_published_pages_are_found_by_texts_that_begin_alike():
    book = PageBook(8, SIZE)
    pages = publish(book, "a", [1, 2, 3, 4, 5])

    assert found(book, "a", [1, 2, 3, 4, 9, 9]) == pages
    assert found(book, "a", [1, 2, 9, 4]) == pages[:1]
    assert found(book, "a", [1]) == found(book, "a", [2, 1, 3, 4]) == []


def test_page_is_found_only_after_the_page_before_it():
    book = PageBook(8, SIZE)
    publish(book, "a", [1, 2, 3, 4])

    assert found(book, "a", [3, 4]) == []


def test_owners_do_not_see_each_others_pages():
    book = PageBook(8, SIZE)
    publish(book, "a", [1, 2])

    assert found(book, None, [1, 2]) == []


def test_second_page_with_the_same_text_stays_private():
    book = PageBook(8, SIZE)
    first, second = publish(book, "a", [1, 2]), publish(book, "a", [1, 2])

    assert found(book, "a", [1, 2]) == first
    book.release(second)
    assert book.num_idle == 0


def test_idle_page_used_longest_ago_goes_first_and_ends_before_beginnings():
    book = PageBook(4, SIZE)
    for owner in ("a", "b"):
        book.release(publish(book, owner, [1, 2, 3, 4]))
    kept = found(book, "a", [1, 2, 3, 4])
    book.hold(kept)
    book.release(kept)

    book.take()
    assert (len(found(book, "a", [1, 2, 3, 4])), len(found(book, "b", [1, 2, 3, 4]))) == (2, 1)
    book.take()
    book.take()
    assert (len(found(book, "a", [1, 2, 3, 4])), len(found(book, "b", [1, 2, 3, 4]))) == (1, 0)


def test_what_followed_a_page_that_is_gone_is_not_taken_up_by_its_successor():
    book = PageBook(3, SIZE)
    first, second = publish(book, "a", [1, 2, 3, 4])
    book.release([first])
    book.take()
    assert book.take() == first
    book.release([first])

    again = publish(book, "a", [1, 2])

    assert found(book, "a", [1, 2, 3, 4]) == again
    assert second not in again


def test_forgotten_owner_frees_idle_pages_at_once_and_held_ones_when_released():
    book = PageBook(4, SIZE)
    book.release(publish(book, "a", [1, 2]))
    held = publish(book, "a", [3, 4])
    book.release(publish(book, "b", [1, 2]))

    book.forget("a")

    assert (book.num_idle, book.num_held) == (1, 1)
    assert found(book, "a", [1, 2]) == found(book, "a", [3, 4]) == []
    book.release(held)
    assert (book.num_idle, book.num_held) == (1, 0)


def test_publishing_under_a_forgotten_owner_does_nothing():
    book = PageBook(4, SIZE)
    space, page = book.space("a"), book.take()
    book.forget("a")

    book.publish(page, space, (space, (1, 2)))

    book.release([page])
    assert book.num_idle == 0


def test_cache_stops_growing_once_more_is_idle_than_held():
    book = PageBook(1000, SIZE, min_idle=4)
    for number in range(50):
        book.release(publish(book, "a", [number, number]))

    assert book.num_touched == 5


@settings(max_examples=30, stateful_step_count=30, deadline=None)
class Pages(RuleBasedStateMachine):
    """Sequences come, grow, share and go in any order; the book's numbers always add up."""

    def __init__(self):
        super().__init__()
        self.book = PageBook(12, SIZE, min_idle=3)
        self.sequences = []

    def begin(self, owner, text):
        pages, entry = self.book.find(self.book.space(owner), text)
        self.book.hold(pages)
        self.sequences.append(
            {
                "owner": owner,
                "text": text,
                "pages": list(pages),
                "entry": entry,
                "space": self.book.space(owner),
            }
        )

    @rule(owner=st.sampled_from("ab"), text=st.lists(st.integers(0, 1), max_size=8))
    def start(self, owner, text):
        self.begin(owner, text)

    @precondition(lambda self: self.sequences)
    @rule(data=st.data())
    def grow(self, data):
        each = data.draw(st.sampled_from(self.sequences))
        place = len(each["pages"])
        page = self.book.take()
        assert (page is None) == (self.held_pages() >= set(range(12)))
        if page is None:
            return
        assert page not in self.held_pages()
        each["pages"].append(page)
        tokens = tuple(each["text"][place * SIZE : (place + 1) * SIZE])
        if len(tokens) == SIZE:
            each["entry"] = self.book.publish(page, each["space"], (each["entry"], tokens))

    @precondition(lambda self: self.sequences)
    @rule(data=st.data())
    def share(self, data):
        each = data.draw(st.sampled_from(self.sequences))
        self.book.hold(each["pages"])
        self.sequences.append({**each, "pages": list(each["pages"])})

    @precondition(lambda self: self.sequences)
    @rule(data=st.data())
    def end(self, data):
        index = data.draw(st.integers(0, len(self.sequences) - 1))
        self.book.release(self.sequences.pop(index)["pages"])

    @rule(owner=st.sampled_from("ab"))
    def forget(self, owner):
        self.book.forget(owner)

    def held_pages(self):
        return {page for each in self.sequences for page in each["pages"]}

    @invariant()
    def every_page_is_held_idle_or_free(self):
        held = self.held_pages()
        assert self.book.num_held == len(held)
        assert self.book.num_available == 12 - len(held)
        assert self.book.num_held + self.book.num_idle <= self.book.num_touched <= 12

    @invariant()
    def holders_are_counted(self):
        for page in self.held_pages():
            holders = sum(each["pages"].count(page) for each in self.sequences)
            assert self.book._holders[page] == holders

    def teardown(self):
        for each in self.sequences:
            self.book.release(each["pages"])
        assert self.book.num_held == 0
        for owner in "ab":
            self.book.forget(owner)
        assert self.book.num_idle == 0
        assert sum(self.book.take() is not None for _ in range(13)) == 12


TestPages = Pages.TestCase


def test_releasing_more_often_than_held_is_noticed():
    book = PageBook(2, SIZE)
    page = book.take()
    book.release([page])

    with pytest.raises(AssertionError):
        book.release([page])
