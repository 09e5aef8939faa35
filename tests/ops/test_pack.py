"""Packing: every token of every document is there, whatever the layout; repositories are on one side only."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from token_corpus import finished_run, packed_run, rows, text, tiny_tokenizer, tokenized

from engine import storage
from engine.errors import OpError, RecipeError, Refused
from engine.forgetting import forget
from engine.pool import InlinePool, LocalPool
from engine.recipe import read as read_recipe
from engine.run import Run
from engine.schema import TOKENS
from engine.token_shards import open_shard, read_manifest
from engine.tokenizer import read
from model.loader import EOD
from ops import pack, shuffle
from ops.pack import Pack


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The tokenizer's folder, the documents, and the columns."""
    folder = tmp_path_factory.mktemp("made")
    tokenizer = tiny_tokenizer(folder)
    documents = rows(250) + rows(90, "issues", first=10_000)
    return folder, tokenizer, documents


def run_of(folder: Path, made, files: int = 3, order: int | None = None) -> Path:
    place, tokenizer, documents = made
    if order is not None:
        documents = [documents[n] for n in np.random.default_rng(order).permutation(len(documents))]
    return finished_run(folder, [tokenized(documents[n::files], tokenizer) for n in range(files)], place, 17 + files)


def pack_into(run: Path, pool=None, **parameters) -> dict:
    op = Pack.model_validate({"length": 256, "seed": 5, **parameters})
    return op.run(str(run), str(run / "tokens"), pool or InlinePool())


def pieces(folder: Path, split: str = "train") -> list[dict]:
    """Every fragment of every sample, with its tokens."""
    manifest, found = read_manifest(str(folder)), []
    for shard in manifest.of(split):
        for row in open_shard(str(folder), shard).table().to_pylist():
            begin = 0
            for k, end in enumerate(row["ends"]):
                facts = {name: row[name][k] for name in ("id", "start", "copy")}
                found.append({"stream": shard.stream, "tokens": row["tokens"][begin:end], **facts})
                begin = end
            assert begin == len(row["tokens"]) <= manifest.length + 1
    return found


def joined(found: list[dict], overlap: bool = False) -> Counter:
    """The documents put together again, as often as they come."""
    whole: dict[tuple, list[int]] = {}
    for part in sorted(found, key=lambda p: (p["id"], p["copy"], p["start"])):
        tokens = whole.setdefault((part["stream"], part["id"], part["copy"]), [])
        assert len(tokens) == part["start"] or overlap
        tokens[part["start"] :] = part["tokens"]
    return Counter((stream, name, tuple(tokens)) for (stream, name, _), tokens in whole.items())


def expected(made, times: bool = True) -> Counter:
    _, tokenizer, documents = made
    return Counter(
        {
            (d["stream"], d["id"], (*tokenizer.encode_one(d["content"]).tolist(), EOD)): d["repeats"] if times else 1
            for d in documents
        }
    )


@pytest.mark.parametrize("reproduce", [False, True])
@pytest.mark.parametrize("length", [64, 256, 4096])
def test_every_token_is_there(made, tmp_path, length, reproduce):
    run = run_of(tmp_path, made)
    told = pack_into(run, length=length, reproduce=reproduce)
    found = pieces(run / "tokens")
    assert joined(found, reproduce) == expected(made)
    counts = told["splits"]["train"]
    assert counts["documents"] == 340 and counts["documents_with_repeats"] == sum(expected(made).values())
    assert counts["tokens"] == sum(len(t) * n for (_, _, t), n in expected(made).items())
    assert counts["fragments"] == len(found)
    whole = {(p["id"], p["copy"]) for p in found if not p["start"] and p["tokens"][-1] == EOD}
    assert counts["documents_cut"] == counts["documents_with_repeats"] - len(whole)
    if not reproduce:
        assert counts["tokens"] == sum(len(p["tokens"]) for p in found)


def test_counts_by_language_and_stream(made, tmp_path):
    run = run_of(tmp_path, made)
    pack_into(run)
    counts = read_manifest(str(run / "tokens")).counts["train"]
    for kind, column in (("streams", "stream"), ("languages", "language")):
        for name, facts in counts[kind].items():
            mine = [d for d in made[2] if (d[column] or "") == name]
            assert facts["documents"] == len(mine)
            assert facts["bytes"] == sum(d["length_bytes"] * d["repeats"] for d in mine)
        assert sum(f["tokens"] for f in counts[kind].values()) == counts["tokens"]


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.mark.parametrize("parameters", [{}, {"reproduce": True}, {"validation": 0.2}])
def test_layout_order_workers_and_memory_do_not_matter(made, tmp_path, monkeypatch, parameters):
    monkeypatch.setattr(pack, "BUCKET_TOKENS", 6000)
    one = run_of(tmp_path / "one", made, files=1)
    pack_into(one, **parameters)
    other = run_of(tmp_path / "other", made, files=5, order=2)
    monkeypatch.setattr(shuffle, "RUN_TOKENS", 3000)
    monkeypatch.setattr(shuffle, "PIECE_TOKENS", 500)
    pack_into(other, LocalPool(3), **parameters)
    assert len([n for n in files_of(one / "tokens") if n.endswith(".arrow")]) > 4
    assert files_of(one / "tokens") == files_of(other / "tokens")


def test_buckets_do_not_change_what_is_concatenated(made, tmp_path, monkeypatch):
    run = run_of(tmp_path, made)
    streams = {}
    for most in (6000, 1 << 30):
        monkeypatch.setattr(pack, "BUCKET_TOKENS", most)
        pack_into(run, reproduce=True, length=100)
        manifest = read_manifest(str(run / "tokens"))
        shards = [s for s in manifest.of("train") if s.stream == "code"]
        streams[most] = [r for s in shards for r in open_shard(str(run / "tokens"), s).table()["tokens"].to_pylist()]
    assert streams[6000] == streams[1 << 30]
    whole = streams[6000]
    # Each sample begins with the token that ended the one before, and all but the last are full.
    assert all(a[-1] == b[0] for a, b in pairwise(whole))
    assert {len(s) for s in whole[:-1]} == {101}


def test_long_documents_are_cut_where_a_character_begins(made, tmp_path):
    run = run_of(tmp_path, made)
    pack_into(run, length=64)
    for part in pieces(run / "tokens"):
        text = made[1].decode_bytes(np.array(part["tokens"], np.uint16)).decode("utf-8")
        assert text


def test_the_order_is_the_seeds_and_no_other(made, tmp_path):
    run = run_of(tmp_path, made)
    orders = []
    for seed in (1, 1, 2):
        pack_into(run, seed=seed)
        orders.append([p["id"] for p in pieces(run / "tokens")])
    assert orders[0] == orders[1] != orders[2]
    assert sorted(orders[0]) != orders[0]


def test_padding_stays_in_bounds(made, tmp_path):
    place, tokenizer, _ = made
    documents = [{**d, "content": text(n, 20 + n * 37 % 900), "repeats": 1} for n, d in enumerate(rows(2000))]
    run = finished_run(tmp_path, [tokenized(documents, tokenizer)], place)
    for length, most in ((1024, 0.02), (8192, 0.005)):
        counts = pack_into(run, length=length)["splits"]["train"]
        # A stream ends with samples that nothing is left to fill: of a large corpus they are nothing.
        assert counts["padding"] - 1 / counts["samples"] < most
        plain = pack_into(run, length=length, reproduce=True)["splits"]["train"]
        assert plain["documents_cut"] > counts["documents_cut"]


# --- validation -----------------------------------------------------------------------------------------------------


def sides(run: Path, documents: list[dict]) -> dict[str, set[str]]:
    """The repositories of each split, by the plain rule: no version, lower case; no name: the top folder."""
    by_id = {d["id"]: d for d in documents}
    name = lambda d: d["repo_name"].lower().rsplit("-", 1)[0] if d["repo_name"] else d["path"].split("/")[0] + "/"  # noqa: E731
    folder = run / "tokens"
    return {s: {name(by_id[p["id"]]) for p in pieces(folder, s)} for s in ("train", "validation")}


def test_a_repository_is_on_one_side_in_every_version_and_stream(made, tmp_path):
    run = run_of(tmp_path, made)
    told = pack_into(run, validation=0.2)
    found = sides(run, made[2])
    assert found["validation"] and not found["train"] & found["validation"]
    assert told["repositories_held_out"] == len(found["validation"])
    splits = told["splits"]
    share = splits["validation"]["bytes"] / sum(d["length_bytes"] for d in made[2])
    assert 0.2 <= share < 0.4
    # What is validated on comes once.
    assert splits["validation"]["documents"] == splits["validation"]["documents_with_repeats"]
    both = joined(pieces(run / "tokens")) + joined(pieces(run / "tokens", "validation"))
    assert set(both) == set(expected(made))


def test_repositories_may_be_named(made, tmp_path):
    run = run_of(tmp_path, made)
    pack_into(run, validation=["O/R3", "o/r5-2.0"])
    assert sides(run, made[2])["validation"] == {"o/r3", "o/r5"}


@pytest.mark.parametrize(
    ("validation", "told"),
    [(0.0001, "validation would be empty: none of the"), (["nobody/nothing"], "no document is of nobody/nothing")],
)
def test_an_empty_validation_is_told(made, tmp_path, validation, told):
    with pytest.raises(OpError, match=told):
        pack_into(run_of(tmp_path, made), validation=validation)


def test_a_large_repository_is_passed_over(made, tmp_path):
    place, tokenizer, _ = made
    documents = [{**d, "repo_name": "giant" if n % 4 else f"small{n}"} for n, d in enumerate(rows(200))]
    run = finished_run(tmp_path, [tokenized(documents, tokenizer)], place)
    told = pack_into(run, validation=0.1)
    assert told["repositories_held_out"] and "giant" not in {
        d["repo_name"] for d in documents if d["id"] in {p["id"] for p in pieces(run / "tokens", "validation")}
    }


# --- the folder -----------------------------------------------------------------------------------------------------


def test_shards_are_plain_arrow_that_others_read(tmp_path):
    folder = packed_run(tmp_path)
    manifest = read_manifest(str(folder))
    for shard in manifest.shards:
        with pa.memory_map(str(folder / shard.name)) as file:
            table = pa.ipc.open_file(file).read_all()
        assert table.schema.equals(TOKENS) and table.num_rows == shard.samples
        assert shard.tokens == sum(map(len, table["tokens"].to_pylist()))
        assert shard.most_fragments == max(map(len, table["ends"].to_pylist()))
    assert not (folder / "_shuffle").exists()
    assert (folder / "tokenizer" / "tokenizer.json").exists()


def test_a_shard_of_another_packing_is_refused(tmp_path):
    folder = packed_run(tmp_path / "a")
    other = packed_run(tmp_path / "b", seed=6)
    shard = read_manifest(str(folder)).shards[0]
    (other / shard.name).rename(folder / shard.name)
    with pytest.raises(Refused, match="is not the shard"):
        open_shard(str(folder), shard)
    with pytest.raises(Refused, match="holds no token shards"):
        read_manifest(str(tmp_path))


def test_documents_that_were_not_tokenized_are_told(made, tmp_path):
    run = run_of(tmp_path, made)
    (run / "recipe.yaml").write_text("name: x\nseed: 1\nsteps: []\n")
    with pytest.raises(OpError, match="put `tokenize` before it"):
        pack_into(run)


def test_the_fingerprint_is_of_what_is_in_the_shards(tmp_path):
    first, again, other = (
        read_manifest(str(packed_run(tmp_path / str(n), seed=seed))).fingerprint for n, seed in enumerate((1, 1, 2))
    )
    assert first == again != other


def test_nothing_to_pack_is_told(made, tmp_path):
    run = finished_run(tmp_path, [tokenized(made[2], made[1]).slice(0, 0)], made[0])
    with pytest.raises(OpError, match="no documents"):
        pack_into(run)


def test_a_manifest_reads_as_it_was_written(tmp_path):
    folder = packed_run(tmp_path)
    manifest = read_manifest(str(folder))
    manifest.write(str(tmp_path))
    assert read_manifest(str(tmp_path)) == manifest


# --- at the end of a run ----------------------------------------------------------------------------------------------

RUN = """\
name: whole
seed: 3
source: {{parquet: {{path: "{path}/*.parquet"}}}}
steps:
  - language: {{keep: all}}
  - metadata: {{probability: 0.5}}
  - mix: {{weights: {{python: 400kB}}}}
  - tokenize: {{tokenizer: "{path}/tokenizer"}}
  - pack: {{length: 512, validation: 0.2}}
"""


def test_a_run_ends_in_token_shards_the_same_for_any_layout(tmp_path, run_recipe):
    for name, files in (("one", 1), ("five", 5)):
        tiny_tokenizer(tmp_path / name / "tokenizer")
        documents = [{k: d[k] for k in ("content", "path", "repo_name")} for d in rows(200)]
        for n in range(files):
            pq.write_table(pa.Table.from_pylist(documents[n::files]), tmp_path / name / f"{n}.parquet")
        report = run_recipe(tmp_path / f"run-{name}", tmp_path / name, RUN, LocalPool(2) if files > 1 else InlinePool())
        told = report.jobs["pack"]["splits"]
        assert told["train"]["documents"] + told["validation"]["documents"] == report.kept
        assert told["train"]["documents_with_repeats"] > told["train"]["documents"]
    assert files_of(tmp_path / "run-one" / "tokens") == files_of(tmp_path / "run-five" / "tokens")
    run = Run(str(tmp_path / "run-one"))
    record = storage.read_json(str(tmp_path / "run-one" / "jobs" / "pack.json"))
    assert record["out"].endswith("/tokens") and record["holds_text"]
    tokenizer = read(str(tmp_path / "run-one" / "tokens" / "tokenizer"))
    content = dict(run.documents.select("id", "content").collect().iter_rows())
    for (_, name, tokens), _ in joined(pieces(tmp_path / "run-one" / "tokens")).items():
        assert tokenizer.decode(np.array(tokens[:-1], np.uint16)) == content[name]


def test_a_recipe_that_does_not_tokenize_is_refused_before_it_runs():
    text = "name: x\nsource: {parquet: {path: a}}\nsteps:\n  - pack\n"
    with pytest.raises(RecipeError, match="pack reads `tokens`, which no earlier step writes") as told:
        read_recipe(text)
    assert "`tokenize` writes it" in str(told.value)


def test_what_is_forgotten_takes_the_shards_with_it(tmp_path, run_recipe):
    tiny_tokenizer(tmp_path / "tokenizer")
    documents = [{k: d[k] for k in ("content", "path", "repo_name")} for d in rows(60)]
    pq.write_table(pa.Table.from_pylist(documents), tmp_path / "0.parquet")
    run_recipe(tmp_path / "run", tmp_path, RUN)
    (tmp_path / "list.txt").write_text("o/r3-1.1\n")
    forget(str(tmp_path / "list.txt"), str(tmp_path / "run"), InlinePool())
    assert not (tmp_path / "run" / "tokens").exists()
    run_recipe(tmp_path / "run", tmp_path, RUN)
    kept = set(Run(str(tmp_path / "run")).documents.collect()["id"])
    both = pieces(tmp_path / "run" / "tokens") + pieces(tmp_path / "run" / "tokens", "validation")
    assert {p["id"] for p in both} == kept and kept


def test_documents_of_one_draw_are_in_the_order_of_their_ids(made, tmp_path, monkeypatch):
    monkeypatch.setattr(shuffle, "draws", lambda ids, copies, seed: np.zeros(len(ids), np.uint64))
    monkeypatch.setattr(pack, "draws", shuffle.draws)
    for name, order in (("a", 1), ("b", 2)):
        run = run_of(tmp_path / name, made, files=2, order=order)
        pack_into(run)
    assert files_of(tmp_path / "a" / "tokens") == files_of(tmp_path / "b" / "tokens") != {}
    found = pieces(tmp_path / "a" / "tokens")
    assert joined(found) == expected(made)
