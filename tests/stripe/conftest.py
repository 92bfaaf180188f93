"""A local Stripe for each test, on one localstripe; and our provider that talks to it."""

import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx2
import pytest

from tallystick.flows.billing import billing_of, providers_of
from tallystick.gateways.payments.stripe import StripeProvider
from tallystick.kernel.clock import FrozenClock
from tallystick.runtime import Runtime
from tallystick.settings import Settings
from tallystick.surfaces.api.app import create_app
from tests.conftest import NOW
from tests.stripe.front import KEY, SECRET, Front
from tests.stripe.shop import Shop


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


@pytest.fixture(scope="session")
async def one_runtime(database_url: str) -> AsyncIterator[Runtime]:
    runtime = await Runtime.open(Settings(database_url=database_url), clock=FrozenClock(NOW))
    yield runtime
    await runtime.close()


@pytest.fixture(scope="session")
async def http(one_runtime: Runtime) -> AsyncIterator[httpx2.AsyncClient]:
    transport = httpx2.ASGITransport(app=create_app(one_runtime))  # type: ignore[arg-type]
    async with httpx2.AsyncClient(transport=transport, base_url="http://tally.test") as client:
        yield client


@pytest.fixture
async def shop(one_runtime: Runtime, http: httpx2.AsyncClient, front: Front) -> AsyncIterator[Shop]:
    """The application with Stripe set up, at a time of its own."""
    settings = Settings(
        database_url=one_runtime.settings.database_url,
        payment_provider="stripe",
        stripe_api_key=KEY,
        stripe_publishable_key="pk_test_1",
        stripe_webhook_secret=f"whsec_before,{SECRET}",
        stripe_api_base=front.url,
        public_url="http://tally.test",
        seller_name="Tally Works",
        seller_country="US",
    )
    clock = FrozenClock(NOW)
    one_runtime.clock, one_runtime.settings = clock, settings
    one_runtime.billing = billing_of(settings, providers_of(settings))
    front.clock = clock.now
    yield Shop(one_runtime, http, front, clock)
    for provider in one_runtime.billing.providers.values():
        await provider.close()
