"""Bots and their calls (specification section 4.2, rule 4)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from issues import event, events_after, reasons_of

from ops.bots import Bots


@pytest.mark.parametrize(
    "name",
    [
        "dependabot[bot]",
        "My-Jenkins-1",
        "bors-servo",
        "Xbot",
        "foo-CI",
        "codecov-io",
        "x-teamcity",
        "a-Service-Account",
    ],
)
def test_names_of_bots(name):
    assert Bots().is_bot(name)


@pytest.mark.parametrize("name", ["ann", "robotics", "CODECOV-IO", "cirrus", "testing", ""])
def test_names_of_people(name):
    assert not Bots().is_bot(name)


def test_starcoder_s_suffix_service_account_never_matched():
    assert not Bots(reproduce=True).is_bot("a-Service-Account")


def test_people_who_are_called_like_bots_can_be_named():
    assert Bots().is_bot("abbot")
    assert not Bots(people=("abbot",)).is_bot("abbot")


def authors(op, *row):
    return [e["author"] for e in events_after(op, list(row))[0]]


def test_the_comment_that_called_a_bot_goes_with_it():
    row = [event("ann", "hello"), event("bob", "/test all"), event("xbot", "done"), event("cid", "thanks")]
    assert authors(Bots(), *row) == ["ann", "cid"]
    assert authors(Bots(calls=False), *row) == ["ann", "bob", "cid"]
    assert authors(Bots(reproduce=True), *row) == ["ann", "bob", "cid"]
    assert authors(Bots(), event("ann", "hello"), event("bob", "hey @xbot"), event("xbot")) == ["ann"]
    assert authors(Bots(), event("ann", "hello"), event("bob", "hey you"), event("xbot")) == ["ann", "bob"]


def test_starcoder_missed_the_first_call_only():
    row = [
        event("ann", "hello"),
        event("ann", "/a"),
        event("xbot"),
        event("bob", "/b"),
        event("xbot"),
        event("cid", "x"),
    ]
    assert authors(Bots(), *row) == ["ann", "cid"]
    assert authors(Bots(reproduce=True), *row) == ["ann", "ann", "cid"]


def test_a_bot_at_the_beginning_is_no_first_bot_to_starcoder():
    row = [event("xbot"), event("ann", "/a"), event("xbot"), event("bob", "words")]
    assert authors(Bots(reproduce=True), *row) == ["ann", "bob"]
    assert authors(Bots(), *row) == ["bob"]


def test_issues_of_bots_alone():
    assert reasons_of(Bots(), [event("xbot")], [event("xbot"), event("ann")], [event("ann", "/x"), event("xbot")]) == [
        "only_bots",
        None,
        "only_bots",
    ]


def reference(names_and_texts, reproduce):
    """The rule as the specification tells it, one event after the other."""
    kept, last_removed = dict(enumerate(names_and_texts)), 0
    removed_before = -1
    for i, (name, _) in enumerate(names_and_texts):
        if not Bots(reproduce=reproduce).is_bot(name):
            continue
        fires = (last_removed > 0 and last_removed < i - 1) if reproduce else removed_before < i - 1
        if i and fires and (name in names_and_texts[i - 1][1] or names_and_texts[i - 1][1].startswith("/")):
            kept.pop(i - 1, None)
        kept.pop(i, None)
        last_removed = removed_before = i
    return [name for name, _ in kept.values()]


@given(
    st.lists(
        st.lists(st.tuples(st.sampled_from(["ann", "bob", "xbot", "y-ci"]), st.sampled_from(["/x", "@xbot", "-"])))
    ),
    st.booleans(),
)
def test_it_does_what_the_specification_tells(rows, reproduce):
    made = events_after(Bots(reproduce=reproduce), *([event(a, t) for a, t in row] for row in rows))
    assert [[e["author"] for e in row] for row in made] == [reference(row, reproduce) for row in rows]
