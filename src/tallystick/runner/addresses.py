"""Where a node may connect to: what kernel/addresses.py permits. Redirects are answers, not followed."""

import asyncio
import socket
import ssl
from functools import cache

import httpx2

from tallystick.kernel.addresses import Address, AddressRefused, Allowed
from tallystick.runner.failures import NodeError


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
        try:
            return self._allowed.choose(host, port, [str(entry[4][0]) for entry in found])
        except AddressRefused as refused:
            raise NodeError("addressRefused", str(refused)) from refused

    async def aclose(self) -> None:
        await self._inner.aclose()
