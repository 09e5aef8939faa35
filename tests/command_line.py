"""The command line called in this process."""

from __future__ import annotations

import sys
from typing import NamedTuple

import pytest

from engine import cli


class Told(NamedTuple):
    """What a command answered."""

    code: int
    out: str
    err: str


def engine(capsys: pytest.CaptureFixture[str], *arguments: object) -> Told:
    """Runs `engine` with these arguments."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["engine", *map(str, arguments)])
        try:
            cli.main()
            code = 0
        except SystemExit as end:
            code = int(end.code or 0)
    told = capsys.readouterr()
    return Told(code, told.out, told.err)
