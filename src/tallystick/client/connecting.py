"""How a client reaches its server: one description for both colours."""

import platform
from dataclasses import dataclass
from typing import Final

import httpx2

from tallystick import __version__
from tallystick.client.delivery import NoReply
from tallystick.client.replies import headers_of

_NEVER_SENT: Final = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout)


@dataclass(frozen=True, slots=True)
class Connecting:
    """`timeout` in seconds, for each of connecting, sending and waiting for the next byte."""

    base_url: str
    token: str
    workspace_uuid: str | None
    timeout: float
    agent: str

    def __post_init__(self) -> None:
        if not self.base_url.startswith(("http://", "https://")):
            raise ValueError(f"the server's address must begin with http:// or https://, not {self.base_url!r}")

    def sync_client(self) -> httpx2.Client:
        headers = headers_of(self.token, self.workspace_uuid, self.agent)
        return httpx2.Client(base_url=self.base_url, headers=headers, timeout=self.timeout)

    def async_client(self) -> httpx2.AsyncClient:
        headers = headers_of(self.token, self.workspace_uuid, self.agent)
        return httpx2.AsyncClient(base_url=self.base_url, headers=headers, timeout=self.timeout)


def default_agent() -> str:
    """The User-Agent of a program that gives none."""
    return f"tallystick-python/{__version__} python/{platform.python_version()}"


def no_reply(error: httpx2.HTTPError) -> NoReply:
    """What a request that failed comes to."""
    return NoReply(cause_of(error), was_sent=not isinstance(error, _NEVER_SENT))


def cause_of(error: Exception) -> str:
    """The error of a request in a few words."""
    return str(error).strip().rstrip(".") or type(error).__name__
