import pyarrow as pa
import pytest
from pydantic import ValidationError

from ops.size import Size

SIZES = [0, 49, 50, 51, 4999, 5000, 5001, 10**7]


def reasons(op: Size, language: str | None) -> list[str | None]:
    return op.drop(pa.array(SIZES), pa.array([language] * len(SIZES), pa.large_string())).reason().to_pylist()


@pytest.mark.parametrize("language", ["json", "yaml"])
def test_both_ends_are_kept(language: str) -> None:
    few, many = "too_few_characters", "too_many_characters"
    assert reasons(Size(), language) == [few, few, None, None, None, None, many, many]


@pytest.mark.parametrize("language", ["python", None])
def test_other_languages_are_not_judged(language: str | None) -> None:
    assert reasons(Size(), language) == [None] * len(SIZES)


def test_parameters() -> None:
    few, many = "too_few_characters", "too_many_characters"
    op = Size(languages=("toml",), at_least=51, at_most=51)
    assert reasons(op, "toml") == [few, few, few, None, many, many, many, many]
    assert reasons(op, "json") == [None] * len(SIZES)


@pytest.mark.parametrize("wrong", [{"at_least": 10, "at_most": 9}, {"languages": []}, {"at_least": -1}])
def test_parameters_that_judge_nothing_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Size.model_validate(wrong)
