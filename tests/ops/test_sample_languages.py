"""Shares of languages."""

import pyarrow as pa
import pytest

from engine.digest import document_ids
from engine.schema import TEXT
from ops.sample_languages import SampleLanguages


def fates(languages, **options):
    ids = document_ids("x", [pa.array([str(n) for n in range(len(languages))], TEXT)])
    batch = pa.RecordBatch.from_pydict({"id": ids, "language": pa.array(languages, TEXT)})
    return SampleLanguages(**options).judge(batch)[1].reason().to_pylist()


@pytest.mark.parametrize("language", ["json", "yaml", "xml", "html"])
def test_data_formats(language):
    found = fates([language] * 4000)
    assert found.count(None) / 4000 == pytest.approx(0.5, abs=0.03)


def test_other_languages_are_kept():
    assert set(fates(["python", None, "java", "markdown"] * 200)) == {None}


def test_shares_of_ones_own():
    found = fates(["java", "json"] * 3000, keep={"java": 0.25})
    assert found[::2].count(None) / 3000 == pytest.approx(0.25, abs=0.03) and set(found[1::2]) == {None}
    assert set(fates(["java"] * 50, keep={"java": 0})) == {"language_sampled"}


def test_a_language_that_nobody_knows_is_a_mistake():
    with pytest.raises(ValueError, match="there is no language `jsno`; did you mean `json`"):
        SampleLanguages(keep={"jsno": 0.5})
