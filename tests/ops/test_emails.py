"""What is an e-mail address, and what only looks like one."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.columns import text_buffers
from engine.schema import TEXT
from ops.emails import find_emails, top_level_domains


def _found(*texts: str) -> list[str]:
    data, offsets = text_buffers(pa.array(texts, TEXT))
    return [bytes(data[s.begin : s.end]).decode() for s in find_emails(data, offsets)]


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("Ada Lovelace <ada.lovelace@analytical.org>", "ada.lovelace@analytical.org"),
        ("email=a.b+c@sub.host.co.uk;", "a.b+c@sub.host.co.uk"),
        ("mailto:x_y@host.io?subject=1", "x_y@host.io"),
        ("mail me (me@host.de), or not", "me@host.de"),
        ("end of sentence me@host.de.", "me@host.de"),
        ("'o.k@münchen.de'", "o.k@münchen.de"),
        ("почта: иван@пример.рф", "иван@пример.рф"),
        ('printf("\\nada@host.org\\n")', "ada@host.org"),
        ("a@b.com", None),
        ("ADA@HOST.COM", "ADA@HOST.COM"),
        ("12345678@qq.com", "12345678@qq.com"),
    ],
)
def test_addresses(text, address):
    assert _found(text) == ([address] if address else [])


@pytest.mark.parametrize(
    "text",
    [
        "git@github.com:owner/repo.git",
        "https://user@host.com/x",
        "https://user:word@host.com/x",
        "scp f ada@host.example.com:/tmp",
        "icon@2x.png and icon@3x.png",
        "@app.route\n@dataclass.field",
        "react@18.2.0 lodash@next.js",
        "this@Activity.context",
        "return@each.page",
        "f'{user}@host.com' and ${name}@host.com and %s@host.com",
        "key@self.call(x)",
        "chacha20-poly1305@openssh.com",
        "a..b@host.com ada.@host.com",
        "root@localhost",
        "x@y.notatld",
        "@user@mastodon.social",
        "A @ B.me",
    ],
)
def test_what_is_no_address(text):
    assert _found(text) == []


@given(
    st.from_regex(r"[a-z][a-z0-9]{0,8}([._+-][a-z0-9]{1,5}){0,2}", fullmatch=True),
    st.from_regex(r"[a-z][a-z0-9-]{0,10}[a-z0-9]", fullmatch=True),
    st.sampled_from(sorted(t for t in top_level_domains() if t.isascii() and "-" not in t)),
    st.sampled_from(["", "é ", "中", "<", "(", "\n", "'", "😀 "]),
    st.sampled_from(["", " é", ">", ")", "\n", "'", ",", ";"]),
)
def test_any_plain_address_is_found_where_it_stands(local, host, top, before, behind):
    if local in ("git", "return", "this", "super", "break", "continue") or before == "中":
        return
    data, offsets = text_buffers(pa.array(["x", before + f"{local}@{host}.{top}" + behind], TEXT))
    span = next(iter(find_emails(data, offsets)))
    assert bytes(data[span.begin : span.end]).decode() == f"{local}@{host}.{top}"
    assert (span.row, span.begin - int(offsets[1])) == (1, len(before.encode()))


@given(st.lists(st.text(alphabet="ab.@-c om\n:/", max_size=40), max_size=6))
def test_rows_do_not_see_each_other(texts):
    together = _found(*texts)
    assert together == [address for text in texts for address in _found(text)]
