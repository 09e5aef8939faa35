"""Anonymised authors (specification section 4.2, rule 6; section 18, trap 20)."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from issues import conversations, event

from ops.anonymise import AnonymiseAuthors, masked


def anonymous(*row, title=None, **options):
    made = AnonymiseAuthors(**options).run(conversations(list(row), titles=[title]))
    (events,) = made["events"].to_pylist()
    return [e["author"] for e in events], [e["text"] for e in events], made["title"].to_pylist()[0]


def test_authors_are_numbered_as_they_first_appear():
    authors, _, _ = anonymous(event("bob"), event("ann"), event("bob"), event("cid"))
    assert authors == ["username_0", "username_1", "username_0", "username_2"]


def test_names_are_replaced_as_words_in_texts_and_titles():
    row = [event("a", "a cat, said @a, saw a-b and ab"), event("ann", "see github.com/ann/x, @Ann: Ann's (ann)")]
    authors, texts, title = anonymous(*row, title="ann's crash")
    assert authors == ["username_0", "username_1"]
    assert texts == [
        "username_0 cat, said @username_0, saw a-b and ab",
        "see github.com/username_1/x, @username_1: Ann's (username_1)",
    ]
    assert title == "username_1's crash"


def test_no_replacement_is_replaced():
    _, texts, _ = anonymous(event("ann", "ann and username_0"), event("username_0", "me"))
    assert texts == ["username_0 and username_1", "me"]


def test_starcoder_replaced_within_words_one_after_the_other():
    _, texts, _ = anonymous(event("ann", "annals of ann"), event("user", "me"), reproduce=True)
    assert texts[0] == "username_1name_0als of username_1name_0"


def test_names_that_begin_alike():
    _, texts, _ = anonymous(event("x[bot]", "hi x[bot] and x"), event("x", ""))
    assert texts[0] == "hi username_0 and username_1"


def test_numbers_begin_anew_in_each_conversation():
    made = AnonymiseAuthors().run(conversations([event("ann", "ann bob")], [event("bob", "ann bob")], None, []))
    assert [[(e["author"], e["text"]) for e in row] for row in made["events"].to_pylist()] == [
        [("username_0", "username_0 bob")],
        [("username_0", "ann username_0")],
        [],
        [],
    ]


@given(
    st.text(alphabet="ab-@_ İ[]", max_size=30), st.lists(st.text(alphabet="ab-[]", min_size=1, max_size=4), max_size=4)
)
def test_what_is_no_name_stays(text, names):
    masks = {name: f"<{n}>" for n, name in enumerate(dict.fromkeys(names))}
    made = masked(text, masks)
    back = made
    for name, mask in masks.items():
        back = back.replace(mask, name)
    assert back.lower() == text.lower()
