"""A customer's payments, from the first card to the last refund, over HTTP, with webhooks on time, lost or mixed up."""

import random
import re
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest

from tallystick.flows import tokens
from tests.conftest import NOW
from tests.make import IDS, differences
from tests.stripe.shop import Shop
from tests.surfaces.conftest import Caller

BILLING = "/v1/billing/subscriptions"


@dataclass
class Customer:
    """A workspace with a test clock, its owner, and the operator; both speak HTTP."""

    shop: Shop
    uuid: UUID
    owner: Caller
    operator: Caller
    mode: str

    async def advance(self, **by: int) -> None:
        """Time goes by, for the workspace and for everybody; then comes what Stripe told meanwhile."""
        self.shop.pass_(**by)
        to = self.shop.now.isoformat()
        moved = await self.operator.post(f"/v1/workspaces/{self.uuid}/clock", {"to": to})
        assert moved.status_code == 200, moved.text
        await self.hear()

    async def hear(self) -> None:
        if self.mode == "lost":
            self.shop.lose()
        else:
            await self.shop.deliver(order=random.Random(7) if self.mode == "mixed up" else None)

    async def add_card(self, **card: Any) -> str:
        """The owner opens the form, the browser sends the card to Stripe and its id to us."""
        asked = await self.owner.post(f"{BILLING}/setupIntent")
        assert asked.status_code == 201, asked.text
        assert asked.json()["setupIntent"]["publishableKey"] == "pk_test_1"
        method = await self.shop.front.new_card(**card)
        await self.shop.front.finish_setup(asked.json()["setupIntent"]["clientSecret"], method)
        put = await self.owner.put(f"{BILLING}/paymentMethod", {"paymentMethodId": method})
        assert put.status_code == 200, put.text
        await self.hear()
        return method

    async def invoices(self) -> list[dict[str, Any]]:
        """The oldest first."""
        answer = await self.owner.get("/v1/invoices")
        assert answer.status_code == 200, answer.text
        found: list[dict[str, Any]] = answer.json()["invoices"]
        return sorted(found, key=lambda one: one["number"] or "")

    async def payments(self) -> list[dict[str, Any]]:
        """The oldest first."""
        answer = await self.owner.get("/v1/payments")
        assert answer.status_code == 200, answer.text
        return list(reversed(answer.json()["payments"]))

    async def status(self) -> str:
        answer = await self.owner.get(BILLING)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["subscription"]["subscriptionStatus"])

    async def may_run(self) -> int:
        return (await self.owner.get("/v1/gate", params={"action": "run", "amount": "1"})).status_code

    async def credits(self) -> int:
        found = (await self.owner.get("/v1/balances")).json()["balances"]
        return int(next(one["available"] for one in found if one["unit"] == "credits"))


@pytest.fixture(params=["on time", "lost", "mixed up"])
async def customer(shop: Shop, request: pytest.FixtureRequest) -> Customer:
    text = f"tally_{IDS.secret()}"
    await tokens.create_operator(
        shop.runtime.database, "test", text=text, replace=False, actor="test", now=NOW, ids=IDS
    )
    operator = Caller(shop.http, text)
    mark = IDS.secret()[:10]
    made = await operator.post(
        "/v1/workspaces",
        {"name": "Acme", "email": f"owner-{mark}@example.com", "clock": shop.now.isoformat(), "grants": []},
    )
    assert made.status_code == 201, made.text
    uuid = UUID(made.json()["workspace"]["uuid"])
    return Customer(
        shop, uuid, Caller(shop.http, made.json()["adminToken"]), Caller(shop.http, text, uuid), request.param
    )


async def test_upgraded_paid_declined_dunned_repaired_refunded_and_disputed(customer: Customer) -> None:
    shop, front = customer.shop, customer.shop.front
    assert (await customer.owner.get(f"{BILLING}/creditCard")).json() == {}
    refused = await customer.owner.put(f"{BILLING}/plan", {"plan": "pro", "cadence": "monthly"})
    assert refused.json()["reason"] == "paymentMethodNotFound"

    # The first card, and the upgrade that it pays.
    first = await customer.add_card(year=2030)
    card = (await customer.owner.get(f"{BILLING}/creditCard")).json()["creditCard"]
    assert card == {"brand": "visa", "last4": "4242", "expMonth": 12, "expYear": 2030}
    upgraded = await customer.owner.put(f"{BILLING}/plan", {"plan": "pro", "cadence": "monthly"})
    assert upgraded.status_code == 200, upgraded.text
    await customer.advance(minutes=1)
    await customer.hear()
    assert [(one["status"], one["amount"]) for one in await customer.invoices()] == [("paid", 9_900)]
    assert await customer.credits() == 10_000
    assert (await front.books()).taken == [9_900]

    # A month later the bank declines; it is tried on days 1, 3, 5 and 7, and on day 14 runs stop.
    front.declines[first] = "insufficient_funds"
    await customer.advance(days=32)
    assert [one["status"] for one in await customer.invoices()] == ["paid", "past_due"]
    assert (await customer.status(), await customer.may_run()) == ("active", 200)
    await customer.advance(days=8)
    failed = [one for one in await customer.payments() if one["status"] == "failed"]
    assert len(failed) == 5
    assert {one["errorMessage"] for one in failed} == {"There is not enough money on the account."}
    await customer.advance(days=8)
    assert (await customer.status(), await customer.may_run()) == ("past_due", 402)

    # A new card pays at once, and everything goes on.
    await customer.add_card(year=2033)
    await customer.advance(minutes=1)
    await customer.advance(minutes=1)
    assert [one["status"] for one in await customer.invoices()] == ["paid", "paid"]
    assert (await customer.status(), await customer.may_run()) == ("active", 200)
    assert (await front.books()).taken == [9_900, 9_900]

    # The operator gives a part back; the customer disputes the rest, and loses.
    paid = next(one for one in reversed(await customer.payments()) if one["status"] == "succeeded")
    back = await customer.operator.post(f"/v1/payments/{paid['uuid']}/refunds", {"amount": 900, "reason": "sorry"})
    assert back.status_code == 201, back.text
    await customer.hear()
    assert (await front.books()).given_back == 900
    notes = [one for one in await customer.invoices() if one["kind"] == "credit_note"]
    assert [one["amount"] for one in notes] == [900]
    if customer.mode != "lost":
        # Only Stripe knows of a dispute.
        ref = next(iter(front.refunds.values()))["payment_intent"]
        dispute = await front.dispute(ref, 9_000)
        await customer.hear()
        assert "past_due" in [one["status"] for one in await customer.invoices()]
        await front.close_dispute(dispute, won=True)
        await customer.hear()
        assert "past_due" not in [one["status"] for one in await customer.invoices()]
    assert await differences(shop.runtime.database, customer.uuid) == []


async def page_to_pay_on(customer: Customer, credits_: int) -> str:
    """The address of Stripe's page, to which our own page leads where nothing is on file."""
    shop = customer.shop
    made = await customer.owner.post(f"{BILLING}/creditsCheckoutSessions")
    assert made.status_code == 201, made.text
    page = made.json()["checkoutSession"]["url"].removeprefix("http://tally.test")
    shown = await shop.http.get(page, params={"credits": str(credits_)})
    assert shown.status_code == 200
    token = re.search(r'name="token" value="([^"]+)"', shown.text)
    assert token is not None
    bought = await shop.http.post(page, data={"token": token[1], "credits": str(credits_)})
    assert bought.status_code == 303
    here = bought.headers["location"]
    waiting = await shop.http.get(here)
    again = await shop.http.get(here)
    pages = {re.search(r'href="([^"]+/pay/cs_test_[^"]+)"', one.text)[1] for one in (waiting, again)}  # type: ignore[index]
    assert len(pages) == 1
    return pages.pop()


async def test_credits_bought_on_a_page_are_granted_when_they_are_paid(customer: Customer) -> None:
    shop, front = customer.shop, customer.shop.front
    url = await page_to_pay_on(customer, 1_500)

    # A card that is refused there ends nothing; a second one pays.
    assert await front.pay(url, await front.new_card("4000000000000341")) is None
    await customer.hear()
    assert await customer.credits() == 0
    await front.pay(url, await front.new_card())
    await customer.hear()
    await customer.advance(minutes=30)
    assert await customer.credits() == 1_500
    assert (await front.books()).taken == [1_500]
    assert [one["status"] for one in (await customer.owner.get("/v1/purchases")).json()["purchases"]] == ["paid"]
    assert await differences(shop.runtime.database, customer.uuid) == []


async def test_money_that_comes_after_a_purchase_was_given_up_buys_its_credits(customer: Customer) -> None:
    shop, front = customer.shop, customer.shop.front
    url = await page_to_pay_on(customer, 1_000)
    await customer.advance(hours=2)
    found = (await customer.owner.get("/v1/purchases")).json()["purchases"]
    assert [one["status"] for one in found] == ["failed"]
    await front.pay(url, await front.new_card())
    await customer.hear()
    if customer.mode == "lost":
        assert await shop.catch_up() > 0
    assert await customer.credits() == 1_000
    assert await shop.catch_up() == 0 or customer.mode != "lost"
    assert await customer.credits() == 1_000
    assert (await front.books()).taken == [1_000]
    assert await differences(shop.runtime.database, customer.uuid) == []


async def test_credits_bought_by_bank_debit_wait_for_the_money(customer: Customer) -> None:
    shop, front = customer.shop, customer.shop.front
    asked = (await customer.owner.post(f"{BILLING}/setupIntent")).json()["setupIntent"]["clientSecret"]
    account = await front.new_account()
    await front.finish_setup(asked, account)
    assert (await customer.owner.put(f"{BILLING}/paymentMethod", {"paymentMethodId": account})).status_code == 200
    await customer.hear()
    shop.runtime.billing = shop.in_euro()
    bought = await customer.owner.post("/v1/purchases", {"credits": 1_000})
    assert bought.status_code == 201, bought.text
    assert bought.json()["purchase"]["status"] == "pending"
    await customer.advance(days=3)
    assert await customer.credits() == 0
    payment = (await customer.payments())[-1]
    assert payment["status"] == "processing"
    intent = next(ref for ref, one in front.shown.items() if one.get("status") == "processing")
    await front.settle(intent)
    await customer.hear()
    await customer.advance(days=1)
    assert await customer.credits() == 1_000
    assert (await front.books()).taken == [1_000]
    assert await differences(shop.runtime.database, customer.uuid) == []


async def test_the_portal_is_stripes_own(customer: Customer) -> None:
    await customer.add_card()
    made = await customer.owner.post(f"{BILLING}/portalSessions")
    assert made.status_code == 201, made.text
    assert made.json()["portalSession"]["url"].startswith(f"{customer.shop.front.url}/portal/")
