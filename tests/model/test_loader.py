"""The reader: every sample once, the same whatever the ranks, and what each batch was made of."""

from __future__ import annotations

import json

import numpy as np
import pytest
from token_corpus import packed_run

from engine.errors import Refused
from engine.token_shards import open_shard, read_manifest
from model.fim import Fim
from model.loader import EOD, NO_LOSS, PAD, Loader

LENGTH = 256


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> str:
    return str(packed_run(tmp_path_factory.mktemp("packed"), validation=0.1))


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> str:
    """Documents plainly concatenated."""
    return str(packed_run(tmp_path_factory.mktemp("plain"), reproduce=True))


def stored(folder: str, split: str = "train") -> list[dict]:
    shards = read_manifest(folder).of(split)
    return [row for shard in shards for row in open_shard(folder, shard).table().to_pylist()]


def test_a_batch_is_the_samples_of_its_step(folder):
    loader, samples = Loader(folder, batch=12, seed=1), stored(folder)
    batch = loader.batch(2)
    assert batch.x.shape == batch.y.shape == (12, LENGTH) and batch.x.dtype == batch.y.dtype == np.int64
    for row, number in enumerate(batch.samples):
        sample = samples[number]
        tokens = np.array(sample["tokens"])
        padded = np.append(tokens, np.full(LENGTH + 1 - len(tokens), PAD))
        assert (batch.x[row] == padded[:LENGTH]).all()
        target = np.append(tokens[1:], np.full(LENGTH + 1 - len(tokens), NO_LOSS))
        for end in sample["ends"][:-1]:
            if tokens[end - 1] != EOD:
                target[end - 1] = NO_LOSS
        assert (batch.y[row] == target).all()
        bounds = [0, *sample["ends"]]
        assert batch.bounds[row].tolist() == bounds + [LENGTH] * (loader.documents_at_most + 2 - len(bounds))
    assert batch.counts["tokens"] + batch.counts["padding"] == 12 * (LENGTH + 1)


def test_an_epoch_has_every_sample_once(folder):
    loader = Loader(folder, batch=7, seed=1)
    seen = [int(s) for b in loader.batches(0, loader.steps_per_epoch + 1) for s in b.samples]
    assert sorted(seen[: loader.samples]) == list(range(loader.samples))
    assert len(stored(folder)) == loader.samples


def test_evaluation_sees_every_sample_once(folder):
    loader = Loader(folder, batch=4, split="validation", ranks=2, rank=0)
    other = Loader(folder, batch=4, split="validation", ranks=2, rank=1)
    seen = [s for part in (loader, other) for b in part.once(3) for s in b.samples.tolist()]
    assert sorted(seen) == list(range(len(stored(folder, "validation"))))


@pytest.mark.parametrize("fim", [None, Fim(0.9)], ids=["plain", "fim"])
@pytest.mark.parametrize("weights", [None, {"code": 1, "issues": 3}], ids=["once", "weighted"])
def test_ranks_and_resuming_do_not_change_what_is_read(folder, fim, weights):
    given = {"seed": 3, "fim": fim, "weights": weights}
    whole = Loader(folder, batch=24, **given)
    steps = list(range(40))
    wanted = {step: whole.batch(step) for step in steps}
    for ranks in (1, 2, 3, 8):
        parts = [Loader(folder, batch=24, rank=r, ranks=ranks, **given) for r in range(ranks)]
        begin = ranks * 4
        assert all(part.resume(whole.state(begin)) == begin for part in parts)
        runs = [part.batches(begin, begin + 3) for part in parts]
        for step in range(begin, begin + 3):
            made = [next(run) for run in runs]
            for name in ("x", "y", "bounds", "sequences", "samples", "epochs"):
                assert (np.concatenate([getattr(b, name) for b in made]) == getattr(wanted[step], name)).all()


def test_the_sequence_does_not_depend_on_the_batch(folder):
    small, large = Loader(folder, batch=5, seed=2, fim=Fim()), Loader(folder, batch=15, seed=2, fim=Fim())
    assert (np.concatenate([small.batch(n).x for n in range(3, 6)]) == large.batch(1).x).all()
    assert small.resume(large.state(4)) == 12


def test_epochs_draw_fill_in_the_middle_anew(folder):
    loader = Loader(folder, batch=1, seed=2, fim=Fim(1.0))
    by_sample: dict[int, list] = {}
    for step in range(2 * loader.samples):
        batch = loader.batch(step)
        by_sample.setdefault(int(batch.samples[0]), []).append(batch.x[0])
    assert all(len(rows) == 2 for rows in by_sample.values())
    assert sum((a != b).any() for a, b in by_sample.values()) > 0.9 * loader.samples


def test_positions_and_the_bounds_of_all_rows(folder):
    batch = Loader(folder, batch=6, fim=Fim()).batch(0)
    positions, flat = batch.positions(), batch.cu_seqlens()
    for row in range(6):
        ends = np.unique(batch.bounds[row])
        assert (positions[row] == np.concatenate([np.arange(n) for n in np.diff(ends)])).all()
    assert len(flat) == 6 * (batch.bounds.shape[1] - 1) + 1 and flat.dtype == np.int32
    assert flat[0] == 0 and flat[-1] == 6 * LENGTH and (np.diff(flat) >= 0).all()
    wanted = {row * LENGTH + int(end) for row in range(6) for end in batch.bounds[row]}
    assert set(flat.tolist()) == wanted


def test_documents_stay_in_their_bounds_when_permuted(folder):
    loader = Loader(folder, batch=32, seed=4, fim=Fim(1.0))
    for step in range(4):
        batch = loader.batch(step)
        documents = loader.which_documents(step)
        for row in range(32):
            whole = np.append(batch.x[row], batch.y[row, -1])
            mine = documents.filter(np.asarray(documents["sequence"]) == batch.sequences[row])
            assert len(np.unique(batch.bounds[row])) - 1 <= mine.num_rows + 1
            for k, end in enumerate(batch.bounds[row, 1 : mine.num_rows].tolist()):
                # A document that is whole here ends with its end of text.
                following = mine["start"][k + 1].as_py()
                assert whole[end - 1] == EOD or following == 0


def test_which_documents_were_read(folder):
    loader, samples = Loader(folder, batch=6, seed=9, ranks=3, rank=1), stored(folder)
    found = loader.which_documents(4, 7)
    assert set(found["step"].to_pylist()) == {4, 5, 6}
    for step in (4, 5, 6):
        batch = Loader(folder, batch=6, seed=9).batch(step)
        wanted = [i for number in batch.samples for i in samples[number]["id"]]
        mine = found.filter(np.asarray(found["step"]) == step)
        assert mine["id"].to_pylist() == wanted
        assert sum(mine["tokens"].to_pylist()) == batch.counts["tokens"]


def test_changed_data_and_settings_are_refused_unless_forced(folder, plain):
    state = Loader(folder, batch=8, seed=1, fim=Fim()).state(5)
    # A checkpoint keeps it as JSON.
    assert Loader(folder, batch=8, seed=1, fim=Fim()).resume(json.loads(json.dumps(state))) == 5
    others = {
        "shards changed": Loader(plain, batch=8, seed=1),
        "`seed` is 2 and was 1": Loader(folder, batch=8, seed=2, fim=Fim()),
        "`fim` is": Loader(folder, batch=8, seed=1),
        "`weights` is": Loader(folder, batch=8, seed=1, fim=Fim(), weights={"code": 1}),
    }
    for told, loader in others.items():
        with pytest.raises(Refused, match=told):
            loader.resume(state)
        assert loader.resume(state, force=True) == 5
    with pytest.raises(Refused, match="no whole number of batches of 7"):
        Loader(folder, batch=7, seed=1, fim=Fim()).resume(state)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"ranks": 3}, "3 ranks do not divide a batch of 8"),
        ({"split": "test"}, "has no split `test`"),
        ({"weights": {"prose": 1}}, "no weight can be given to prose; the streams are code, issues"),
        ({"weights": {"code": 0}}, "weights of all streams are 0"),
    ],
)
def test_what_cannot_be_read_is_told(folder, given, told):
    with pytest.raises(Refused, match=told):
        Loader(folder, batch=8, **given)


def test_plainly_concatenated_samples_are_learned_whole(plain):
    loader = Loader(plain, batch=8, seed=1, fim=Fim(0.5, reproduce=True))
    batch = loader.batch(0)
    # All targets are learned, as Megatron's are: those of padding and of the next document too.
    assert (batch.x[:, 1:] == batch.y[:, :-1]).all() and (batch.y != NO_LOSS).all()
    assert (batch.x == loader.batch(0).x).all()
    for row in range(8):
        ends = batch.bounds[row]
        assert (batch.x[row, ends[1:][ends[1:] < LENGTH] - 1] == EOD).all()
    with pytest.raises(Refused, match="no room for fill-in-the-middle"):
        Loader(plain, batch=8, fim=Fim())


def test_shards_elsewhere_are_refused(folder):
    with pytest.raises(Refused, match="copy"):
        loader = Loader(folder, batch=1)
        loader.folder = "memory://elsewhere"
        loader.batch(0)
