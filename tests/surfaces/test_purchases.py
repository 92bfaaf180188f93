"""Bought credits over HTTP: purchases, the page, automatic top-up, refunds and what was earned."""

import re
from typing import Any
from urllib.parse import urlsplit

import httpx2

from tallystick.flows import buying, links
from tallystick.flows.links import Link
from tallystick.runtime import Runtime
from tests.conftest import NOW
from tests.surfaces.conftest import Caller, House

_TOKEN = re.compile(r'name="token" value="([^"]+)"')
FORM = {"content-type": "application/x-www-form-urlencoded"}


async def buy(house: House, credits_: int, **headers: str) -> dict[str, Any]:
    answer = await house.owner.post("/v1/purchases", {"credits": credits_}, headers=headers)
    assert answer.status_code == 201, answer.text
    purchase: dict[str, Any] = answer.json()["purchase"]
    return purchase


async def pay(house: House, purchase: dict[str, Any]) -> None:
    """The operator marks the invoice's transfer as arrived."""
    answer = await house.operator.post(
        f"/v1/invoices/{purchase['invoiceUuid']}/payments", {"amount": purchase["total"]}
    )
    assert answer.status_code in (200, 201), answer.text


async def test_a_preview_tells_the_price_and_buys_nothing(house: House) -> None:
    answer = await house.owner.post("/v1/purchases?preview=true", {"credits": 1000})
    assert answer.status_code == 200
    preview = answer.json()["preview"]
    assert (preview["credits"], preview["price"], preview["currency"], preview["unitPrice"]) == (1000, 1000, "usd", 1)
    assert preview["total"] == preview["price"] + preview["tax"] and preview["expiresInDays"] == 365
    assert (await house.owner.get("/v1/purchases")).json() == {"purchases": []}


async def test_bought_by_transfer_it_says_how_to_pay_and_is_granted_when_the_money_came(house: House) -> None:
    purchase = await buy(house, 500, **{"idempotency-key": "first"})
    assert purchase["status"] == "pending" and purchase["transfer"]["reference"].startswith("RF")
    assert (await buy(house, 500, **{"idempotency-key": "first"}))["uuid"] == purchase["uuid"]
    before = (await house.owner.get("/v1/billing/subscriptions")).json()["subscription"]
    assert before["additionalAvailableCreditsCount"] == 0
    await pay(house, purchase)
    (paid,) = (await house.owner.get("/v1/purchases?status=paid")).json()["purchases"]
    assert (paid["uuid"], paid["transfer"], paid["expiresAt"][:10]) == (purchase["uuid"], None, "2027-03-14")
    after = (await house.owner.get("/v1/billing/subscriptions")).json()["subscription"]
    assert after["additionalAvailableCreditsCount"] == 500
    again = await house.owner.post("/v1/purchases", {"credits": 600}, headers={"idempotency-key": "first"})
    assert (again.status_code, again.json()["reason"]) == (409, "idempotencyConflict")


async def test_odd_amounts_are_refused(house: House) -> None:
    for credits_ in (0, 99, -100, 100.5, "1e9", 1_000_001, "many"):
        answer = await house.owner.post("/v1/purchases", {"credits": credits_})
        assert (answer.status_code, answer.json()["reason"]) == (400, "invalidAmount"), credits_


async def test_unused_credits_are_given_back_by_the_operator(house: House) -> None:
    purchase = await buy(house, 500)
    await pay(house, purchase)
    path = f"/v1/purchases/{purchase['uuid']}/refund"
    body = {"workspaceUuid": str(house.uuid), "reason": "asked for", "credits": 200}
    answer = await house.operator.post(path, body, headers={"idempotency-key": "back"})
    assert answer.status_code == 200, answer.text
    assert (answer.json()["purchase"]["refundedCredits"], answer.json()["purchase"]["refunded"]) == (200, 200)
    assert (await house.operator.post(path, body, headers={"idempotency-key": "back"})).json() == answer.json()
    too_much = await house.operator.post(path, body | {"credits": 301})
    assert (too_much.status_code, too_much.json()["reason"]) == (409, "refundTooLarge")
    assert (await house.operator.post(path, body | {"credits": None})).json()["purchase"]["status"] == "refunded"


async def test_revenue_is_told_to_the_operator_by_month_and_currency(house: House, operator: Caller) -> None:
    def of_march(answer: httpx2.Response) -> dict[str, Any]:
        found: list[dict[str, Any]] = answer.json()["months"]
        return next((one for one in found if (one["month"], one["currency"]) == ("2026-03", "usd")), {})

    everybody = Caller(operator.http, operator.token)
    before = of_march(await everybody.get("/v1/revenue"))
    purchase = await buy(house, 500)
    await pay(house, purchase)
    used = await house.owner.post(
        "/v1/events",
        {
            "specversion": "1.0",
            "id": "r1",
            "source": "test",
            "type": "direct.charge",
            "subject": str(house.uuid),
            "data": {"quantity": 175},
        },
    )
    assert used.json()["accepted"] == 1
    after = of_march(await everybody.get("/v1/revenue?from=2026-03-01&to=2026-03-31"))
    # 75 free credits are used first.
    moved = {name: after[name] - before.get(name, 0) for name in ("sold", "recognised", "breakage", "deferred")}
    assert moved == {"sold": 500, "recognised": 100, "breakage": 0, "deferred": 400}
    wrong = await everybody.get("/v1/revenue?from=2026-03-31&to=2026-03-01")
    assert (wrong.status_code, wrong.json()["reason"]) == (400, "invalidRange")


async def test_top_up_wants_a_payment_method_and_its_figures(house: House) -> None:
    path = "/v1/billing/subscriptions/topup"
    refused = await house.owner.put(path, {"enabled": True, "creditsCount": 500, "threshold": 10})
    assert refused.json()["reason"] == "paymentMethodNotFound"
    missing = await house.owner.put(path, {"enabled": True})
    assert (missing.status_code, missing.json()["reason"]) == (400, "invalidAmount")
    off = await house.owner.put(path, {"enabled": False})
    assert off.status_code == 200 and off.json()["subscription"]["topup"] is None
    shown = (await house.owner.get("/v1/billing/topup")).json()["topup"]
    assert (shown["state"], shown["dailyCap"], shown["boughtToday"]) == ("off", 100_000, 0)


async def page_of(house: House) -> str:
    made = await house.owner.post("/v1/billing/subscriptions/creditsCheckoutSessions")
    assert made.status_code == 201, made.text
    return urlsplit(made.json()["checkoutSession"]["url"]).path


async def test_on_the_page_one_chooses_sees_the_price_buys_once_and_reads_the_reference(
    house: House, http: httpx2.AsyncClient
) -> None:
    path = await page_of(house)
    first = await http.get(path)
    assert first.status_code == 200 and "Show the price" in first.text and "What it costs" not in first.text
    assert "default-src 'none'" in first.headers["content-security-policy"]
    priced = await http.get(f"{path}?credits=2500")
    assert "$25.00" in priced.text and "Buy 2,500 credits" in priced.text
    token = _TOKEN.search(priced.text)
    assert token is not None
    sent = [
        await http.post(path, content=f"token={token[1]}&credits=2500", headers=FORM, follow_redirects=False)
        for _ in range(2)
    ]
    assert [one.status_code for one in sent] == [303, 303]
    assert sent[0].headers["location"] == sent[1].headers["location"]
    (purchase,) = (await house.owner.get("/v1/purchases")).json()["purchases"]
    bought = await http.get(sent[0].headers["location"])
    reference = purchase["transfer"]["reference"]
    assert bought.status_code == 200 and purchase["invoiceNumber"] in bought.text
    assert reference in bought.text.replace(" ", "")
    await pay(house, purchase)
    assert "Paid: the credits are there" in (await http.get(sent[0].headers["location"])).text


async def test_the_page_refuses_what_is_not_its_own(house: House, http: httpx2.AsyncClient) -> None:
    path = await page_of(house)
    odd = await http.get(f"{path}?credits=99")
    assert odd.status_code == 400 and "whole credits" in odd.text
    assert (await http.get(f"{path}x")).status_code == 404
    forged = await http.post(path, content="token=none&credits=500", headers=FORM)
    assert forged.status_code == 404
    missing = await http.get(f"{path}?purchase=00000000-0000-7000-8000-000000000000")
    assert missing.status_code == 404
    assert (await house.owner.get("/v1/purchases")).json() == {"purchases": []}


async def test_what_is_typed_is_shown_as_text(house: House, http: httpx2.AsyncClient) -> None:
    path = await page_of(house)
    shown = await http.get(path, params={"credits": '"><script>alert(1)</script>'})
    assert shown.status_code == 400 and "<script>" not in shown.text


async def test_a_link_ends(house: House, http: httpx2.AsyncClient, runtime: Runtime) -> None:
    path = await page_of(house)
    ended = Link(buying.PAGE_PURPOSE, house.uuid, NOW)
    text = await links.sign(runtime.database, ended, now=NOW, ids=runtime.ids)
    assert (await http.get(path)).status_code == 200
    assert (await http.get(f"{buying.PAGE_PATH}/{text}")).status_code == 410


async def test_what_is_not_paid_is_not_given_back(house: House) -> None:
    purchase = await buy(house, 500)
    body = {"workspaceUuid": str(house.uuid), "reason": "asked for"}
    answer = await house.operator.post(f"/v1/purchases/{purchase['uuid']}/refund", body)
    assert (answer.status_code, answer.json()["reason"]) == (409, "purchaseNotOpen")


async def test_the_invoice_of_a_purchase_is_credited_by_giving_the_credits_back_and_voided_unpaid(
    house: House,
) -> None:
    paid, unpaid = await buy(house, 500), await buy(house, 600)
    await pay(house, paid)
    why = {"workspaceUuid": str(house.uuid), "reason": "asked for"}
    refused = await house.operator.post(f"/v1/invoices/{paid['invoiceUuid']}/credit", why)
    assert (refused.status_code, refused.json()["reason"]) == (409, "invoiceNotOpen")
    voided = await house.operator.post(f"/v1/invoices/{unpaid['invoiceUuid']}/void", why)
    assert voided.status_code == 200, voided.text
    (failed,) = (await house.owner.get("/v1/purchases?status=failed")).json()["purchases"]
    assert (failed["uuid"], failed["error"]) == (unpaid["uuid"], "asked for")
