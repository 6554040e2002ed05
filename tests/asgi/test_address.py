"""Whose request it is: what proxies say counts, what clients write does not."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from endwell import ConfigurationError
from endwell.asgi._address import HOPS, ClientAddress

PROXIES = ["10.0.0.0/8", "2001:db8:aaaa::/48", "127.0.0.1"]
HEADER = b"x-forwarded-for"


def request(client: Any, *lines: str | bytes, header: bytes = HEADER) -> Request:
    said = [(header, line.encode("latin-1") if isinstance(line, str) else line) for line in lines]
    headers = [(b"host", b"example.org"), *said, (b"accept", b"*/*")]
    client = (client, 50_000) if isinstance(client, str) else client
    return Request({"type": "http", "client": client, "headers": headers})


def address(client: Any, *lines: str | bytes, **options: Any) -> str | None:
    return ClientAddress(**options)(request(client, *lines))


# -- the connection itself -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("peer", "name"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("::FFFF:C000:201", "192.0.2.1"),
        ("2001:DB8:0:0:1:2:3:4", "2001:db8::/64"),
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:db8:0:1::1", "2001:db8:0:1::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::/64"),
    ],
)
def test_a_client_is_where_its_connection_comes_from(peer: str, name: str) -> None:
    assert address(peer) == name


@pytest.mark.parametrize(
    ("bits", "name"),
    [
        (128, "2001:db8:1:2:3:4:5:6"),
        (127, "2001:db8:1:2:3:4:5:6/127"),
        (56, "2001:db8:1::/56"),
        (1, "::/1"),
    ],
)
def test_how_much_of_ipv6_is_one_client_can_be_said(bits: int, name: str) -> None:
    assert address("2001:db8:1:2:3:4:5:6", ipv6_prefix=bits) == name
    assert address("192.0.2.1", ipv6_prefix=bits) == "192.0.2.1"


def test_a_zone_makes_no_other_client() -> None:
    each = ClientAddress(ipv6_prefix=128)
    assert each(request("fe80::1%eth0")) == each(request("fe80::1%eth1")) == each(request("fe80::1"))


@pytest.mark.parametrize(
    "client",
    [None, (), (None, 0), ("", 0), ["unix:/run/app.sock", None], ("testclient", 1), (b"192.0.2.1", 1)],
)
def test_a_connection_without_an_address_is_nobodys(client: Any) -> None:
    assert address(client, "192.0.2.7") is None
    assert address(client, "192.0.2.7", trusted=PROXIES) is None


def test_only_the_scope_is_looked_at() -> None:
    bare = SimpleNamespace(scope={"type": "http"})
    assert ClientAddress(trusted=["unix"])(bare) is None
    bare.scope["client"] = ["10.0.0.1", 1]
    assert ClientAddress(trusted=PROXIES)(bare) == "10.0.0.1"


# -- what a header says --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("peer", "said", "name"),
    [
        ("10.0.0.1", ["192.0.2.1"], "192.0.2.1"),
        ("::ffff:10.0.0.1", ["192.0.2.1"], "192.0.2.1"),
        ("2001:db8:aaaa::7", ["2001:db8:bbbb::7"], "2001:db8:bbbb::/64"),
        ("10.0.0.1", ["6.6.6.6, 192.0.2.1"], "192.0.2.1"),
        ("10.0.0.1", ["6.6.6.6, 192.0.2.1, 10.0.0.2,10.0.0.3"], "192.0.2.1"),
        ("10.0.0.1", ["6.6.6.6", "192.0.2.1", "10.0.0.2"], "192.0.2.1"),
        ("10.0.0.1", ["6.6.6.6, 192.0.2.1", "10.0.0.2, 127.0.0.1"], "192.0.2.1"),
        ("10.0.0.1", ["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        ("10.0.0.1", [], "10.0.0.1"),
    ],
)
def test_a_trusted_proxy_says_whose_request_it_passes_on(peer: str, said: list[str], name: str) -> None:
    assert address(peer, *said, trusted=PROXIES) == name


@pytest.mark.parametrize("peer", ["192.0.2.9", "11.0.0.1", "2001:db8:aaab::1", "127.0.0.2"])
def test_nobody_else_is_believed(peer: str) -> None:
    alone = address(peer)
    assert address(peer, "6.6.6.6", trusted=PROXIES) == alone
    assert address(peer, "10.0.0.1, 6.6.6.6", trusted=PROXIES) == alone
    assert address(peer, "6.6.6.6") == alone


@pytest.mark.parametrize(
    ("entry", "name"),
    [
        ("192.0.2.1:8080", "192.0.2.1"),
        ("[2001:db8::1]:8080", "2001:db8::/64"),
        ("[2001:db8::1]", "2001:db8::/64"),
        ("2001:db8::1", "2001:db8::/64"),
        ("[::ffff:192.0.2.1]:1", "192.0.2.1"),
        ("[fe80::1%25eth0]:1", "fe80::/64"),
        (" \t192.0.2.1 \t", "192.0.2.1"),
    ],
)
def test_an_address_may_be_written_in_many_ways(entry: str, name: str) -> None:
    assert address("10.0.0.1", f"6.6.6.6, {entry}", trusted=PROXIES) == name


@pytest.mark.parametrize(
    "junk",
    [
        *("", " ", "unknown", "_hidden", "1.2.3", "192.0.2.256", "010.1.1.1", "٣.1.1.1", "1" * 5000),
        *("[", "]", "[]", ":", "::1::2", "2001:db8::1:99999", "%eth0"),
        *("\xff", "\0", "-", "for=192.0.2.1", '"192.0.2.1"'),
    ],
)
def test_what_is_no_address_ends_the_search_at_the_last_that_was_one(junk: str) -> None:
    line = f"6.6.6.6, {junk}, 10.0.0.2".encode()
    assert address("10.0.0.1", line, trusted=PROXIES) == "10.0.0.2"
    assert address("10.0.0.1", junk.encode(), trusted=PROXIES) == "10.0.0.1"


@pytest.mark.parametrize(
    ("network", "trusts"),
    [
        ("::ffff:10.0.0.0/104", True),
        ("::ffff:10.0.0.1/128", True),
        ("::ffff:10.0.0.1", True),
        ("::ffff:0:0/96", True),
        ("::ffff:11.0.0.0/104", False),
        ("::/0", False),
    ],
)
def test_a_network_may_be_written_as_ipv6_maps_it(network: str, trusts: bool) -> None:
    """As a socket for both would tell of the proxy."""
    assert address("10.0.0.1", "192.0.2.1", trusted=[network]) == ("192.0.2.1" if trusts else "10.0.0.1")


def test_no_more_hops_are_followed_than_there_may_be() -> None:
    hops = ", ".join(["192.0.2.1", *["10.0.0.9"] * (HOPS - 1)])
    assert address("10.0.0.1", hops, trusted=PROXIES) == "192.0.2.1"
    assert address("10.0.0.1", f"6.6.6.6, 192.0.2.1, {hops}, 10.0.0.9", trusted=PROXIES) == "10.0.0.9"
    assert address("10.0.0.1", "," * 65_000, trusted=PROXIES) == "10.0.0.1"


def test_behind_a_unix_socket_the_proxy_can_be_trusted() -> None:
    socket = ClientAddress(trusted=["unix", "10.0.0.0/8"])
    assert socket(request(None, "6.6.6.6, 192.0.2.1, 10.0.0.1")) == "192.0.2.1"
    assert socket(request(None)) is None
    assert socket(request(None, "unknown")) is None
    assert socket(request("192.0.2.9", "6.6.6.6")) == "192.0.2.9"


def test_another_header_may_say_it() -> None:
    cloudflare = ClientAddress(trusted=PROXIES, header="CF-Connecting-IP")
    said = request("10.0.0.1", "192.0.2.1", header=b"cf-connecting-ip")
    assert cloudflare(said) == "192.0.2.1"
    assert cloudflare(request("10.0.0.1", "192.0.2.1")) == "10.0.0.1"


# -- whatever it says ----------------------------------------------------------------------------------------

addresses = st.ip_addresses().map(str) | st.sampled_from(["10.0.0.2", "127.0.0.1", "2001:db8:aaaa::2"])
entries = addresses | st.from_regex(r"[\[\]0-9a-f:.%, \"]*", fullmatch=True) | st.text(max_size=20)
lines = st.binary(max_size=60) | st.lists(entries).map(lambda said: ", ".join(said).encode())
headers = st.lists(lines, max_size=4)


@given(headers, st.sampled_from([None, "10.0.0.1", "127.0.0.1", "2001:db8:aaaa::1"]))
def test_no_header_raises(said: list[bytes], peer: str | None) -> None:
    name = address(peer, *said, trusted=[*PROXIES, "unix"])
    assert name is None or re.fullmatch(r"[0-9a-f:.]+(/64)?", name)


@given(headers, st.ip_addresses() | st.none() | st.text())
def test_from_whoever_is_not_trusted_headers_change_nothing(said: list[bytes], peer: Any) -> None:
    client = (str(peer), 1) if peer is not None else None
    some = ClientAddress(trusted=["203.0.113.0/24", "2001:db8:ffff::/48"])
    if not str(peer).startswith(("203.0.113.", "2001:db8:ffff:")):
        assert some(request(client, *said)) == some(request(client))
    assert ClientAddress()(request(client, *said)) == ClientAddress()(request(client))


@given(headers, st.ip_addresses(v=4).filter(lambda it: str(it).split(".")[0] not in ("10", "127")))
def test_behind_a_proxy_that_appends_only_what_it_appends_counts(said: list[bytes], client: Any) -> None:
    assert address("10.0.0.1", *said, str(client), "10.0.0.2", trusted=PROXIES) == str(client)


# -- settings ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "network",
    ["10.0.0.0/33", "10.0.0.1/8", "*", "localhost", "", "unix:", "10.0.0.0-10.0.0.9", 10, None, b"::1"],
)
def test_what_is_no_network_is_refused(network: Any) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(f'or "unix"; got {network!r}')):
        ClientAddress(trusted=["10.0.0.0/8", network])


@pytest.mark.parametrize("trusted", ["10.0.0.0/8", None, 5])
def test_networks_are_a_list(trusted: Any) -> None:
    with pytest.raises(
        ConfigurationError, match=re.escape(f"trusted must be a list of networks; got {trusted!r}")
    ):
        ClientAddress(trusted=trusted)


@pytest.mark.parametrize("header", ["", "x forwarded", "x:y", b"x-forwarded-for", None, "ä", "Forwarded"])
def test_a_header_has_a_name_and_nothing_but_addresses(header: Any) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(f"; got {header!r}")):
        ClientAddress(header=header)


@pytest.mark.parametrize("bits", [0, -1, 129, 64.0, True, "64", None])
def test_a_prefix_has_so_many_bits_as_an_address_may_have(bits: Any) -> None:
    expected = f"ipv6_prefix must be a whole number from 1 to 128; got {bits!r}"
    with pytest.raises(ConfigurationError, match=re.escape(expected)):
        ClientAddress(ipv6_prefix=bits)
