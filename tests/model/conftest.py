"""A small packed run and a training on it, made once for all tests that look at one."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_training import trained
from token_corpus import packed_run


@pytest.fixture(scope="session")
def run(tmp_path_factory) -> str:
    """A small finished run, packed into samples of 64 tokens."""
    return str(packed_run(tmp_path_factory.mktemp("packed"), length=64, validation=0.1).parent)


@pytest.fixture(scope="session")
def undisturbed(run, tmp_path_factory) -> Path:
    """What a training leaves that nothing happened to."""
    return trained(run, tmp_path_factory.mktemp("undisturbed") / "train")
