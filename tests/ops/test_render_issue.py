"""Rendering (specification section 4.3)."""

from __future__ import annotations

from issues import conversations, event

from engine.schema import spell_out
from ops.render_issue import RenderIssue


def rendered(*row, title=None, **options):
    made = RenderIssue(**options).run(conversations(list(row), titles=[title]))
    return spell_out(made["content"][0].as_py())


OPENED = event("username_0", "It crashes.", "opened", "Crash")


def test_an_issue_as_the_paper_has_it():
    row = [OPENED, event("username_1", "Why?"), event("username_0", "", "closed")]
    assert rendered(*row, title="Crash") == (
        "<issue_start>Title: Crash\nusername_0: It crashes.<issue_comment>username_1: Why?<issue_closed>"
    )


def test_the_prefix_and_the_closing_mark_are_parameters():
    row = [OPENED, event("username_0", "Bye.", "closed")]
    assert rendered(*row, title="Crash", title_prefix="", closed=False) == (
        "<issue_start>Crash\nusername_0: It crashes.<issue_comment>username_0: Bye."
    )


def test_an_issue_that_was_opened_again_is_not_closed():
    assert rendered(OPENED, event(action="closed"), event(action="reopened")).endswith("crashes.")
    assert rendered(OPENED, event(action="reopened"), event(action="merged")).endswith("<issue_closed>")


def test_an_opening_without_text_has_its_author():
    assert rendered(event("a", "", "opened", "Crash"), title="Crash") == "<issue_start>Title: Crash\na: "


def test_without_an_opening_there_are_title_and_comments():
    row = [event("a", "one"), event("b", "two")]
    assert rendered(*row, title="Crash") == "<issue_start>Title: Crash<issue_comment>a: one<issue_comment>b: two"
    assert rendered(*row) == "<issue_start><issue_comment>a: one<issue_comment>b: two"


def test_rows_do_not_mix():
    made = RenderIssue().run(conversations([event("a", "x", "closed")], None, [], [event("b", "y")]))
    assert [spell_out(t) for t in made["content"].to_pylist()] == [
        "<issue_start><issue_comment>a: x<issue_closed>",
        "<issue_start>",
        "<issue_start>",
        "<issue_start><issue_comment>b: y",
    ]
    assert made["events"].null_count == 4


def test_events_may_stay():
    assert (
        RenderIssue(keep_events=True).run(conversations([OPENED]))["events"].to_pylist()[0][0]["text"] == "It crashes."
    )


def test_spelled_out_tokens_are_no_markup():
    batch = conversations([event("a", "<issue_closed>")])
    assert RenderIssue().run(batch)["content"][0].as_py().count("<issue_closed>") == 1
