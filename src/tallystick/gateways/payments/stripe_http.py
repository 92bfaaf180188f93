"""What carries calls to Stripe: our own HTTP library under Stripe's."""

import asyncio
from collections.abc import Awaitable, Mapping
from typing import Any, Final

import httpx2
import stripe

SECONDS: Final = 30
"""How long one call may take in all; whoever waits longer learns later what came of it."""


class Carrier(stripe.HTTPClient):
    """One pool of connections. It repeats nothing by itself and follows no redirects."""

    name = "httpx2"

    def __init__(self, seconds: int = SECONDS) -> None:
        super().__init__()
        self._seconds = seconds
        self._client = httpx2.AsyncClient(timeout=seconds)

    async def request_async(
        self, method: str, url: str, headers: Mapping[str, str], post_data: str | None = None
    ) -> tuple[bytes, int, Mapping[str, str]]:
        """The body, status and headers of the answer. Raises `stripe.APIConnectionError` where there is none."""
        try:
            async with asyncio.timeout(self._seconds):
                answer = await self._client.request(method.upper(), url, headers=dict(headers), content=post_data)
        except (httpx2.HTTPError, TimeoutError, OSError) as error:
            raise stripe.APIConnectionError(type(error).__name__) from error  # type: ignore[no-untyped-call]
        return answer.content, answer.status_code, answer.headers

    def sleep_async(self, secs: Any) -> Awaitable[None]:
        return asyncio.sleep(secs)

    async def close_async(self) -> None:
        await self._client.aclose()
