"""A local Stripe for each test, on one localstripe; and our provider that talks to it."""

import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tallystick.gateways.payments.stripe import StripeProvider
from tests.conftest import NOW
from tests.stripe.front import KEY, SECRET, Front


@pytest.fixture(scope="session")
def localstripe() -> Iterator[str]:
    """The address of localstripe in a process of its own."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.stripe.local"], stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]
    )
    assert process.stdout is not None
    port = process.stdout.readline().strip()
    assert port.isdigit(), port
    yield f"http://127.0.0.1:{port}"
    process.terminate()
    process.communicate(timeout=20)


@pytest.fixture
async def front(localstripe: str) -> AsyncIterator[Front]:
    front = Front(localstripe, lambda: NOW)
    await front.start()
    yield front
    await front.stop()


@pytest.fixture
async def provider(front: Front) -> AsyncIterator[StripeProvider]:
    provider = provider_of(front)
    yield provider
    await provider.close()


def provider_of(front: Front, *, key: str = KEY, return_url: str | None = "http://tally.test/paid") -> StripeProvider:
    return StripeProvider(key, webhook_secrets=(SECRET,), api_base=front.url, return_url=return_url)
