"""A share by chance: of the right size, a part of every larger one, and no one else's business."""

import pyarrow as pa
import pytest

from engine.run import Run
from engine.schema import TEXT
from ops.sample import Sample

IDS = pa.array([f"{n:032x}" for n in range(20_000)], TEXT)


def kept(ids=IDS, **options):
    codes = Sample(**options).drop(ids).codes()
    return {i for i, code in zip(ids.to_pylist(), codes, strict=True) if code < 0}


@pytest.mark.parametrize("share", [0.01, 0.3, 0.9])
def test_the_share_is_near(share):
    # Five standard deviations of a binomial distribution.
    assert abs(len(kept(keep=share)) - 20_000 * share) < 5 * (20_000 * share * (1 - share)) ** 0.5


def test_all_and_nothing():
    assert len(kept(keep=1)) == 20_000 and not kept(keep=0)


def test_a_smaller_share_is_part_of_a_larger_one():
    assert kept(keep=0.1) < kept(keep=0.2)


def test_other_documents_do_not_matter():
    assert kept(IDS[5000:5100], keep=0.5) == kept(keep=0.5) & set(IDS[5000:5100].to_pylist())


def test_another_seed_chooses_others():
    assert kept(keep=0.1, seed=1) != kept(keep=0.1, seed=2)


def test_the_seed_is_the_recipes(make_corpus, run_recipe, tmp_path):
    text = 'name: t\nseed: %d\nsource: {{parquet: {{path: "{path}"}}}}\nsteps: [sample: {{keep: 0.5%s}}]\n'
    folder = make_corpus()
    for name, seed, given in (("a", 1, ""), ("b", 2, ""), ("c", 2, ", seed: 1")):
        run_recipe(tmp_path / name, folder, text % (seed, given))
    a, b, c = (set(Run(str(tmp_path / n)).documents.collect()["id"]) for n in "abc")
    assert a == c != b
