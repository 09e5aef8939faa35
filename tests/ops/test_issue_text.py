"""The rules of specification section 4.2 that rewrite the text of events."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st
from issues import texts_after

from ops.issue_text import EmailTrailers, TruncateComments, trailers, trailers_as_starcoder

FROM = (
    "I see it too.\n\nFrom: Bob <bob@example.org>\nSent: today\nSubject: crash\n\nIt crashes.\n"
    "Reply to this email directly or view it on GitHub: https://github.com/a/b/issues/1\nBelow the mail."
)
ON = (
    "Fixed.\n\nOn 3 May 2019, Bob <notifications@github.com> wrote:\n> It crashes.\n"
    "Reply to this email directly, view it on GitHub, or mute the thread.\nSent from a phone."
)
SIGNED = "Please merge.\nSigned-off-by: Ann <ann@example.org>\nSee a -> b.\nThanks."
LINES = "Yes.\nBob 1/2/2020 3:45 PM wrote\nwhat he wrote\n> and quoted\nThe end."


def test_email_from_header():
    assert trailers(FROM) == "I see it too.\n\nBelow the mail."


def test_email_from_header_as_starcoder_takes_all_behind_it():
    assert trailers_as_starcoder(FROM) == "I see it too."


def test_email_on_wrote_header():
    assert trailers(ON) == "Fixed.\n\nSent from a phone."
    assert trailers_as_starcoder(ON) == "Fixed."


def test_signed_off_by_lines():
    assert trailers(SIGNED) == "Please merge.\nSee a -> b.\nThanks."


def test_signed_off_by_as_starcoder_takes_all_up_to_the_last_greater_sign():
    assert trailers_as_starcoder(SIGNED) == "Please merge.\n b.\nThanks."


def test_line_scan():
    assert trailers(LINES) == "Yes.\nThe end." == trailers_as_starcoder(LINES)


def test_line_scan_goes_one_further_behind_a_colon():
    text = "Yes.\nfrom notifications@github.com\nReply to this email directly:\nhttps://github.com\nThe end."
    assert trailers(text) == "Yes.\nThe end." == trailers_as_starcoder(text)


def test_a_quotation_alone_is_what_somebody_said():
    text = "Before.\n> quoted\nAfter."
    assert trailers(text) == text
    assert trailers_as_starcoder(text) == "After."


def test_underscores_and_white_space():
    assert texts_after(EmailTrailers(), "  a" + "_" * 20 + "b" + "_" * 19 + " \n") == ["ab" + "_" * 19]


@given(
    st.lists(
        st.sampled_from(
            [
                "From:",
                "On",
                "wrote:",
                "Reply to this email directly",
                "view it on GitHub",
                "x\n",
                "notifications@github.com",
                "Signed-off-by: ",
                " <",
                ">",
                "\n",
            ]
        ),
        max_size=14,
    )
)
def test_starcoder_s_patterns_say_the_same(parts):
    """The specification's patterns, as regular expressions."""
    text = "".join(parts).strip()
    expected = None
    for pattern in (
        "(.*)From:.*Reply to this email directly.*view it on GitHub.*\n?(.*)",
        "(.*)On.*notifications@github.com.*wrote:.*Reply to this email directly.*view it on GitHub(.*)",
        "(.*)Signed-off-by: .* <.*>(.*)",
    ):
        if found := re.match(pattern, text, re.DOTALL):
            expected = found[1] + ("" if "GitHub" in pattern else found[2])
            break
    if expected is not None:
        assert trailers_as_starcoder(text) == expected.strip()


@given(
    st.lists(
        st.sampled_from(
            [
                "From:",
                "Reply to this email directly",
                "view it on GitHub",
                "> a",
                "\n",
                "Signed-off-by: a <b>",
                "On",
                "notifications@github.com",
                "wrote:",
                "_" * 25,
                "some words ",
                "1/2/20 3:45 AM wrote",
            ]
        )
    )
)
def test_nothing_is_made_up_and_columns_agree_with_values(parts):
    text = "".join(parts)
    for op, rule in ((EmailTrailers(), trailers), (EmailTrailers(reproduce=True), trailers_as_starcoder)):
        assert texts_after(op, text, "plain") == [rule(text), "plain"]
    assert len(trailers(text)) <= len(text)


def test_truncate_comments():
    long = "\n".join(f"line {n}" for n in range(81))
    exact = "\n".join(f"line {n}" for n in range(80))
    cut, whole = texts_after(TruncateComments(), long, exact)
    lines = cut.split("\n")
    assert whole == exact
    assert lines[:60] == [f"line {n}" for n in range(60)]
    assert lines[60] == "[Truncated]"
    assert lines[61:] == [f"line {n}" for n in range(61, 81)]


def test_truncate_comments_takes_what_the_paper_says():
    long = "\n".join(map(str, range(101)))
    assert texts_after(TruncateComments(at_most=100, first=0, last=20), long) == [
        "\n".join(["[Truncated]", *map(str, range(81, 101))])
    ]


@given(st.text(alphabet="a\n\r\v\u2028\x85", max_size=200), st.integers(0, 8), st.integers(0, 5), st.integers(0, 5))
def test_truncation_is_that_of_five_lines(text, at_most, first, last):
    lines = text.splitlines()
    (cut,) = texts_after(TruncateComments(at_most=at_most, first=first, last=last), text)
    if len(lines) <= max(at_most, first + last):
        assert cut == text
    else:
        assert cut.split("\n") == "\n".join([*lines[:first], "[Truncated]", *lines[len(lines) - last :]]).split("\n")
