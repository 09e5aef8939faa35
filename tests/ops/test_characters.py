import pyarrow as pa
import pytest
from pydantic import ValidationError

from ops.characters import Alphabetic, Alphanumeric


def dropped(op: Alphanumeric | Alphabetic, rows: list[tuple[float, str | None, str | None]]) -> list[bool]:
    verdict = op.drop(*(pa.array(column) for column in zip(*rows, strict=True)))
    return [reason is not None for reason in verdict.reason().to_pylist()]


def test_a_share_at_the_bound_is_kept() -> None:
    rows = [(0.25, "python", "py"), (0.2499, "python", "py"), (0.0, "python", "py"), (1.0, None, None)]
    assert dropped(Alphanumeric(), rows) == [False, True, True, False]
    assert dropped(Alphanumeric(at_least=0.2), rows) == [False, False, True, False]


def test_extensions_that_are_exempt_from_the_alphanumeric_share() -> None:
    rows = [(0.1, "sas", "sas"), (0.1, "visual-basic", "frm"), (0.1, "visual-basic", "vb"), (0.1, None, None)]
    assert dropped(Alphanumeric(), rows) == [False, False, True, True]
    assert dropped(Alphanumeric(exceptions="none"), rows) == [True] * 4


def test_only_extensions_with_a_bound_are_held_to_letters() -> None:
    rows = [
        (0.49, "json", "json"),
        (0.5, "yaml", "yaml"),
        (0.49, "yaml", "yml"),
        (0.3, "ada", "ads"),
        (0.24, "ada", "ads"),
        (0.0, "ada", "adb"),
        (0.0, "assembly", "asm"),
        (0.0, None, None),
    ]
    assert dropped(Alphabetic(), rows) == [True, False, True, False, True, False, False, False]
    assert dropped(Alphabetic(at_least=0.1), rows) == [True, False, True, False, True, True, True, True]


def test_reason_score_and_bound() -> None:
    columns = pa.array([0.1, 0.9]), pa.array(["json"] * 2), pa.array(["json"] * 2)
    verdict = Alphabetic().drop(*columns)
    assert verdict.reason().to_pylist() == ["too_few_letters", None]
    assert verdict.score().to_pylist() == [0.1, None]
    assert verdict.checks["too_few_letters"].bound.to_pylist() == [0.5, 0.5]
    assert Alphanumeric().drop(*columns).reason().to_pylist() == ["too_few_alphanumeric", None]


@pytest.mark.parametrize("op", [Alphanumeric, Alphabetic])
def test_a_share_is_between_0_and_1(op: type[Alphanumeric | Alphabetic]) -> None:
    with pytest.raises(ValidationError):
        op(at_least=25)
