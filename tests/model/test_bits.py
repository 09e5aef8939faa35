"""Bits a byte: every token is scored once, with the context it should have, on files that training never saw."""

from __future__ import annotations

import lzma
import math
import xml.etree.ElementTree as ET

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from token_corpus import packed_run

from engine.tokenizer import read
from model import bits
from model.config import ModelConfig
from model.loader import EOD, NO_LOSS, Loader
from model.transformer import decoder


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> str:
    return str(packed_run(tmp_path_factory.mktemp("packed"), length=64, validation=0.1).parent)


def files(*lengths: int) -> list[np.ndarray]:
    chance = np.random.default_rng(sum(lengths))
    return [np.append(chance.integers(1, 50, n - 1), EOD) for n in lengths]


@given(st.lists(st.integers(1, 100), min_size=1, max_size=6), st.integers(2, 20))
def test_every_token_is_a_target_once_with_half_a_context_before_it(lengths, length):
    given_files = files(*lengths)
    scored: list[list[int]] = [[] for _ in given_files]
    for part in bits.pieces(given_files, length):
        assert len(part.inputs) == len(part.targets) <= length
        counted = part.targets[part.targets != NO_LOSS]
        scored[part.file] += counted.tolist()
        first = int(np.argmax(part.targets != NO_LOSS))
        assert first == 0 or first >= length - length // 2 - 1 >= 0
    assert scored == [f.tolist() for f in given_files]


@given(st.lists(st.integers(1, 60), min_size=1, max_size=8), st.integers(2, 20))
def test_rows_hold_every_piece_and_no_more_than_fits(lengths, length):
    parts = list(bits.pieces(files(*lengths), length))
    rows = bits.packed(parts, length)
    assert sorted(map(id, parts)) == sorted(id(p) for row in rows for p in row)
    assert all(sum(len(p.inputs) for p in row) <= length for row in rows)


def test_nats_are_those_of_each_file_by_itself():
    model = decoder(ModelConfig(layers=2, width=32, heads=2, context=32, vocabulary=64), seed=1).eval()
    given_files = files(5, 20, 1, 33, 12)
    expected = []
    for tokens in given_files:
        first = model.token_losses(torch.tensor([[EOD]]), torch.tensor(tokens[None, :1]))
        total = first.sum().item()
        if len(tokens) > 1:
            total += model.token_losses(torch.tensor(tokens[None, :-1]), torch.tensor(tokens[None, 1:])).sum().item()
        expected.append(total)
    found = bits.nats(model, given_files, 32, 3, "cpu")
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    shared = sum(bits.nats(model, given_files, 32, 1, "cpu", rank, 3) for rank in range(3))
    np.testing.assert_allclose(shared, expected, rtol=1e-5)


def test_held_out_files_are_none_that_was_trained_on(run):
    files_ = bits.held_out(run, 1000, 1)
    splits = [Loader(f"{run}/tokens", batch=1, split=split) for split in ("train", "validation")]
    seen, held = (set(each.which_documents(0, each.samples).column("id").to_pylist()) for each in splits)
    found = files_.column("id").to_pylist()
    assert found and not seen & set(found) and set(found) <= held and len(found) == len(set(found))
    assert bits.sizes(files_).min() >= bits.SMALLEST_FILE
    assert bits.held_out(run, 2, 1).column("id").to_pylist() == found[:2]
    tokens = bits.tokens_of(files_, read(f"{run}/tokens/tokenizer"))
    assert len(tokens) == len(found) and all(t[-1] == EOD for t in tokens)


def test_figures_are_means_over_files_and_totals_over_bytes():
    table = pa.table({"language": ["c", "c", None], "content": ["a" * 10, "b" * 30, "é" * 5]})
    nats = np.array([10.0, 60.0, 5.0]) * math.log(2)
    told = bits.compared(table, nats, bits.xz_bits(table))
    assert told["files"] == 3 and told["bytes"] == 50
    assert told["mean"] == pytest.approx((1 + 2 + 0.5) / 3, abs=1e-3) and told["total"] == pytest.approx(75 / 50)
    assert told["languages"]["c"]["mean"] == 1.5 and list(told["languages"]) == ["c", ""]
    assert told["xz_total"] == pytest.approx(
        sum(8 * len(lzma.compress(t.encode(), preset=9)) for t in table.column("content").to_pylist()) / 50, abs=1e-3
    )


def test_the_curve_is_a_drawing_with_the_compressors_line():
    root = ET.fromstring(bits.curve([(0, 4.0), (1000, 2.5), (2000, 2.0)], 2.7))
    line = next(root.iter("{http://www.w3.org/2000/svg}polyline")).get("points") or ""
    heights = [float(point.split(",")[1]) for point in line.split()]
    assert len(heights) == 3 and heights == sorted(heights)
    level = next(e for e in root.iter("{http://www.w3.org/2000/svg}line") if e.get("stroke-dasharray"))
    assert heights[0] < float(level.get("y1") or 0) < heights[1]
