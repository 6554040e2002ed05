"""Whose request it is, by its address: the client's own, also behind proxies that say it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, Protocol, TypeAlias

from endwell.errors import ConfigurationError
from endwell.settings import is_whole
from endwell.types import Scope, is_header_name

UNIX = "unix"
HOPS = 32
"""Entries of a header that are looked at: there are fewer proxies, and a client may send 64 KiB of commas."""

_BITS = 128
_Address: TypeAlias = IPv4Address | IPv6Address
_Network: TypeAlias = IPv4Network | IPv6Network

_MAPPED = IPv6Network("::ffff:0:0/96")


class HasScope(Protocol):
    """A request, as far as it matters here; Starlette's is one."""

    @property
    def scope(self) -> Scope:
        """The ASGI scope."""


class ClientAddress:
    """Names the client that a request comes from, for `Limits(key=…)`.

    That is the address that the connection comes from. If this is one of the `trusted` proxies, it is what
    they say in a header: read from its end, since each proxy appends where its own request came from, up to
    the first address that is not trusted. What stands before that, anybody can have written. So a forged
    header changes nothing; and without `trusted`, no header does.

    ```python
    Streams(limits=Limits(per_key=5, key=ClientAddress(trusted=["10.0.0.0/8"])))
    ```

    Trust only the networks that your proxies are in: whoever is within them can call itself what it likes.

    A server may have read the header before. uvicorn does (`--proxy-headers`, its default) when a connection
    comes from 127.0.0.1 or what else `--forwarded-allow-ips` names, and puts the client's address in the
    place of the proxy's. That one is taken as it is, unless it is trusted here. It is as good, with one
    exception: with `--forwarded-allow-ips '*'` uvicorn believes what *clients* write, and nothing here can
    mend that.

    Args:
        trusted: Networks and addresses of proxies, such as "10.0.0.0/8" or "::1". "unix" stands for
            connections that have no address, as those through a unix socket. Default: none.
        header: The header in which they say it: "x-forwarded-for" (default), or another one with a list of
            addresses, or with one, such as "cf-connecting-ip". All lines of it count, in their order.
        ipv6_prefix: IPv6 addresses that have so many first bits in common are one client, as hardly a client
            has less than a whole /64 to choose from. From 1 to 128 (each is a client); default 64.

    Raises:
        ConfigurationError: A network is none, or `header` or `ipv6_prefix` is out of its bounds.
    """

    __slots__ = ("_header", "_networks", "_prefix", "_trusts_unix")

    def __init__(
        self, *, trusted: Iterable[str] = (), header: str = "x-forwarded-for", ipv6_prefix: int = _BITS // 2
    ) -> None:
        proxies = _checked_list(trusted)
        self._trusts_unix = UNIX in proxies
        self._networks = [_network(proxy) for proxy in proxies if proxy != UNIX]
        self._header = _checked_header(header)
        self._prefix = _checked_prefix(ipv6_prefix)

    def __call__(self, request: HasScope) -> str | None:
        """The client's address, or its network; None if the connection has none and nobody says one.

        It is told in one way, however it was written: without port, brackets and zone, and as IPv4 where IPv6
        carries that.
        """
        hop = _peer(request.scope)
        entries = self._entries(request.scope)
        while self._trusts(hop) and (before := next(entries, None)) is not None:
            hop = before
        return None if hop is None else self._name(hop)

    def _trusts(self, hop: _Address | None) -> bool:
        if hop is None:
            return self._trusts_unix
        return any(hop in network for network in self._networks)

    def _entries(self, scope: Scope) -> Iterator[_Address | None]:
        """The entries of the header from its end; None for one that is no address."""
        lines = [value for name, value in scope.get("headers", ()) if name == self._header]
        for entry in reversed(b",".join(lines).decode("latin-1").rsplit(",", HOPS)):
            yield _parse(entry.strip())

    def _name(self, address: _Address) -> str:
        if isinstance(address, IPv4Address) or self._prefix == _BITS:
            return str(address)
        host_bits = _BITS - self._prefix
        return f"{IPv6Address(int(address) >> host_bits << host_bits)}/{self._prefix}"


def _peer(scope: Scope) -> _Address | None:
    """Where the connection comes from; None without an address, or with another name in its place."""
    host = (scope.get("client") or [None])[0]
    return _parse(host) if isinstance(host, str) else None


def _parse(text: str) -> _Address | None:
    """An address, however it is written; None if it is none."""
    try:
        address = ip_address(_without_port(text))
    except ValueError:
        return None
    if isinstance(address, IPv4Address):
        return address
    without_zone = IPv6Address(int(address)) if address.scope_id else address
    return without_zone.ipv4_mapped or without_zone


def _without_port(text: str) -> str:
    """What is before the port in `192.0.2.1:80` and `[2001:db8::1]:80`; only IPv6 has more than one colon."""
    if text.startswith("["):
        return text[1:].partition("]")[0]
    host, _, port = text.partition(":")
    return text if ":" in port else host


def _checked_list(trusted: Any) -> list[Any]:
    if isinstance(trusted, str) or not isinstance(trusted, Iterable):
        raise ConfigurationError(f"trusted must be a list of networks; got {trusted!r}")
    return list(trusted)


def _network(text: Any) -> _Network:
    wanted = f'each of trusted must be a network such as "10.0.0.0/8", an address, or "{UNIX}"; got {text!r}'
    if not isinstance(text, str):  # to ip_network, a number is an address
        raise ConfigurationError(wanted)
    try:
        network = ip_network(text)
    except ValueError as error:
        raise ConfigurationError(f"{wanted}: {error}") from error
    if not isinstance(network, IPv6Network) or not network.subnet_of(_MAPPED):
        return network
    # Hops are told as IPv4.
    return IPv4Network((int(network.network_address) & 0xFFFF_FFFF, network.prefixlen - _MAPPED.prefixlen))


def _checked_header(name: Any) -> bytes:
    if not is_header_name(name):
        raise ConfigurationError(f"header must be the name of a header; got {name!r}")
    if name.lower() == "forwarded":
        raise ConfigurationError(f"header must be one with nothing but addresses; got {name!r}")
    return bytes(name.lower(), "ascii")


def _checked_prefix(bits: Any) -> int:
    if not is_whole(bits, 1, _BITS):
        raise ConfigurationError(f"ipv6_prefix must be a whole number from 1 to {_BITS}; got {bits!r}")
    return bits
