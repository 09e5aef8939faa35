"""The presets' sizes are those of the released models; shapes that cannot be are told."""

import pytest

from engine.errors import OpError
from model.config import PRESETS, ModelConfig, preset

RELEASED = {"1b": 1_137_207_296, "3b": 3_043_311_104, "7b": 7_327_263_232, "15b": 15_517_456_384}


@pytest.mark.parametrize("name", RELEASED)
def test_the_presets_have_the_released_numbers_of_parameters(name):
    assert preset(name).parameters == RELEASED[name]
    assert (preset(name).context, preset(name).vocabulary, preset(name).head_width) == (8192, 49_152, 128)
    assert preset(name).inner == 4 * preset(name).width


def test_santacoder_too():
    santa = preset("1b", context=2048, vocabulary=49_280)
    assert santa.parameters == 1_124_886_528


def test_the_arithmetic_of_the_largest_is_that_of_its_parts():
    config = preset("15b")
    assert config.block_parameters == 379_128_064
    many_heads = preset("15b", multi_query=False)
    assert round(many_heads.parameters / 1e9, 2) == 18.47


def test_our_own_sizes():
    assert {n: round(c.parameters / 1e6) for n, c in PRESETS.items() if n not in RELEASED} == {"tiny": 17, "100m": 113}


def test_initialisation_is_that_of_the_released_sizes():
    told = {"15b": 0.01275, "7b": 0.015625, "3b": 0.01884, "1b": 0.02209}
    assert {n: preset(n).init_std for n in told} == pytest.approx(told, abs=1e-5)


def test_a_changed_width_changes_the_inner_one():
    assert preset("tiny", width=128).inner == 512
    assert preset("tiny", width=128, inner=64).inner == 64


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: preset("15g"), "no preset `15g`; did you mean `15b`"),
        (lambda: preset("tiny", heads=3), "a width of 256 cannot be shared evenly by 3 heads"),
        (lambda: preset("tiny", layers=0), "layers must be 1 or more"),
        (lambda: ModelConfig(1, 8, 1, dropout=1.0), "dropout = 1.0"),
    ],
)
def test_what_cannot_be_is_told(make, told):
    with pytest.raises(OpError, match=told.replace("(", r"\(")):
        make()
