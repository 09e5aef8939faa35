"""Names read like text; drawn strings do not."""

import random
import string

import pytest

from ops.gibberish import SIZE, is_gibberish, surprise, table, train

_NAMES = [
    "database_connection",
    "getElementById",
    "background-color",
    "the_quick_brown_fox",
    "AbstractFactory",
    "user_name",
]


@pytest.mark.parametrize("name", _NAMES)
def test_names_are_no_gibberish(name):
    assert not is_gibberish(name.encode())


@pytest.mark.parametrize("alphabet", [string.ascii_letters + string.digits, "0123456789abcdef", string.ascii_lowercase])
def test_drawn_strings_are(alphabet):
    chance = random.Random(4)
    drawn = ["".join(chance.choice(alphabet) for _ in range(32)) for _ in range(200)]
    assert sum(is_gibberish(d.encode()) for d in drawn) >= 198


def test_the_table_is_of_its_size_and_case_does_not_matter():
    assert table().shape == (SIZE**3,)
    assert surprise(b"Hello") == surprise(b"hEllO")
    assert surprise(b"") == 0


def test_training_makes_what_was_seen_likely():
    trained = train([b"abc abc abc " * 50]).reshape(SIZE, SIZE, SIZE)
    assert trained[0, 1, 2] < trained[0, 1, 3]
