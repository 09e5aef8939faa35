"""What is an IP address, and what only looks like one."""

import ipaddress

import pyarrow as pa
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from engine.columns import text_buffers
from engine.schema import TEXT
from ops.ip_addresses import find_ip_addresses, public_address


def _found(*texts: str) -> list[str]:
    data, offsets = text_buffers(pa.array(texts, TEXT))
    return [bytes(data[s.begin : s.end]).decode() for s in find_ip_addresses(data, offsets)]


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("http://93.184.216.34/index", "93.184.216.34"),
        ("(93.184.216.34)", "93.184.216.34"),
        ("[93.184.216.34]", "93.184.216.34"),
        ("host=93.184.216.34", "93.184.216.34"),
        ("93.184.216.34:8080", "93.184.216.34"),
        ("net 93.184.216.0/24", "93.184.216.0"),
        ("at 93.184.216.34.", "93.184.216.34"),
        ("dns: 8.8.8.8", "8.8.8.8"),
        ("http://[2606:2800:220:1::1946]:80/", "2606:2800:220:1::1946"),
        ("addr 2001:0db8:85a3:0000:0000:8a2e:0370:7334", "2001:0db8:85a3:0000:0000:8a2e:0370:7334"),
        ("fe80::1ff:fe23:4567:890a%eth0", "fe80::1ff:fe23:4567:890a"),
        ("::ffff:93.184.216.34", "::ffff:93.184.216.34"),
    ],
)
def test_addresses(text, address):
    assert _found(text) == [address]


@pytest.mark.parametrize(
    "text",
    [
        "version 10.4.20.3",
        "tool-10.4.20.3.tar.gz",
        "requires x >= 10.4.20.3",
        "Agent/10.4.20.3",
        "v10.4.20.3",
        "oid 1.3.6.1.4.1.311 and 2.5.29.15",
        "256.1.1.1 and 1.1.1.1000 and 01.02.03.04",
        "1.2.3.4 Overview",
        "std::dead::beef(x[::2])",
        "00:1b:44:11:3a:b7",
        "12:34:56 on 01.02.2003",
        "aa:bb:cc:dd:ee:ff:00:11",
        "::",
    ],
)
def test_what_is_no_address(text):
    assert _found(text) == []


def test_single_digits_are_an_address_beside_a_word_of_networks_even_at_the_beginning():
    # StarCoder's slice ran over the beginning of the file and saw nothing.
    assert _found("server 5.6.7.8") == ["5.6.7.8"]
    assert _found("5.6.7.8") == []


@given(st.ip_addresses(v=4), st.sampled_from(["", "ping ", "é:", "\n"]), st.sampled_from(["", " ", ",", "\n", ")"]))
def test_any_v4_address_after_a_word_of_networks(address, before, behind):
    assert _found(f"host {before}{address}{behind}") == [str(address)]


@given(st.ip_addresses(v=6), st.sampled_from(["", " ", "]", "/64", "'"]))
def test_any_global_v6_address_is_found(address, behind):
    in_use = ipaddress.IPv6Address((int(address) >> 3) | 1 << 125)
    assume(len(str(in_use).split(":")[0]) >= 3)
    assert _found(f"x [{in_use}{behind}") == [str(in_use)]


@given(st.lists(st.text(alphabet="0123af:.:/ \n", max_size=40), max_size=6))
def test_rows_do_not_see_each_other_and_spans_parse(texts):
    together = _found(*texts)
    assert together == [address for text in texts for address in _found(text)]
    for address in together:
        ipaddress.ip_address(address)


@pytest.mark.parametrize("text", ["10.0.0.1", "127.0.0.1", "192.168.1.1", "8.8.8.8", "1.1.1.1", "::1", "fe80::1", "no"])
def test_nobody_lives_at_private_addresses_and_name_servers(text):
    assert public_address(text) is None


@given(st.ip_addresses())
def test_public_addresses_are_not_private_by_python_either(address):
    # But for the few ranges on which versions of Python disagree.
    disputed = ("192.0.0.0/24", "2001::/23", "64:ff9b:1::/48", "2002::/16", "3fff::/20", "5f00::/16")
    if any(address in ipaddress.ip_network(n) for n in disputed if ipaddress.ip_network(n).version == address.version):
        return
    assert (public_address(str(address)) is None) == (getattr(address, "ipv4_mapped", None) or address).is_private
