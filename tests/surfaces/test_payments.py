"""Payment over HTTP: the fields of a public client, who pays, and what operators write down."""

import datetime as dt
from pathlib import Path

import pytest

from tallystick.domain.billing.accounts import Method
from tallystick.domain.billing.references import creditor_reference
from tallystick.flows import accounts
from tallystick.runtime import Runtime
from tests import bills
from tests.make import IDS
from tests.surfaces.conftest import NOW, Caller, House

XML = {"content-type": "application/xml"}
CSV = {"content-type": "text/csv"}
FILES = Path(__file__).parents[1] / "gateways" / "statements"


async def put_on_file(runtime: Runtime, house: House, method: Method | None) -> None:
    await accounts.set_method(runtime.database, runtime.billing, house.uuid, method, actor="test", now=NOW, ids=IDS)


async def test_the_card_on_file_has_the_fields_of_a_public_client(house: House, runtime: Runtime) -> None:
    path = "/v1/billing/subscriptions/creditCard"
    assert (await house.owner.get(path)).json() == {}
    await put_on_file(runtime, house, bills.CARD)
    assert (await house.owner.get(path)).json() == {
        "creditCard": {"brand": "visa", "last4": "4242", "expMonth": 4, "expYear": 2027}
    }
    await put_on_file(runtime, house, bills.BANK)
    assert (await house.owner.get(path)).json() == {}
    account = (await house.owner.get("/v1/billing/account")).json()["account"]
    assert account["paymentMethod"] == {"kind": "bank", "brand": "", "last4": "3000", "expMonth": None, "expYear": None}


async def test_with_bank_transfers_nothing_can_be_put_on_file_and_that_is_said(house: House) -> None:
    setup = await house.owner.post("/v1/billing/subscriptions/setupIntent")
    assert (setup.status_code, setup.json()["reason"]) == (409, "failedToCreateSetupIntent")
    put = await house.owner.put("/v1/billing/subscriptions/paymentMethod", {"paymentMethodId": "pm_1"})
    assert (put.status_code, put.json()["reason"]) == (404, "paymentMethodNotFound")


async def test_without_a_subscription_there_is_nothing_to_pay(house: House, runtime: Runtime) -> None:
    await runtime.database.run(
        lambda conn: conn.execute(b"UPDATE subscription SET ended_at = now() WHERE workspace_id = %s", [house.uuid])
    )
    for path in ("portalSessions", "setupIntent"):
        answer = await house.owner.post(f"/v1/billing/subscriptions/{path}")
        assert (answer.status_code, answer.json()["reason"]) == (404, "subscriptionNotFound")


async def test_who_pays_is_read_changed_in_part_and_emptied(house: House) -> None:
    path = "/v1/billing/account"
    before = (await house.owner.get(path)).json()["account"]
    assert (before["legalName"], before["provider"], before["paymentMethod"]) == ("", "offline", None)
    address = {"line1": "Ring 1", "postalCode": "10115", "city": "Berlin"}
    given = {"legalName": "Acme GmbH", "country": "de", "taxId": "DE 136 695 976", "address": address, "locale": "de"}
    after = (await house.owner.put(path, given)).json()["account"]
    assert (after["country"], after["taxId"], after["address"]["city"]) == ("DE", "DE136695976", "Berlin")
    later = (await house.owner.put(path, {"taxId": None, "purchaseOrder": "PO 7"})).json()["account"]
    assert (later["taxId"], later["purchaseOrder"], later["legalName"]) == (None, "PO 7", "Acme GmbH")
    assert (await house.owner.get(path)).json()["account"] == later


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"country": "Germany"}, "invalidBillingDetails"),
        ({"country": "DE", "taxId": "DE1"}, "invalidTaxId"),
        ({"email": "x"}, "invalidText"),
        ({"legalName": "a\u0007"}, "invalidText"),
        ({"legalName": 7}, "invalidRequest"),
        ({"address": "Ring 1"}, "invalidRequest"),
    ],
)
async def test_billing_details_that_cant_be_change_nothing(house: House, body: dict[str, object], reason: str) -> None:
    answer = await house.owner.put("/v1/billing/account", body)
    assert (answer.status_code, answer.json()["reason"]) == (400, reason)
    assert (await house.owner.get("/v1/billing/account")).json()["account"]["country"] is None


async def test_a_transfer_is_written_down_once_and_stands_in_the_history(house: House, runtime: Runtime) -> None:
    invoice = await bills.owed(runtime.database, house.uuid, 9_900, NOW)
    path, key = f"/v1/invoices/{invoice.id}/payments", {"idempotency-key": f"k-{IDS.secret()}"}
    body = {"amount": 5_000, "date": "2026-03-13", "reference": "B-1"}
    first = await house.operator.post(path, body, headers=key)
    again = await house.operator.post(path, body, headers=key)
    assert first.status_code == again.status_code == 201 and first.json() == again.json()
    other = await house.operator.post(path, body | {"amount": 1}, headers=key)
    assert (other.status_code, other.json()["reason"]) == (409, "idempotencyConflict")
    payment = first.json()["payment"]
    assert (payment["amount"], payment["status"], payment["receivedOn"], payment["reference"]) == (
        5_000,
        "succeeded",
        "2026-03-13",
        "B-1",
    )
    assert payment["invoiceNumber"] == invoice.number
    rest = await house.operator.post(path, {})
    assert rest.json()["payment"]["amount"] == 4_900
    history = (await house.owner.get("/v1/payments")).json()["payments"]
    assert sorted(one["amount"] for one in history) == [4_900, 5_000]
    one = (await house.owner.get("/v1/payments", params={"invoiceUuid": str(IDS.new(NOW))})).json()["payments"]
    assert one == []


async def test_a_refund_is_made_by_the_operator_and_shows(house: House, runtime: Runtime) -> None:
    invoice = await bills.owed(runtime.database, house.uuid, 9_900, NOW)
    payment = (await house.operator.post(f"/v1/invoices/{invoice.id}/payments", {})).json()["payment"]
    path = f"/v1/payments/{payment['uuid']}/refunds"
    done = await house.operator.post(path, {"amount": 2_500, "reason": "goodwill"})
    assert done.status_code == 201 and done.json()["refund"]["status"] == "succeeded"
    refused = await house.operator.post(path, {"amount": 7_401, "reason": "too much"})
    assert (refused.status_code, refused.json()["details"]["refundable"]) == (409, 7_400)
    shown = (await house.owner.get("/v1/payments")).json()["payments"][0]
    assert (shown["refundedAmount"], shown["amount"]) == (2_500, 9_900)
    entries = (await house.owner.get("/v1/audit")).json()["entries"]
    assert {"payment.received", "payment.refunded"} <= {one["action"] for one in entries}


async def test_a_statement_is_imported_and_what_waits_is_matched(
    house: House, operator: Caller, runtime: Runtime
) -> None:
    invoice = await bills.owed(runtime.database, house.uuid, 9_900, NOW)
    other = await bills.owed(runtime.database, house.uuid, 700, NOW)
    mark = IDS.secret()
    text = (
        "date,amount,currency,reference\n"
        f"2026-03-13,99.00,USD,{creditor_reference(str(invoice.number))}\n"
        f"2026-03-13,7.00,USD,coffee {mark}\n"
        "2026-03-13,-7.00,USD,tea\n"
    )
    report = (await operator.post("/v1/statements", content=text.encode(), headers=CSV)).json()
    assert {name: report[name] for name in ("imported", "known", "matched", "unmatched", "ignored")} == {
        "imported": 2,
        "known": 0,
        "matched": 1,
        "unmatched": 1,
        "ignored": {"outgoing": 1},
    }
    again = (await operator.post("/v1/statements", content=text.encode(), headers=CSV)).json()
    assert (again["imported"], again["known"], again["transactions"]) == (0, 2, report["transactions"])
    listed = (await operator.get("/v1/bank-transactions", params={"limit": "1000"})).json()["transactions"]
    waiting = next(one for one in listed if mark in one["reference"])
    assert waiting["note"] == "names no invoice"
    body = {"workspaceUuid": str(house.uuid), "invoiceUuid": str(other.id)}
    done = await operator.post(f"/v1/bank-transactions/{waiting['id']}/match", body)
    assert done.status_code == 200 and done.json()["transaction"]["invoiceUuid"] == str(other.id)
    assert (await bills.invoice_now(runtime.database, other)).status == "paid"
    assert (await bills.invoice_now(runtime.database, invoice)).status == "paid"


@pytest.mark.parametrize(
    ("content", "headers", "status"),
    [
        (b"<Document/>", XML, 400),
        (b"", XML, 400),
        (b"a,b\n", CSV, 400),
        (b"{}", {"content-type": "application/json"}, 415),
    ],
)
async def test_what_is_no_statement_imports_nothing(
    operator: Caller, content: bytes, headers: dict[str, str], status: int
) -> None:
    answer = await operator.post("/v1/statements", content=content, headers=headers)
    assert answer.status_code == status, answer.text
    assert answer.json()["reason"] in ("invalidStatement", "unsupportedMediaType")


async def test_a_statement_has_a_largest_size(operator: Caller, runtime: Runtime) -> None:
    content = b"x" * (runtime.settings.request_bytes_max + 1)
    answer = await operator.post("/v1/statements", content=content, headers=CSV)
    assert (answer.status_code, answer.json()["reason"]) == (413, "bodyTooLarge")


async def test_a_camt_file_is_taken_as_it_is(operator: Caller) -> None:
    report = (
        await operator.post("/v1/statements", content=(FILES / "camt053_v02.xml").read_bytes(), headers=XML)
    ).json()
    assert (report["imported"] + report["known"], report["ignored"]) == (
        3,
        {"outgoing": 1, "pending": 1, "reversal": 1},
    )
    assert dt.date.fromisoformat(report["transactions"][0]["date"]) == dt.date(2026, 3, 13)


async def test_members_see_nothing_of_it(house: House) -> None:
    member = await house.caller("member")
    for path in ("payments", "billing/account", "billing/subscriptions/creditCard"):
        answer = await member.get(f"/v1/{path}")
        assert (answer.status_code, answer.json()) == (403, {"errorMessage": "forbidden"})
