"""The English filter (specification section 4.2, rule 7)."""

from __future__ import annotations

import pickle
import socket

import pyarrow as pa
import pytest

from engine.schema import MARKUP, TEXT
from ops.english import English

ENGLISH = "The parser fails when the file is empty, and nobody knows why it does."


def verdict(*texts, **options):
    made = English(**options).drop(pa.array(texts, TEXT))
    return made.reason().to_pylist(), made.score().to_pylist()


def test_only_english_stays():
    reasons, _ = verdict(
        ENGLISH,
        "Der Parser schlägt fehl, wenn die Datei leer ist, und niemand weiß warum.",
        "ファイルが空の場合、パーサーは失敗します。",
        "",
    )
    assert reasons == [None, "not_english", "not_english", "not_english"]


def test_it_needs_no_network(monkeypatch: pytest.MonkeyPatch):
    def refuse(*_):
        raise AssertionError("no network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    assert verdict(ENGLISH)[0] == [None]


def test_line_ends_and_markup_are_spaces():
    text = ENGLISH.replace(" ", "\n") + MARKUP["<issue_comment>"] + "username_1: " + ENGLISH + "\0"
    assert verdict(text)[0] == [None]


def test_only_the_beginning_is_looked_at():
    assert verdict(ENGLISH + " 文件是空的" * 1000, characters=len(ENGLISH))[0] == [None]


def test_it_travels_without_its_model():
    op = English()
    verdictless = pickle.dumps(op)
    op.drop(pa.array([ENGLISH], TEXT))
    assert pickle.dumps(op) == verdictless
