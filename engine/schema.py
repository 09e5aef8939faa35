"""The Arrow schemas that runs leave and read, and the special tokens: their one door.

Strings are `large_string` throughout: 32-bit offsets end at 2 GiB, which a data set read whole passes.
"""

from __future__ import annotations

from typing import Annotated

import pyarrow as pa

TEXT = pa.large_string()

Strings = Annotated[pa.Array, TEXT]
"""A whole column of text, as an op's parameter or answer."""
Integers = Annotated[pa.Array, pa.int64()]
"""A whole column of 64-bit integers."""
Numbers = Annotated[pa.Array, pa.float64()]
"""A whole column of 64-bit floats."""
Flags = Annotated[pa.Array, pa.bool_()]
"""A whole column of truth values."""

DOCUMENT = pa.schema(
    [
        pa.field("id", TEXT, nullable=False),
        pa.field("stream", TEXT, nullable=False),
        pa.field("content", TEXT, nullable=False),
        pa.field("path", TEXT),
        pa.field("repo_name", TEXT),
        pa.field("revision_id", TEXT),
        pa.field("language", TEXT),
        pa.field("extension", TEXT),
        pa.field("license", TEXT),
        pa.field("license_source", TEXT),
        pa.field("length_bytes", pa.int64()),
        pa.field("star_events_count", pa.int64()),
    ]
)
"""Every document's columns. `id` is for life; a source leaves `id`, `stream` and `length_bytes` to the engine."""

SOURCE_COLUMNS = tuple(name for name in DOCUMENT.names if name not in ("id", "stream", "length_bytes"))
"""What a source may yield; what it leaves out is null."""

ROLL = tuple(name for name in DOCUMENT.names if name != "content")
"""The columns of a document that the roll of a stage repeats beside its measures, for all documents read."""

TEXT_ROW = "text_row"
"""The roll's column that says where a document's text stands for the next pass; null where it was dropped."""

LEDGER = pa.schema(
    [
        pa.field("id", TEXT, nullable=False),
        pa.field("path", TEXT),
        pa.field("repo_name", TEXT),
        pa.field("stream", TEXT, nullable=False),
        pa.field("step", TEXT, nullable=False),
        pa.field("reason", TEXT, nullable=False),
        pa.field("of", TEXT),
        pa.field("score", pa.float64()),
    ]
)
"""A row for each dropped document: which step dropped it, why, because of which other document, with what score."""

QUARANTINE = pa.schema(
    [
        pa.field("id", TEXT, nullable=False),
        pa.field("path", TEXT),
        pa.field("repo_name", TEXT),
        pa.field("stream", TEXT, nullable=False),
        pa.field("step", TEXT, nullable=False),
        pa.field("error", TEXT, nullable=False),
    ]
)
"""A row for each document that could not be read or made an op raise."""

VERDICT = pa.schema(
    [
        pa.field("shard", pa.int32(), nullable=False),
        pa.field("row", pa.int64(), nullable=False),
        pa.field("reason", TEXT, nullable=False),
        pa.field("of", TEXT),
        pa.field("score", pa.float64()),
    ]
)
"""What a global op answers: drop the document at this row of this shard, why, and because of which other."""

DUPLICATE_DETAILS = pa.schema(
    [
        pa.field("exact", pa.bool_()),
        pa.field("bands_shared", pa.int32()),
        pa.field("cluster_size", pa.int64()),
        pa.field("dropped", TEXT),
        pa.field("dropped_path", TEXT),
        pa.field("kept_path", TEXT),
    ]
)
"""What a verdict on a near-duplicate says besides."""

DUPLICATE = pa.schema(
    [
        pa.field("dropped", TEXT, nullable=False),
        pa.field("kept", TEXT, nullable=False),
        pa.field("similarity", pa.float64()),
        pa.field("exact", pa.bool_()),
        pa.field("bands_shared", pa.int32()),
        pa.field("cluster_size", pa.int64()),
        pa.field("dropped_path", TEXT),
        pa.field("kept_path", TEXT),
    ]
)
"""A row for each near-duplicate dropped: the document kept in its place, and how alike they are."""

SAMPLE = pa.schema(
    [
        pa.field("id", TEXT, nullable=False),
        pa.field("path", TEXT),
        pa.field("repo_name", TEXT),
        pa.field("stream", TEXT, nullable=False),
        pa.field("step", TEXT, nullable=False),
        pa.field("reason", TEXT, nullable=False),
        pa.field("score", pa.float64()),
        pa.field("content", TEXT),
    ]
)
"""The text of a few dropped documents a reason, for people to look at."""

TOKENS = pa.schema(
    [
        pa.field("tokens", pa.large_list(pa.uint16()), nullable=False),
        pa.field("id", pa.large_list(TEXT), nullable=False),
        pa.field("ends", pa.large_list(pa.int32()), nullable=False),
        pa.field("start", pa.large_list(pa.int64()), nullable=False),
        pa.field("copy", pa.large_list(pa.int32()), nullable=False),
    ]
)
"""A row for each packed sample: its tokens, and of each fragment of a document in it the document's id, where the
fragment ends among the tokens, how many tokens of the document come before it, and which copy of the document it is."""

SPAN = pa.struct(
    [
        pa.field("kind", TEXT, nullable=False),
        pa.field("start", pa.int64(), nullable=False),
        pa.field("end", pa.int64(), nullable=False),
        pa.field("start_byte", pa.int64(), nullable=False),
        pa.field("end_byte", pa.int64(), nullable=False),
        pa.field("rule", TEXT),
    ]
)
"""A piece of a document's text that was found to be something: its kind, where it begins and ends in characters and in
bytes (the end is not in it), and the rule that found it, null where a model did."""

SPANS = pa.large_list(SPAN)
"""The spans of a document, in the order of their places."""
Spans = Annotated[pa.Array, SPANS]
"""A whole column of the spans of each document."""

SPECIAL_TOKENS = (
    "<|endoftext|>",
    "<fim_prefix>",
    "<fim_middle>",
    "<fim_suffix>",
    "<fim_pad>",
    "<filename>",
    "<gh_stars>",
    "<issue_start>",
    "<issue_comment>",
    "<issue_closed>",
    "<jupyter_start>",
    "<jupyter_text>",
    "<jupyter_code>",
    "<jupyter_output>",
    "<empty_output>",
    "<commit_before>",
    "<commit_msg>",
    "<commit_after>",
    "<reponame>",
)
"""StarCoder's special tokens; the place of each is its id in the vocabulary."""

FIRST_MARKUP = 0xFDD0
"""The first of the 32 Unicode noncharacters that stand for special tokens inside `content`."""
LAST_MARKUP = 0xFDEF
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"

MARKUP = {token: chr(FIRST_MARKUP + n) for n, token in enumerate(SPECIAL_TOKENS)}
"""The character that carries each special token in `content`; spelled-out tokens are ordinary text."""

_SPELLED = {ord(mark): token for token, mark in MARKUP.items()}


def spell_out(text: str) -> str:
    """`text` with every markup character spelled as the special token that it stands for."""
    return text.translate(_SPELLED)
