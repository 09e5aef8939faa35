"""The kernels that count comments, held against Python's own tokenizer and parser and against Pygments."""

from __future__ import annotations

import argparse
import ast
import bisect
import dataclasses
import enum
import functools
import inspect
import io
import json.decoder
import logging
import pathlib
import re
import textwrap
import tokenize
import typing
import unittest.mock

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pygments.lexers import get_lexer_by_name
from pygments.token import Comment

from engine.schema import TEXT
from ops.comments import MEASURED, Comments


def fractions(languages: list[str | None], texts: list[str]) -> list[float | None]:
    return Comments().map(pa.array(texts, TEXT), pa.array(languages, TEXT))["comment_fraction"].to_pylist()


def counted(language: str, text: str) -> int:
    fraction = fractions([language], [text])[0]
    assert fraction is not None
    return round(fraction * len(text))


# --- Python -------------------------------------------------------------------------------------------------------


def tokens(source: str) -> list[tokenize.TokenInfo]:
    return list(tokenize.generate_tokens(io.StringIO(source, newline="").readline))


def within_quotes(literal: str) -> int:
    bare = literal.lstrip("rRuU")
    return len(bare) - 2 * (3 if bare.startswith(('"""', "'''")) else 1)


def by_tokenizer_and_parser(source: str) -> int:
    comments, strings = 0, []
    for token in tokens(source):
        if token.type == tokenize.COMMENT:
            comments += len(token.string.replace("#", ""))
        elif token.type == tokenize.STRING:
            row, column = token.start
            strings.append((row, len(token.line[:column].encode()) if row == token.end[0] else column, token.string))
    for node in ast.walk(ast.parse(source)):
        if (
            isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
            and ast.get_docstring(node, clean=False) is not None
            and isinstance(node.body[0], ast.Expr)
        ):
            at = node.body[0].value
            first = bisect.bisect_left(strings, (at.lineno, at.col_offset))
            last = bisect.bisect_left(strings, (at.end_lineno or 0, at.end_col_offset or 0))
            comments += sum(within_quotes(literal) for _, _, literal in strings[first:last])
    return comments


MODULES = [
    argparse, ast, dataclasses, enum, functools, inspect, json.decoder, logging, pathlib, re, textwrap, tokenize,
    typing, unittest.mock,
]  # fmt: skip


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_real_python_is_measured_as_tokenizer_and_parser_do(module):
    source = inspect.getsource(module)
    assert counted("python", source) == by_tokenizer_and_parser(source)


SIMPLE = [
    "# comment", "x = 1  # é # twice", "x = '# no'", 'x = "a" "b" # c',
    "x = [\n'in', # brackets\n]", "s = \'\'\'\n# no\n\'\'\'",
    '"""a docstring? é"""', "'one' 'two'", "r'raw \\' # no'", "u'u'  # c",
    "b'bytes'", "f'{x} # no'", "'a' % x", "'a'.join(x)",
    "'x'; y = 2", "x = 2; 'z'", "pass", "\\\nx", "for y in x: 'no'", "d = {'a':\n'b'}",
    "'un\\\nclosed'", "\'\'\'multi\nline # ü\'\'\'",
    "x = lambda: 'x'", "class_ = def_ = 'x'", "x: 'annotation' = 'y'", '"\\""', "x = (  # c\n)", "x = y[1:2]",
    "'a' \\\n'b'", "'';",
]  # fmt: skip
HEADERS = [
    "def f():", "class A:  # c", "class A(B, c=':'):", "async def g(\na=':', b: int = (lambda: 1),  # c\n) -> 'no':",
    "if x:", "while {1: 2}:", "@decorator('x')\ndef f(*, a={'b': 1}):", "with x as y:", "for x in 'abc':",
]  # fmt: skip


def with_body(header: str, body: str) -> str:
    return header + "\n" + re.sub("(?m)^", " ", f"{body}\npass")


def block(statements: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.lists(statements, min_size=1, max_size=4).map("\n".join)


PROGRAMS = st.recursive(
    block(st.sampled_from(SIMPLE)),
    lambda inner: block(st.sampled_from(SIMPLE) | st.builds(with_body, st.sampled_from(HEADERS), inner)),
    max_leaves=6,
)


@given(PROGRAMS, st.sampled_from(["\n", "\r\n"]))
def test_python_programs_are_measured_as_tokenizer_and_parser_do(program, newline):
    source = program.replace("\n", newline)
    assert counted("python", source) == by_tokenizer_and_parser(source)


DOCSTRINGS = ["'''doc # é\n    more'''", '"doc"', "r'\\d'", "u'x'", "'a' 'b'", "'a' \\\n    \"b\"", '"""q\\""""']
NONE = ["b'x'", "f'x'", "'a' + 'b'", "'a'.b", "x = 'a'", "('a', 'b')", "pass; 'a'"]
HEADS = [
    "def f(a, b={1: 2}):",
    "class A(B, c='x:'):",
    "async def f() -> 'x':",
    "def f(\n    a,  # c\n    b: int = 1,\n):",
]


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("between", ["\n    ", " ", "\n\n    # c\n    "])
@pytest.mark.parametrize("body", DOCSTRINGS + NONE)
@pytest.mark.parametrize("after", ["", "  # c", "; x = 1"])
def test_docstrings(head, between, body, after):
    source = f"{head}{between}{body}{after}\n"
    assert counted("python", source) == by_tokenizer_and_parser(source)


def test_docstrings_of_modules():
    for body in DOCSTRINGS + NONE:
        for before in ("", "\n\n# c\n", "#!/usr/bin/python\n# -*- coding: utf-8 -*-\n"):
            source = f"{before}{body}\nif x:\n    'no'\n"
            assert counted("python", source) == by_tokenizer_and_parser(source)
    assert counted("python", "\ufeff'doc'\n") == 3


def test_python_that_does_not_parse_is_measured_too():
    assert counted("python", "print 'x' # yes\ndef f(\n") == 4
    assert counted("python", "x = '''# no") == 0
    assert counted("python", "'''no docstring, for it never ends") == 0
    assert counted("python", "it's # yes\n") == 4


# --- other languages ----------------------------------------------------------------------------------------------


def by_pygments(language: str, source: str) -> int:
    lexer = get_lexer_by_name(language, stripnl=False, ensurenl=False)
    wanted = (Comment.Single, Comment.Multiline, Comment.Hashbang)
    return sum(len(text.rstrip("\n")) for kind, text in lexer.get_tokens(source) if kind in wanted)


SHARED = [
    "int x = 1;\n", "// comment é\n", "/* a\n * b */", "/** doc */ ", "y = a / b / c;\n", "s = \"// no\";\n",
    "s = \"\\\"/*\";\n", "c = '\"';\n", "// /* one\n", "/* // */\n", "//\n", "/**/", "f(a)/2; // x\n",
    "https = 1; //x*/\n",
]  # fmt: skip
PIECES = {
    "java": [*SHARED, 'class A { String s = "//"; }\n', "@A(\"/*\")\n"],
    "javascript": [
        *SHARED, "t = `// no ${x}\n/* no */`;\n", "r = /[/\"']\\/*/g; // x\n", "x = s.replace(/'/g, \"'\");\n",
        "if (x) { return /\"/ }\n", "a = [/\\//, 2];\n", "s = '// no';\n", "n = a[1] / 2 / '//'.length;\n",
    ],
}  # fmt: skip


@pytest.mark.parametrize("language", PIECES)
@given(data=st.data())
def test_java_and_javascript_are_measured_as_pygments_does(language, data):
    source = "".join(data.draw(st.lists(st.sampled_from(PIECES[language]), min_size=1, max_size=15)))
    assert counted(language, source) == by_pygments(language, source)


@given(
    st.lists(st.tuples(st.sampled_from(MEASURED), st.text("ab'\"`/*#-{}()[]<>!=%;:\\\n é𝄞", max_size=200)), max_size=6)
)
def test_any_text_has_a_fraction_and_neighbours_do_not_matter(rows):
    languages, contents = [language for language, _ in rows], [text for _, text in rows]
    together = fractions(languages, contents)
    assert together == [fractions([language], [text])[0] for language, text in rows]
    assert all(
        (f is None) == (text == "") and (f is None or 0 <= f <= 1) for f, text in zip(together, contents, strict=True)
    )


def test_long_texts_cross_every_window():
    for before in range(0, 200, 7):
        text = "x" * before + "/*" + "é" * before + "*/" + "// " + "y" * 70
        assert counted("c", text) == len(text) - before
        assert counted("python", "x" * before + "\n#" + "é" * before) == before


def test_carriage_returns_before_line_feeds_are_no_comment():
    assert counted("go", "// a\r\nx := 1 // b\r\n") == 8
    assert counted("python", "# a\r\n# b\r\n") == 4
