"""Rules together: spans that lie in the text, in order, apart, and agree in characters and bytes."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.schema import TEXT
from ops.pii import DetectPiiRules
from ops.spans import SPANS

_PIECES = st.sampled_from(
    [
        "ada@host.org",
        "93.184.216.34",
        "2606:2800:220:1::1946",
        'api_key = "q8Zk2LmPx09QwErTy77"',
        'password="hunTer-2!x"',
        "smtp://ada@host.org:s3cReT9@mail.host.org",
        "é",
        "中文",
        "😀",
        "\n",
        " ",
        ":",
        "/",
        "key=",
        "@",
        "::",
    ]
)
_TEXTS = st.lists(st.lists(_PIECES, max_size=10).map("".join), max_size=5)


def _spans(texts: list[str], **parameters) -> list[list[dict]]:
    column = DetectPiiRules(**parameters).map(pa.array(texts, TEXT))["pii"]
    assert column.type == SPANS
    return column.to_pylist()


@given(_TEXTS)
def test_spans_lie_in_the_text_and_agree(texts):
    for text, spans in zip(texts, _spans(texts), strict=True):
        raw, last = text.encode(), 0
        for span in spans:
            assert last <= span["start"] < span["end"] <= len(text)
            assert raw[span["start_byte"] : span["end_byte"]].decode() == text[span["start"] : span["end"]]
            assert len(text[: span["start"]].encode()) == span["start_byte"]
            last = span["end"]


@given(_TEXTS)
def test_rows_and_batches_do_not_matter(texts):
    assert _spans(texts) == [_spans([text])[0] for text in texts]


@pytest.mark.parametrize("kind", ["EMAIL", "IP_ADDRESS", "KEY", "PASSWORD"])
def test_only_the_kinds_asked_for_are_found(kind):
    text = 'ada@host.org 93.184.216.34 api_key = "q8Zk2LmPx09QwErTy77" password="hunTer-2!x"'
    assert {s["kind"] for s in _spans([text], kinds=(kind,))[0]} == {kind}


def test_a_password_in_a_url_beside_an_address_is_one_span():
    spans = _spans(["smtp://app:s3cReT9z@mail.host.org"])[0]
    assert [(s["kind"], s["rule"]) for s in spans] == [("PASSWORD", "url_password")]
