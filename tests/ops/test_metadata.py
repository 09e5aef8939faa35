"""The prefix: three fields, each by chance, in one order, and no one's address among them."""

import numpy as np
import pyarrow as pa
import pytest

from engine.schema import MARKUP, TEXT, spell_out
from ops.metadata import Metadata, scanned, star_bucket


def prefixed(rows, **options):
    columns = {"id": [f"{n:032x}" for n in range(len(rows))], "stream": ["code"] * len(rows)}
    for k, name in enumerate(("content", "repo_name", "path")):
        columns[name] = [r[k] for r in rows]
    arrays = [pa.array(c, TEXT) for c in columns.values()]
    stars = pa.array([r[3] for r in rows], pa.int64())
    return Metadata(**options).map(*arrays, stars)["content"].to_pylist()


ROW = ("print(1)\n", "octocat/hello", "src/main.py", 42)


def test_all_of_it():
    (text,) = prefixed([ROW], probability=1)
    assert spell_out(text) == "<reponame>octocat/hello<filename>src/main.py<gh_stars>10-100\nprint(1)\n"
    assert text.startswith(MARKUP["<reponame>"])


def test_nothing_of_it():
    assert prefixed([ROW], probability=0) == ["print(1)\n"]


def test_what_is_not_known_is_left_out():
    rows = [("x", None, "a.py", None), ("x", None, None, 3), ("", "a/b", None, None)]
    told = [spell_out(t) for t in prefixed(rows, probability=1)]
    assert told == ["<filename>a.py<gh_stars>0\nx", "<gh_stars>1-10\nx", "<reponame>a/b<gh_stars>0\n"]


@pytest.mark.parametrize(
    ("stars", "bucket"),
    [(None, "0"), (0, "0"), (1, "1-10"), (10, "1-10"), (11, "10-100"), (100, "10-100"), (101, "100-1000"),
     (1000, "100-1000"), (1001, "1000+"), (10**7, "1000+")],
)  # fmt: skip
def test_buckets_of_stars(stars, bucket):
    assert star_bucket(pa.array([stars], pa.int64())).to_pylist() == [bucket]


def test_each_is_there_with_its_own_chance():
    texts = [spell_out(t) for t in prefixed([ROW] * 20_000)]
    there = np.array([[f"<{f}>" in t for f in ("reponame", "filename", "gh_stars")] for t in texts])
    assert np.abs(there.mean(0) - 0.2).max() < 5 * (0.16 / 20_000) ** 0.5
    # No prefix at all: 0.8 cubed.
    assert abs((~there.any(1)).mean() - 0.512) < 5 * (0.25 / 20_000) ** 0.5
    assert np.abs(np.corrcoef(there.T) - np.eye(3)).max() < 0.05
    assert all(t == ROW[0] for t, any_ in zip(texts, there.any(1), strict=True) if not any_)


def test_the_account_can_be_left_out():
    assert spell_out(prefixed([ROW], probability=1, owner=False)[0]).startswith("<reponame>hello<filename>")


def test_only_some_streams():
    assert prefixed([ROW], probability=1, streams=["commits"]) == [ROW[0]]


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("mail/jane.roe@research-lab.org/inbox.py", "mail/<EMAIL>/inbox.py"),
        ("dumps/87.65.43.21/log.txt", "dumps/172.16.58.3/log.txt"),
        ("home/jane/x.py", "home/<NAME>/x.py"),
        ("C/Users/Jane Roe/x.py", "C/Users/<NAME>/x.py"),
        ("keys/" + "AKIA" + "Z7QXW2LBT4MN6RPK.py", "keys/<KEY>.py"),
        ("octocat/hello-world", "octocat/hello-world"),
        ("node_modules/@types/node/index.d.ts", "node_modules/@types/node/index.d.ts"),
        ("lib-1.2.3/main.c", "lib-1.2.3/main.c"),
        (None, None),
    ],
)
def test_names_are_searched_for_personal_data(name, told):
    assert scanned(pa.array([name], TEXT)).to_pylist() == [told]


def test_as_starcoder_did_names_can_stay():
    row = ("x", "a/b", "home/jane/x.py", 0)
    assert "home/jane" in prefixed([row], probability=1, scan=False)[0]
