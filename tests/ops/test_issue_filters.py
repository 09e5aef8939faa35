"""Users and size (specification section 4.2, rule 5)."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from issues import event, reasons_of

from ops.issue_filters import UsersAndSize


def test_users_and_size():
    assert reasons_of(
        UsersAndSize(),
        [event("ann", "é" * 199)],
        [event("ann", "é" * 200)],
        [event("ann", "x" * 7000)],
        [event("ann", "x" * 7001)],
        [event("ann", "x" * 7001), event("bob", "x")],
        [event("ann", "x" * 20)] * 10,
        [event("ann", "x" * 20)] * 11,
        [event("ann", "x" * 20)] * 11 + [event("bob")],
        [],
    ) == ["too_short", None, None, "one_author_too_long", None, None, "one_author_too_many_events", None, "too_short"]


@given(st.lists(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 6)), max_size=5)))
def test_it_is_the_rule_in_five_lines(rows):
    def rule(row):
        size, users = sum(n for _, n in row), len({a for a, _ in row})
        if size < 5:
            return "too_short"
        if users >= 2 or (size <= 9 and len(row) <= 3):
            return None
        return "one_author_too_long" if size > 9 else "one_author_too_many_events"

    op = UsersAndSize(at_least=5, alone_characters=9, alone_events=3)
    assert reasons_of(op, *([event(a, "x" * n) for a, n in row] for row in rows)) == [rule(row) for row in rows]
