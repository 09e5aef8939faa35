"""Ops of the tests' own, found the way an outside package's are: their texts do not change with the project's ops."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine import catalogue

OUTSIDE = Path(__file__).parent / "outside"


@pytest.fixture(scope="module")
def sample_ops(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A catalogue of the packages `sample_ops` and `wrong_ops` alone."""
    site = tmp_path_factory.mktemp("site")
    info = site / "sample-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: sample\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[engine.ops]\nsample = sample_ops\nwrong = wrong_ops\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(catalogue, "PACKAGES", ())
        patch.setattr(sys, "path", [str(OUTSIDE), str(site), *sys.path])
        catalogue.refresh()
        yield
    for name in [n for n in sys.modules if n.split(".")[0] in ("sample_ops", "wrong_ops")]:
        del sys.modules[name]
    catalogue.refresh()
