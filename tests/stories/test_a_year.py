"""A customer's year: trial, conversion, upgrade, downgrade, a card that fails, recovery, a credit note, leap days."""

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tallystick.runtime import Runtime
from tallystick.settings import Settings
from tallystick.surfaces.api.app import create_app
from tests import make
from tests.bills import CARD, OTHER_CARD
from tests.stories.a_year import Year
from tests.stories.telling import REWRITE, rewrite
from tests.stories.test_running_dry import own_database
from tests.telling.receiver import receiving

__all__ = ["own_database"]

HERE = Path(__file__).parent
SETTINGS: dict[str, Any] = {
    "webhook_allowed_hosts": "127.0.0.1",
    "log_level": "error",
    "seller_name": "Platform GmbH",
    "seller_country": "DE",
    "seller_tax_id": "DE136695976",
    "seller_email": "billing@platform.example",
    "public_url": "https://platform.example",
}
BUYER = {
    "legalName": "Acme Research GmbH",
    "email": "accounts@acme.example",
    "country": "DE",
    "address": {"line1": "Lindenallee 4", "postalCode": "10115", "city": "Berlin"},
}
TEAM = {"plan": "team", "name": "Team", "cadence": "monthly", "price": 29_900, "currency": "usd"}
YEARLY = {"plan": "pro", "name": "Pro", "cadence": "annual", "price": 99_000, "currency": "usd"}


@pytest.fixture
async def year(own_database: str, request: pytest.FixtureRequest) -> AsyncIterator[Year]:
    runtime = await Runtime.open(Settings(database_url=own_database, **SETTINGS))
    transport = httpx2.ASGITransport(app=create_app(runtime))  # type: ignore[arg-type]
    try:
        async with receiving() as receiver, httpx2.AsyncClient(transport=transport, base_url="http://t") as http:
            yield Year(runtime, http, receiver, request.param, "Europe/Berlin")
    finally:
        await runtime.close()


async def begin(year: Year, clock: str) -> None:
    body = {"name": "Acme", "email": "ada@acme.example", "zone": "Europe/Berlin", "clock": clock, "grants": []}
    await year.begin(body)
    for plan, amount in ((TEAM, 40_000), (YEARLY, 120_000)):
        await year.operate("POST", "/v1/plans", plan | {"includedCredits": amount, "reason": "on offer"}, status=201)
    await year.call("PUT", "/v1/billing/account", BUYER)


def check(year: Year, name: str) -> None:
    golden = HERE / name
    text = "\n".join(year.lines) + "\n"
    if os.environ.get(REWRITE):
        rewrite(golden, text)
    assert golden.read_text(encoding="utf-8") == text, f"{name} tells another story; {REWRITE}=1 rewrites it"


@pytest.mark.parametrize("year", ["A customer's year"], indirect=True)
async def test_a_customers_year(year: Year) -> None:
    await begin(year, "2024-02-15T08:00:00Z")
    await year.say("Acme is on Free, and begins the trial of Pro.")
    await year.call("POST", "/v1/billing/subscriptions/trial", {}, status=200)
    await year.told()
    await year.until("2024-02-27T10:00:00Z")
    await year.say("Ada puts a card on file.")
    await year.card(CARD.id)
    await year.say("The trial ends on 29 February: Pro is paid for from now on.")
    await year.until("2024-03-01T08:00:00Z")

    await year.say("Models take 4,200 credits in two weeks.")
    await year.until("2024-03-14T07:00:00Z")
    await year.use("march", 4_200)
    await year.say("An upgrade in the middle of the month.")
    await year.plan({"plan": "team"})
    await year.until("2024-03-20T09:00:00Z")
    await year.say("Pro was enough: a downgrade, which waits for the period's end.")
    await year.plan({"plan": "pro"})
    await year.until("2024-03-30T08:00:00Z")
    await year.say("It took place, and what March used is on the invoice, paid by credits.")

    await year.until("2024-04-20T08:00:00Z")
    await year.use("april", 300)
    await year.say("From now on the bank declines the card.")
    year.house.declines.add(CARD.id)
    await year.until("2024-04-30T08:00:00Z")
    await year.say("The schedule: tried again on days 1, 3, 5 and 7.")
    await year.until("2024-05-12T08:00:00Z")
    await year.run_asks()
    await year.say("Day 14.")
    await year.until("2024-05-14T08:00:00Z")
    await year.run_asks()
    await year.until("2024-05-15T12:00:00Z")
    await year.say("Ada puts another card on file: what is open is collected, and everything goes on at once.")
    await year.card(OTHER_CARD.id)
    await year.run_asks()

    await year.until("2024-05-20T09:00:00Z")
    await year.say("For an outage in April the operator credits 20 dollars.")
    await year.credit("INV-000004", 2_000, "outage of 11 April")
    await year.say("The rest of the year goes by, a period after another.")
    await year.pass_by("2025-03-01T08:00:00Z")
    assert await make.differences(year.runtime.database, year.uuid) == []
    check(year, "a_year.txt")


@pytest.mark.parametrize("year", ["A year that begins on 29 February"], indirect=True)
async def test_a_year_that_begins_on_29_february(year: Year) -> None:
    await begin(year, "2024-02-29T08:00:00Z")
    await year.say("Acme puts a card on file, and takes Pro by the year.")
    await year.card(CARD.id)
    await year.plan({"plan": "pro", "cadence": "annual"})
    for until in ("2025-03-01T08:00:00Z", "2026-03-01T08:00:00Z", "2027-04-02T08:00:00Z", "2028-03-01T08:00:00Z"):
        await year.say("A year goes by.")
        await year.until(until)
    assert await make.differences(year.runtime.database, year.uuid) == []
    check(year, "leap_years.txt")
