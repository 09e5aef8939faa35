import pyarrow as pa
import pytest
from pydantic import ValidationError

from engine.op import Ledger
from ops.lines import LineLength

ROWS = [
    # longest line, mean line, language, extension
    (1000, 100.0, "python", "py"),
    (1001, 100.0, "python", "py"),
    (1000, 100.1, "python", "py"),
    (5000, 900.0, "assembly", "asm"),
    (1001, 100.0, "assembly", "nasm"),
    (500, 100.0, "glsl", "fsh"),
    (501, 20.0, "glsl", "fsh"),
    (501, 20.0, "glsl", "frag"),
    (100, 100.1, "glsl", "fsh"),
    (9999, 999.0, "json", "json"),
    (1001, 10.0, "yaml", "yml"),
    (1001, 10.0, None, None),
    (1001, 10.0, "klingon", "tlh"),
    (0, 0.0, "python", "py"),
]


def reasons(op: LineLength) -> list[str | None]:
    longest, mean, language, extension = (pa.array(column) for column in zip(*ROWS, strict=True))
    return op.drop(longest, mean, language, extension).reason().to_pylist()


def test_starcoders_exceptions() -> None:
    long, mean = "longest_line", "mean_line"
    wanted = [None, long, mean, None, long, None, long, None, mean, None, long, long, long, None]
    assert reasons(LineLength()) == wanted


def test_without_exceptions_every_file_is_judged_alike() -> None:
    longer = [None if longest <= 2000 and mean <= 100 else "mean_line" for longest, mean, *_ in ROWS]
    longer = ["longest_line" if longest > 2000 else reason for (longest, *_), reason in zip(ROWS, longer, strict=True)]
    assert reasons(LineLength(longest=2000, exceptions="none")) == longer


def test_a_parameter_does_not_move_an_extensions_own_bound() -> None:
    assert reasons(LineLength(longest=2000))[6] == "longest_line"


def test_the_ledger_has_the_length() -> None:
    batch = pa.RecordBatch.from_pydict(
        {
            "id": ["a", "b"],
            "stream": ["code"] * 2,
            "longest_line": [12, 1200],
            "mean_line": [3.0, 400.0],
            "language": ["python"] * 2,
            "extension": ["py"] * 2,
        }
    )
    ledger = Ledger()
    assert LineLength().run(batch, ledger).column("id").to_pylist() == ["a"]
    assert ledger.table().select(["id", "reason", "score"]).to_pylist() == [
        {"id": "b", "reason": "longest_line", "score": 1200.0}
    ]


@pytest.mark.parametrize("wrong", [{"longest": 0}, {"mean": -1}, {"exceptions": "all"}])
def test_bounds_are_positive(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        LineLength.model_validate(wrong)
