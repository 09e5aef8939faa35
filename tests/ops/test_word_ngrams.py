"""Shared runs of words, against sets of tuples."""

import re

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from engine.schema import TEXT
from ops.word_ngrams import WordNgrams, count_words

_WORDS = st.lists(st.sampled_from(["a", "B", "foo_bar9", "0", "é", "É", "中文", "x" * 70, "y" * 64, "aB"]), max_size=14)
_TEXT = _WORDS.flatmap(lambda w: st.sampled_from([" ", "\n-", ".(", "  "]).map(lambda gap: gap.join(w)))


def _ngrams(text: str, n: int) -> set[tuple[str, ...]]:
    words = re.findall(r"[0-9a-z_\x80-\U0010ffff]+", text.lower())
    return {tuple(words[k : k + n]) for k in range(len(words) - n + 1)}


@given(st.lists(_TEXT, min_size=1, max_size=4), st.lists(_TEXT, max_size=6), st.integers(1, 5))
def test_first_shares_n_words(looked_for, texts, n):
    found = WordNgrams(looked_for, n).first(pa.array(texts, TEXT)).tolist()
    runs = [_ngrams(t, n) for t in looked_for]
    assert found == [next((k for k, run in enumerate(runs) if run & _ngrams(t, n)), -1) for t in texts]


@given(_TEXT)
def test_words_are_counted(text):
    assert count_words(text) == len(re.findall(r"[0-9A-Za-z_\x80-\U0010ffff]+", text))
