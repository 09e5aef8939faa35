import json
import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from engine.columns import OVERREAD
from ops.json_lines import BLANK, DEPTH, ERRORS, NULL, OTHER, STRING, Names, read_lines


def read(text, *names):
    data = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
    data = data if data.endswith(b"\n") else data + b"\n"
    # What stands behind the last line must not matter.
    return read_lines(np.frombuffer(data + b'"}]\\u12' * OVERREAD, np.uint8), len(data), Names(names))


def value(text, name="a"):
    """The kind of value under a name in one line, and its bytes."""
    lines = read(text, name)
    assert len(lines.errors) == 1
    return int(lines.kind(name)[0]), lines.text(name, slice(None))[0].as_py()


def error(text):
    (code,) = read(text, "a").errors
    return ERRORS[code] if code > 0 else code


def is_json(text):
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False


def well_formed(text):
    """A string as UTF-8 has it: what is half a pair becomes U+FFFD."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
objects = st.dictionaries(st.sampled_from(["a", "b", "a.b", 'q"\\\n', "é"]) | st.text(max_size=3), anything, max_size=5)


def look_up(row, name):
    """What stands under a dotted name: the last of the two readings, as the line has them."""
    found = []
    head, _, rest = name.partition(".")
    for key, inner in row.items():
        if key == name:
            found.append(inner)
        elif rest and key == head and isinstance(inner, dict):
            found += [inner[rest]] if rest in inner else []
    return found[-1:]


def equal(a, b):
    if isinstance(a, float) and math.isnan(a):
        return isinstance(b, float) and math.isnan(b)
    if isinstance(a, list):
        return isinstance(b, list) and len(a) == len(b) and all(map(equal, a, b))
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(equal(a[k], b[k]) for k in a)
    return type(a) is type(b) and a == b


@given(
    st.lists(objects, max_size=4), st.booleans(), st.sampled_from([None, 1]), st.sampled_from(["\n", "\r\n", " \t\n"])
)
def test_values_are_those_of_python(rows, ascii_only, indent, newline):
    names = ("a", "b", "a.b", 'q"\\\n', "é")
    spelled = [json.dumps(row, ensure_ascii=ascii_only, indent=indent).replace("\n", " ") for row in rows]
    lines = read("".join(line + newline for line in spelled) or b"", *names) if rows else read(b"\n", *names)
    if not rows:
        return
    assert not lines.errors.any()
    for name in names:
        texts = lines.text(name, slice(None)).to_pylist()
        for row, kind, text in zip(rows, lines.kind(name), texts, strict=True):
            found = look_up(row, name)
            if not found:
                assert (kind, text) == (0, None)
            elif found[0] is None:
                assert (kind, text) == (NULL, None)
            elif isinstance(found[0], str):
                assert kind == STRING and text == well_formed(found[0])
            else:
                assert kind == OTHER and equal(json.loads(text), found[0])


pieces = st.sampled_from(
    [
        *'{}[],:"\\ax0-19.eEtfn /',
        "true",
        "false",
        "null",
        "NaN",
        "Infinity",
        "-Infinity",
        '"a"',
        '"b":',
        "1.5e-3",
        "\\u00e9",
    ]
)


@given(st.lists(pieces, max_size=10).map("".join), st.booleans())
@example('{"a":1,}', False)
@example('{"a":01}', False)
@example('{"a":"\\ud83d\\ude00"}', False)
def test_what_is_json_is_what_python_says(text, wrapped):
    text = '{"a":' + text + "}" if wrapped else text
    code = int(read(text, "a").errors[0])
    assert (code == 0) == is_json(text)
    assert (code == BLANK) == (not text.strip(" "))


@given(st.text('\\u0189abcdefDE"nt/x', max_size=14))
def test_escapes_are_those_of_python(inside):
    text = f'{{"a":"{inside}"}}'
    assert (error(text) == 0) == is_json(text)
    if is_json(text) and isinstance(json.loads(text).get("a"), str):
        assert value(text) == (STRING, well_formed(json.loads(text)["a"]))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[1]", "is no JSON object"),
        ("hello", "is no JSON object"),
        ('{"a"', "has no name and colon where they belong"),
        ("{a: 1}", "has no name and colon where they belong"),
        ('{"a": }', "has no value where one belongs"),
        ('{"a": tru}', "has no value where one belongs"),
        ('{"a": "b', "has a string that does not end, or holds a control character"),
        ('{"a": "b\tc"}', "has a string that does not end, or holds a control character"),
        ('{"a": "\\x"}', "has an escape that JSON does not know"),
        ('{"a": "\\u12g4"}', "has an escape that JSON does not know"),
        ('{"a": 1 "b": 2}', "has neither comma nor bracket behind a value"),
        ('{"a": 1', "has neither comma nor bracket behind a value"),
        ('{"a": [1}', "has neither comma nor bracket behind a value"),
        ('{"a": 1} {"a": 2}', "goes on behind its object"),
        ('{"a": ' + "[" * DEPTH, "is nested too deep"),
    ],
)
def test_what_is_wrong_is_told(text, told):
    assert error(text) == told


def test_a_broken_line_leaves_the_others_alone():
    lines = read('{"a":"1"}\n\n{"a":"2\n  \n{"a":"3"}\n', "a")
    assert lines.errors.tolist() == [0, BLANK, 3, BLANK, 0]
    assert lines.columns[2] == 6
    assert lines.text("a", np.array([0, 4])).to_pylist() == [b"1", b"3"]


def test_escapes_of_long_texts():
    text = "".join(f'line {n}\n\t"quoted" \\ é \U0001f600 ' + "x" * (n % 130) for n in range(300))
    for ascii_only in (True, False):
        assert value(json.dumps({"a": text}, ensure_ascii=ascii_only)) == (STRING, text.encode())


def test_lone_surrogates_become_the_replacement_character():
    for inside in ("\\ud800", "\\udc00", "\\ud800x", "\\ud800\\n", "\\ud800\\ud800", "\\udc00\\ud83d\\ude00"):
        expected = json.loads(f'"{inside}"').encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        assert value(f'{{"a":"{inside}"}}') == (STRING, expected.encode())


def test_bytes_that_are_no_utf8_come_as_they_are():
    assert value(b'{"a":"\xff\x80"}') == (STRING, b"\xff\x80")


def test_the_last_of_equal_keys_counts():
    assert value('{"a":"1","a":"2"}') == (STRING, b"2")
    assert value('{"a":"1","a":null}') == (NULL, None)


def test_keys_in_lists_are_not_ours():
    assert value('{"x":[{"a":"1"}],"y":{"a":"1"}}') == (0, None)
    assert value('{"a":{"b":{"c":"1"}}}', "a.b.c") == (STRING, b"1")
    assert value('{"a":[{"b":"1"}]}', "a.b") == (0, None)
    assert value('{"a.b":"1"}', "a.b") == (STRING, b"1")


def test_deep_nesting_up_to_the_limit():
    deep = "[" * (DEPTH - 1) + "]" * (DEPTH - 1)
    assert value(f'{{"a":{deep}}}') == (OTHER, deep.encode())


def test_no_lines():
    lines = read_lines(np.zeros(OVERREAD, np.uint8), 0, Names(["a"]))
    assert len(lines.errors) == 0 and lines.text("a", slice(None)).to_pylist() == []
