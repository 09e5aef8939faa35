"""Fill-in-the-middle: equal to tokenizing the parts anew, undone it is the document, and as frequent as was said."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from token_corpus import text, tiny_tokenizer

from engine.schema import MARKUP, SPECIAL_TOKENS
from model.fim import EOD, MIDDLE, PREFIX, SUFFIX, Fim, Fragments, Permuter, fragment_keys
from model.fim_reproduce import PAD, permuted_sample

LARGE = 1 << 20
MASK = 2**64 - 1


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    return tiny_tokenizer(tmp_path_factory.mktemp("tokenizer"))


def permute(tokenizer, texts, keys, fim=Fim(), size=LARGE, starts=None, end=True):  # noqa: B008
    """The tokens of each text before and after, and what was counted; all texts are one sample."""
    before = [np.append(tokenizer.encode_one(t), [EOD] if end else []).astype(np.uint16) for t in texts]
    edges = np.append(0, np.cumsum([len(t) for t in before])).astype(np.int64)
    starts = np.zeros(len(texts), np.int64) if starts is None else np.array(starts, np.int64)
    fragments = Fragments(np.concatenate(before), edges, np.array([0, len(texts)]), starts)
    made, counts = Permuter(tokenizer, fim).permute(fragments, np.array(keys, np.uint64), size)
    return before, [made.tokens[a:b] for a, b in zip(made.edges, made.edges[1:], strict=False)], counts


# --- a reference ----------------------------------------------------------------------------------------------------


def mixed(x):
    x = (x + 0x9E3779B97F4A7C15) & MASK
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 & MASK
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB & MASK
    return x ^ (x >> 31)


def chance(key, draw):
    return (mixed((key + draw) & MASK) >> 11) * 2.0**-53


def reference(tokenizer, content: str, key: int, fim: Fim) -> list[int]:
    """A whole document's tokens, its three parts tokenized each as a whole."""
    plain = [*tokenizer.encode_one(content).tolist(), EOD]
    header = 0
    if content[:1] in {MARKUP[t] for t in ("<reponame>", "<filename>", "<gh_stars>")}:
        header = content.find("\n") + 1 or len(content)
    if not content or chance(key, 1) >= fim.rate or header == len(content):
        return plain
    span = len(content) - header + 1
    first, second = sorted(header + int(chance(key, d) * span) for d in (3, 4))
    prefix, middle, suffix = (
        tokenizer.encode_one(t).tolist() for t in (content[:first], content[first:second], content[second:])
    )
    if chance(key, 2) < fim.spm_rate:
        return [PREFIX, SUFFIX, *suffix, MIDDLE, *prefix, *middle, EOD]
    return [PREFIX, *prefix, SUFFIX, *suffix, MIDDLE, *middle, EOD]


def unpermuted(tokenizer, tokens) -> str:
    """The document of a permuted or plain fragment."""
    tokens = np.asarray(tokens[:-1] if len(tokens) and tokens[-1] == EOD else tokens)
    if not len(tokens) or tokens[0] != PREFIX:
        return tokenizer.decode(tokens)
    at, middle = (int(np.flatnonzero(tokens == t)[0]) for t in (SUFFIX, MIDDLE))
    parts = tokens[1:at], tokens[at + 1 : middle], tokens[middle + 1 :]
    prefix, suffix, rest = (tokenizer.decode(p) for p in parts)
    return prefix + rest + suffix


characters = st.one_of(
    st.sampled_from(list("abcdef ABC  \n\n\t  '.,(){}=:;0123456789 ²½٣é漢🙂\u00a0\u2028\u3000\x00\r")),
    st.sampled_from(["'s", " the", "    ", "\n\n\n", "def ", "return", "self", " = ", MARKUP["<jupyter_code>"]]),
    st.characters(exclude_categories=("Cs",)).filter(lambda c: not 0xFDD0 <= ord(c) <= 0xFDEF),
)
contents = st.lists(characters, max_size=60).map("".join)
keys = st.integers(0, MASK)


@given(contents, keys, st.sampled_from([0.0, 0.5, 1.0]))
def test_it_equals_tokenizing_the_parts_as_a_whole(tokenizer, content, key, spm):
    fim = Fim(rate=1.0, spm_rate=spm)
    _, (made,), _ = permute(tokenizer, [content], [key], fim)
    assert made.tolist() == reference(tokenizer, content, key, fim)


def test_it_equals_tokenizing_the_parts_as_a_whole_in_longer_texts(tokenizer):
    texts = [text(n, 1 + n % 400) for n in range(300)]
    seeds = [mixed(n) for n in range(300)]
    _, made, counts = permute(tokenizer, texts, seeds)
    assert [m.tolist() for m in made] == [reference(tokenizer, t, k, Fim()) for t, k in zip(texts, seeds, strict=True)]
    assert counts["fim_unfitting"] == 0 and counts["psm"] and counts["spm"]


@given(st.lists(contents, min_size=1, max_size=6), keys, st.integers(0, 60))
def test_undone_it_is_the_document_and_never_larger_than_its_sample(tokenizer, texts, key, room):
    seeds = [mixed(key ^ n) for n in range(len(texts))]
    held = sum(len(tokenizer.encode_one(t)) + 1 for t in texts)
    before, made, counts = permute(tokenizer, texts, seeds, Fim(rate=1.0), held + room)
    assert [unpermuted(tokenizer, m) for m in made] == texts
    assert sum(map(len, made)) <= held + room
    changed = sum(m[0] == PREFIX for m in made)
    assert counts["psm"] + counts["spm"] == changed == counts["fim_drawn"] - counts["fim_unfitting"]
    assert all(m.tolist() == b.tolist() for m, b in zip(made, before, strict=True) if m[0] != PREFIX)


@given(contents, keys)
def test_no_special_token_is_torn_and_none_appears(tokenizer, content, key):
    content = MARKUP["<issue_start>"] + content + MARKUP["<issue_closed>"]
    (before,), (made,), _ = permute(tokenizer, [content], [key], Fim(rate=1.0))
    special = lambda tokens: sorted(t for t in tokens if t < len(SPECIAL_TOKENS))  # noqa: E731
    assert special(made) == sorted([*special(before), PREFIX, SUFFIX, MIDDLE])


@given(contents, keys)
def test_a_header_of_metadata_is_never_cut(tokenizer, content, key):
    header = f"{MARKUP['<reponame>']}owner/name{MARKUP['<gh_stars>']}1-10\n"
    _, (made,), _ = permute(tokenizer, [header + content], [key], Fim(rate=1.0))
    assert header in tokenizer.decode(made) and unpermuted(tokenizer, made) == header + content


def test_only_the_beginning_of_a_document_has_a_header(tokenizer):
    content = f"{MARKUP['<reponame>']}owner/name\n"
    _, (made,), counts = permute(tokenizer, [content], [3], Fim(rate=1.0))
    assert counts["fim_drawn"] == 0 and made[0] != PREFIX
    _, (made,), counts = permute(tokenizer, [content], [3], Fim(rate=1.0), starts=[40])
    assert counts["fim_drawn"] == 1


def test_a_fragment_without_an_end_keeps_none(tokenizer):
    _, (made,), _ = permute(tokenizer, ["def f(a): return a"], [5], Fim(rate=1.0), end=False)
    assert EOD not in made and unpermuted(tokenizer, made) == "def f(a): return a"


def test_rates_are_within_what_chance_allows(tokenizer):
    count = 4000
    for rate, spm in ((0.5, 0.5), (0.9, 0.2)):
        _, _, counts = permute(tokenizer, ["some text"] * count, [mixed(n) for n in range(count)], Fim(rate, spm))
        for found, of, share in ((counts["fim_drawn"], count, rate), (counts["spm"], counts["fim_drawn"], spm)):
            assert abs(found - of * share) < 4 * np.sqrt(of * share * (1 - share))


def test_cuts_are_uniform_over_characters(tokenizer):
    content, count = "漢a " * 5, 6000
    _, made, _ = permute(tokenizer, [content] * count, [mixed(n) for n in range(count)], Fim(1.0, 0.0))
    firsts = [len(tokenizer.decode(m[1 : np.flatnonzero(m == SUFFIX)[0]])) for m in made]
    found = np.bincount(firsts, minlength=len(content) + 1)
    # The smaller of two draws from n places is at place k in 2 (n - k) - 1 of n² cases.
    n = len(content) + 1
    wanted = count * (2 * (n - np.arange(n)) - 1) / n**2
    assert (((found - wanted) ** 2) / wanted).sum() < 45


def test_keys_differ_by_seed_epoch_document_copy_and_place():
    data = np.frombuffer(b"aabbaabb", np.uint8)
    edges, zeros = np.array([0, 2, 4, 6, 8]), np.zeros(4, np.int64)

    def keys_of(seed=1, epoch=0, copies=(0, 0, 1, 0), starts=(0, 0, 0, 9)):
        given = np.array(starts, np.int64), np.array(copies, np.int32)
        return fragment_keys(data, edges, *given, np.uint64(seed), zeros + epoch).tolist()

    assert len(set(keys_of())) == 4
    assert not set(keys_of()) & (set(keys_of(seed=2)) | set(keys_of(epoch=1)))


# --- Megatron's way -------------------------------------------------------------------------------------------------


def megatron(sample, key, rate, spm_rate, tokenizer):
    """`GPTDataset.__getitem__` and `permute` of the Megatron fork at 7c325cd3, told in its own order."""
    chance = np.random.RandomState(key)

    def permute(sequence):
        if not chance.binomial(1, rate):
            return list(sequence)
        contents = tokenizer.decode(sequence)
        boundaries = list(chance.randint(low=0, high=len(contents) + 1, size=2))
        boundaries.sort()
        prefix = tokenizer.encode_one(contents[: boundaries[0]]).tolist()
        middle = tokenizer.encode_one(contents[boundaries[0] : boundaries[1]]).tolist()
        suffix = tokenizer.encode_one(contents[boundaries[1] :]).tolist()
        if chance.binomial(1, spm_rate):
            return [PREFIX, SUFFIX, *suffix, MIDDLE, *prefix, *middle]
        return [PREFIX, *prefix, SUFFIX, *suffix, MIDDLE, *middle]

    begin, new = 0, []
    for place in (n for n, token in enumerate(sample) if token == EOD):
        if place - begin > 0:
            new += [*permute(sample[begin:place]), EOD]
        begin = place + 1
    new += permute(sample[begin:])
    return new[: len(sample)] + [PAD] * (len(sample) - len(new))


def test_the_way_to_reproduce_is_megatrons(tokenizer):
    # A character that the tokenizer has no token for is several, and a sample may end among them.
    texts = [text(n, n * 13 % 200).replace("x1", "\N{SNOWMAN}") for n in range(200)]
    stream = np.concatenate([[*tokenizer.encode_one(t), EOD] for t in texts])
    changed = torn = 0
    for n in range(0, len(stream) - 257, 256):
        sample = stream[n : n + 257].astype(np.uint16)
        made = permuted_sample(sample, n, Fim(0.5, 0.5, reproduce=True), tokenizer)
        assert made.tolist() == megatron(sample, n, 0.5, 0.5, tokenizer)
        changed += made.tolist() != sample.tolist()
        torn += "\N{REPLACEMENT CHARACTER}" in tokenizer.decode(made)
    assert changed > 20 and torn


def test_megatrons_way_loses_the_last_middle_and_learns_padding(tokenizer):
    whole = tokenizer.encode_one(text(1, 400))[:257]
    lost = permuted_sample(whole, 3, Fim(1.0, 0.0, reproduce=True), tokenizer)
    assert len(lost) == 257 and lost[0] == PREFIX
    ends = np.full(257, EOD, np.uint16)
    assert (permuted_sample(ends, 3, Fim(0.0), tokenizer) == PAD).all()


def test_rates_are_rates():
    with pytest.raises(ValueError, match="rates"):
        Fim(rate=1.5)


def test_draws_do_not_change_from_one_version_to_the_next(tokenizer):
    """Who resumes after an upgrade goes on with the same data."""
    _, made, _ = permute(tokenizer, ["abc def " * 9] * 50, [mixed(n) for n in range(50)])
    kinds = [(m[0] == PREFIX) + (m[0] == PREFIX and m[1] == SUFFIX) for m in made]
    assert hashlib.sha256(bytes(map(int, kinds))).hexdigest()[:12] == "ed8f95445329"
