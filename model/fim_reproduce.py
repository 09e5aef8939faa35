"""Fill-in-the-middle as StarCoder's fork of Megatron did it, faults included, to reproduce its training data.

On a packed sample: each segment between ends of documents is turned into text and its three parts into tokens again,
so characters that a sample's edge cut in two become U+FFFD; the sample is then cut to its length, which may take the
last middle, or padded, and padding is learned. Metadata are cut like text. Megatron has one generator, which draws in
the order of access and so cannot resume; here draws are keyed by seed, epoch and sample.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.schema import SPECIAL_TOKENS
from engine.tokenizer import Tokenizer
from model.fim import EOD, MIDDLE, PREFIX, SUFFIX, Fim

PAD = SPECIAL_TOKENS.index("<fim_pad>")


def permuted_sample(sample: Any, key: int, fim: Fim, tokenizer: Tokenizer) -> Any:
    """The sample with its segments permuted, of the same length."""
    chance = np.random.RandomState(key % 2**32)
    made: list[Any] = []
    begin = 0
    for end in np.flatnonzero(sample == EOD).tolist():
        # An empty segment loses its end of text.
        if end > begin:
            made += [_permuted(sample[begin:end], chance, fim, tokenizer), [EOD]]
        begin = end + 1
    made.append(_permuted(sample[begin:], chance, fim, tokenizer))
    out = np.concatenate(made)[: len(sample)]
    return np.concatenate([out, np.full(len(sample) - len(out), PAD)]).astype(np.uint16)


def _permuted(segment: Any, chance: Any, fim: Fim, tokenizer: Tokenizer) -> Any:
    if not chance.binomial(1, fim.rate):
        return segment
    text = tokenizer.decode(segment)
    first, second = sorted(chance.randint(low=0, high=len(text) + 1, size=2))
    prefix, middle, suffix = (tokenizer.encode_one(t) for t in (text[:first], text[first:second], text[second:]))
    if chance.binomial(1, fim.spm_rate):
        return np.concatenate([[PREFIX, SUFFIX], suffix, [MIDDLE], prefix, middle])
    return np.concatenate([[PREFIX], prefix, [SUFFIX], suffix, [MIDDLE], middle])
