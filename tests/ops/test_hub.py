"""The Hub's own client reads from a small server that answers as the Hub does."""

import gzip
import io
import json
import re
import sys
import threading
from hashlib import sha1
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

import huggingface_hub
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from huggingface_hub import HfFileSystem

from engine.errors import OpError
from engine.op import Losses
from ops.hub import Hub

ROWS = [{"content": f"print({n})\n", "path": f"{n}.py", "repo_name": "octo/hello"} for n in range(12)]


def table(rows):
    out = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), out, row_group_size=3)
    return out.getvalue()


def lines(rows):
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


FILES = {
    "README.md": b"# a card",
    "data/python/train-00000-of-00002.parquet": table(ROWS[:4]),
    "data/python/train-00001-of-00002.parquet": table(ROWS[4:6]),
    "data/python/test-00000-of-00001.parquet": table(ROWS[6:8]),
    "data/lua/train-00000-of-00001.jsonl.gz": gzip.compress(lines(ROWS[8:])),
}


class FakeHub(BaseHTTPRequestHandler):
    """Answers for one data set, `octo/code`; `octo/gated` lets its files be listed and not be read."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, body=b"", **headers):
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_GET(self):
        hub = self.server
        length = int(self.headers.get("Content-Length") or 0)
        posted = self.rfile.read(length).decode()
        path = unquote(urlsplit(self.path).path)
        hub.asked.append(path)
        if hub.broken:
            return self.answer(418, b"short and stout")
        found = re.fullmatch(r"/(?:api/)?datasets/(octo/\w+)/(revision|tree|paths-info|resolve)/([^/]+)/?(.*)", path)
        if found is None or found[1] not in ("octo/code", "octo/gated"):
            return self.answer(401, {"error": "Invalid credentials"}, X_Error_Code="RepoNotFound")
        name, verb, revision, place = found.groups()
        commit = hub.refs.get(revision, revision)
        if commit not in hub.commits:
            return self.answer(404, {"error": "no"}, X_Error_Code="RevisionNotFound")
        files = hub.commits[commit]
        if verb == "revision":
            return self.answer(
                200, {"_id": "1", "id": name, "sha": commit, "private": False, "tags": [], "downloads": 0}
            )
        if verb == "resolve":
            if name == "octo/gated":
                return self.answer(403, {"error": "gated"}, X_Error_Code="GatedRepo")
            first, last = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "bytes=0-").groups()
            return self.answer(206, files[place][int(first) : int(last) + 1 if last else None])
        if verb == "tree":
            deep = "recursive=true" in self.path.lower()
            return self.answer(200, self.listing(files, place, deep))
        paths = json.loads(posted)["paths"] if posted.startswith("{") else re.findall(r"paths=([^&]*)", posted)
        paths = [unquote(path) for path in paths]
        return self.answer(200, [entry for entry in self.listing(files, "", True) if entry["path"] in paths])

    do_POST = do_HEAD = do_GET

    def listing(self, files, place, deep):
        entries = {}
        for path, data in files.items():
            if place and not path.startswith(place + "/"):
                continue
            parts = path.split("/")
            start = len(place.split("/")) if place else 0
            for depth in range(start, len(parts)):
                here = "/".join(parts[: depth + 1])
                whole = depth == len(parts) - 1
                kind = {"type": "file", "size": len(data)} if whole else {"type": "directory", "size": 0}
                entries[here] = {"path": here, "oid": sha1(data if whole else here.encode()).hexdigest(), **kind}
                if not deep:
                    break
        return list(entries.values())


@pytest.fixture
def hub(monkeypatch):
    server = ThreadingHTTPServer(("127.0.0.1", 0), FakeHub)
    server.commits, server.refs, server.asked, server.broken = {"1" * 40: FILES}, {"main": "1" * 40}, [], False
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    url = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", url)
    template = url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setenv("HF_TOKEN", "hf_test")
    HfFileSystem.clear_instance_cache()
    yield server
    HfFileSystem.clear_instance_cache()
    server.shutdown()
    thread.join()
    server.server_close()


def read(op, columns=None):
    losses, found = Losses(), []
    for shard in op.shards():
        for batch in op.read(shard, losses, columns):
            found += batch.select(["content"] if columns else ["content", "path", "repo_name"]).to_pylist()
    assert not losses.dropped and not losses.quarantined
    return found


def test_a_data_set_is_read_through_the_hubs_file_system(hub):
    found = read(Hub(dataset="octo/code"))
    assert sorted(found, key=ROWS.index) == ROWS
    assert read(Hub(dataset="octo/code", data_dir="data/python/"), frozenset(["content"])) == [
        {"content": row["content"]} for row in [*ROWS[6:8], *ROWS[:6]]
    ]


def test_every_file_is_read_at_the_commit_that_the_revision_stood_for(hub):
    op = Hub(dataset="octo/code", data_dir="data/python")
    shards = list(op.shards())
    assert all(f"@{'1' * 40}/data/python/" in shard.at["url"] for shard in shards)
    hub.commits["2" * 40] = FILES | {"data/python/train-00001-of-00002.parquet": table(ROWS[:1])}
    hub.refs["main"] = "2" * 40
    HfFileSystem.clear_instance_cache()
    assert sum(b.num_rows for shard in shards for b in op.read(shard, Losses())) == 8
    after = list(op.shards())
    assert [s.name for s in after] == [s.name for s in shards]
    assert [a.version == s.version for a, s in zip(after, shards, strict=True)] == [True, True, False]
    pinned = Hub(dataset="octo/code", data_dir="data/python", revision="1" * 40)
    assert [(s.name, s.version) for s in pinned.shards()] == [(s.name, s.version) for s in shards]


def test_names_are_below_the_folder_that_is_read(hub):
    places = [s.at["place"] for s in Hub(dataset="octo/code", data_dir="data").shards()]
    assert places == [
        "python/test-00000-of-00001.parquet",
        "python/train-00000-of-00002.parquet",
        "python/train-00001-of-00002.parquet",
        "lua/train-00000-of-00001.jsonl.gz",
    ]
    shards = list(Hub(dataset="octo/code", data_dir="data", patterns=["lua/*.gz", "*/test-*.parquet"]).shards())
    assert [s.at["place"] for s in shards] == [places[0], places[3]]
    assert {s.name for s in shards} < {s.name for s in Hub(dataset="octo/code", data_dir="data").shards()}


def test_splits_are_told_by_words_in_names(hub):
    def places(split, **options):
        return [s.at["place"] for s in Hub(dataset="octo/code", split=split, **options).shards()]

    assert places("test") == ["data/python/test-00000-of-00001.parquet"]
    assert len(places("train")) == 3
    assert len(places("python")) == 3
    with pytest.raises(OpError, match=r"no file of `octo/code` says that it is of the split `validation` \(data/"):
        places("validation")
    hub.commits["1" * 40] = {"data/part-0.parquet": table(ROWS), "latest.parquet": table(ROWS)}
    HfFileSystem.clear_instance_cache()
    assert places("train") == ["data/part-0.parquet", "latest.parquet"]
    with pytest.raises(OpError, match="split `test`"):
        places("test")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (
            {"dataset": "octo/secret"},
            "hub: there is no data set `octo/secret`, or it is private and HF_TOKEN holds no token",
        ),
        ({"dataset": "code/"}, "hub: `code/` is no data set's name; write `owner/name`"),
        ({"dataset": "octo/code", "revision": "v9"}, "hub: `octo/code` has no branch, tag or commit `v9`"),
        (
            {"dataset": "octo/gated"},
            "hub: `octo/gated` is gated: agree to its terms at https://huggingface.co/datasets/octo/gated",
        ),
        ({"dataset": "octo/code", "data_dir": "nowhere"}, "no file at `hf://datasets/octo/code@.*nowhere`"),
        ({"dataset": "octo/code", "columns": {"content": "body"}}, "no column `body`"),
    ],
)
def test_what_is_wrong_is_told_in_plain_words(hub, options, told):
    with pytest.raises(OpError, match=told):
        list(Hub(**options).shards())


def test_a_token_that_was_taken_away_is_told_by_the_reader_too(hub):
    op = Hub(dataset="octo/code")
    shards = [shard for shard in op.shards() if "parquet" in shard.at["url"]]
    HfFileSystem.clear_instance_cache()
    hub.commits.clear()
    with pytest.raises(OpError, match="has no branch, tag or commit"):
        list(op.read(shards[0], Losses()))
    hub.broken = True
    HfFileSystem.clear_instance_cache()
    with pytest.raises(OpError, match="hub: the Hub did not give what was asked of `octo/code`"):
        list(op.shards())


def test_a_hub_that_cannot_be_reached(hub, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:1")
    with pytest.raises(OpError, match="hub: the Hub cannot be reached"):
        list(Hub(dataset="octo/code").shards())


def test_without_the_hubs_client_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(OpError, match=r"pip install 'starcoder-engine\[hub\]'"):
        list(Hub(dataset="octo/code").shards())


def test_a_copy_that_lies_elsewhere(tmp_path, monkeypatch):
    for place, data in FILES.items():
        file = tmp_path / "octo" / "code" / place
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    op = Hub(dataset="octo/code", root=str(tmp_path), split="train")
    assert read(op) == [*ROWS[:6], *ROWS[8:]]
    assert read(Hub(dataset="octo/code", root=f"file://{tmp_path}", data_dir="data/lua")) == ROWS[8:]
    with pytest.raises(OpError, match="no file at"):
        list(Hub(dataset="octo/other", root=str(tmp_path)).shards())
