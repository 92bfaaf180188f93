"""Where a node may connect to: public addresses, and what the operator allows beside them.

A name is resolved once, every address that it has is checked, and the connection goes to the checked one: a name that
answers otherwise the second time gains nothing. Redirects are answers, not followed.
"""

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Sequence
from functools import cache
from typing import Final

import httpx2

from tallystick.kernel.errors import TallystickError
from tallystick.runner.failures import NodeError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")


class Allowed:
    """Hosts, `host:port` pairs, addresses and networks that may be reached though they are private."""

    def __init__(self, entries: Sequence[str] = ()) -> None:
        """Raises `invalidSetting` for an entry that names nothing."""
        self._networks: list[ipaddress.IPv4Network | ipaddress.IPv6Network] = []
        self._names: set[str] = set()
        for entry in (text.strip().lower() for text in entries):
            if not entry:
                raise TallystickError("invalidSetting", "An allowed host must not be empty.")
            try:
                self._networks.append(ipaddress.ip_network(entry))
            except ValueError:
                self._names.add(entry)

    def permits(self, host: str, port: int, address: Address) -> bool:
        """Whether `host`, resolved to `address`, may be connected to."""
        name = host.lower()
        if name in self._names or f"{name}:{port}" in self._names:
            return True
        real = _embedded(address)
        return is_public(real) or any(one in network for one in (address, real) for network in self._networks)


def is_public(address: Address) -> bool:
    """Whether an address is one of the open internet, seen through what wraps an IPv4 address in an IPv6 one."""
    real = _embedded(address)
    return real.is_global and not (real.is_multicast or real.is_reserved or real.is_unspecified)


def _embedded(address: Address) -> Address:
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return address


@cache
def certificates() -> ssl.SSLContext:
    """Whom we believe who they are; reading them takes a tenth of a second, once."""
    return ssl.create_default_context()


class GuardedTransport(httpx2.AsyncBaseTransport):
    """Connects to checked addresses only. Raises `NodeError` with `addressRefused` or `connectorUnreachable`."""

    def __init__(self, allowed: Allowed) -> None:
        self._allowed = allowed
        # Nothing is kept open: a connection made for one name must not serve another one at the same address.
        alone = httpx2.Limits(max_keepalive_connections=0)
        self._inner = httpx2.AsyncHTTPTransport(verify=certificates(), trust_env=False, limits=alone)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        url = request.url
        if url.scheme not in ("http", "https") or not url.host:
            raise NodeError("addressRefused", f"{url} is no address of http or https.")
        port = url.port or (443 if url.scheme == "https" else 80)
        address = await self._checked(url.host, port)
        pinned = httpx2.Request(
            request.method,
            url.copy_with(host=str(address)),
            headers=request.headers,
            stream=request.stream,
            extensions={**request.extensions, "sni_hostname": url.host},
        )
        return await self._inner.handle_async_request(pinned)

    async def _checked(self, host: str, port: int) -> Address:
        try:
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise NodeError("connectorUnreachable", f"{host} has no address: {error.strerror}.", again=True) from error
        addresses = [ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in found]
        for address in addresses:
            if not self._allowed.permits(host, port, address):
                raise NodeError("addressRefused", f"{host} is at {address}, which is no public address.")
        return addresses[0]

    async def aclose(self) -> None:
        await self._inner.aclose()
