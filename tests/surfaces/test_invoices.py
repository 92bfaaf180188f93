"""Invoices over HTTP: the fields of a public client, everything behind one, and what an operator may do."""

import datetime as dt
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import httpx2
import pytest

from tallystick.domain.identity.rights import PERMISSIONS
from tallystick.flows import tokens
from tallystick.kernel.credits import NANO
from tallystick.runtime import Runtime
from tests import make
from tests.conftest import NOW
from tests.invoices import closings
from tests.invoices.closings import charge
from tests.make import IDS
from tests.surfaces.conftest import Caller, new_house

BORN = NOW - dt.timedelta(days=40)


@dataclass
class Customer:
    workspace_id: UUID
    owner: Caller
    operator: Caller

    async def invoices(self) -> list[dict[str, Any]]:
        answer = await self.owner.get("/v1/invoices")
        assert answer.status_code == 200, answer.text
        found: list[dict[str, Any]] = answer.json()["invoices"]
        return found

    async def one(self, invoice_id: str) -> dict[str, Any]:
        answer = await self.owner.get(f"/v1/invoices/{invoice_id}")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()["invoice"]
        return found

    async def act(self, invoice_id: str, action: str, **body: Any) -> httpx2.Response:
        given = {"workspaceUuid": str(self.workspace_id), "reason": "asked for", **body}
        return await self.operator.post(f"/v1/invoices/{invoice_id}/{action}", json=given)


@pytest.fixture
async def customer(runtime: Runtime, http: httpx2.AsyncClient, operator: Caller) -> Customer:
    """Somebody with a contract, whose first period ended ten days ago and was invoiced: US$50, and usage."""
    database = runtime.database
    await make.catalog(database, BORN)
    workspace_id = await closings.contract(database, BORN, included_credits=100 * NANO, price_minor=5_000)
    used = BORN + dt.timedelta(days=3)
    await make.Meter(database).report(workspace_id, charge("a", "12.5", used, agent="Ada"), now=used)
    await closings.issue_due(database, workspace_id, NOW, runtime.billing)
    text = f"tally_{IDS.secret()}"
    await database.run(
        lambda conn: tokens.insert_in(
            conn,
            name="owner",
            text=text,
            workspace_id=workspace_id,
            person_id=None,
            permissions=PERMISSIONS,
            expires_at=None,
            actor="test",
            now=BORN,
            ids=IDS,
        )
    )
    return Customer(workspace_id, Caller(http, text), operator)


async def test_a_public_client_finds_its_fields_with_amounts_in_cents(
    customer: Customer, http: httpx2.AsyncClient
) -> None:
    answer = await customer.owner.get("/v1/billing/subscriptions/invoices")
    [invoice] = answer.json()["invoices"]
    assert (invoice["isPaid"], invoice["currency"], invoice["amount"]) == (False, "usd", 5_000)
    assert invoice["dueDate"].endswith("Z")
    # Whoever has the address reads the invoice in a browser, without a login.
    seen = await http.get(urlsplit(invoice["url"]).path)
    assert (seen.status_code, seen.content[:5]) == (200, b"%PDF-")
    assert invoice["pdfUrl"].endswith(f"/v1/invoices/{invoice['id']}/pdf")
    assert (invoice["status"], invoice["periodStart"]) == ("issued", BORN.isoformat().replace("+00:00", "Z"))
    limited = await customer.owner.get("/v1/billing/subscriptions/invoices", params={"limit": "1", "offset": "1"})
    assert limited.json() == {"invoices": []}


async def test_one_invoice_shows_lines_usage_taxes_payments_and_parties(customer: Customer) -> None:
    [listed] = await customer.invoices()
    invoice = await customer.one(listed["id"])
    plan, usage = invoice["lines"]
    assert (plan["kind"], plan["amount"], plan["taxCategory"]) == ("plan", 5_000, "O")
    assert (usage["kind"], usage["amount"], usage["credits"], usage["details"]["category"]) == (
        "usage",
        0,
        12.5,
        "other",
    )
    [used] = invoice["usage"]
    assert (used["agentName"], used["credits"], used["events"]) == ("Ada", 12.5, 1)
    [tax] = invoice["taxes"]
    assert (tax["category"], tax["rate"], tax["base"], tax["amount"]) == ("O", 0, 5_000, 0)
    assert tax["reason"]
    assert (invoice["seller"]["name"], invoice["buyer"]["name"]) == ("Tallystick", "Acme")
    assert (invoice["payments"], invoice["creditNotes"], invoice["openAmount"]) == ([], [], 5_000)


async def test_the_next_invoice_is_known_before_its_time(customer: Customer, runtime: Runtime) -> None:
    meter = make.Meter(runtime.database)
    await meter.report(customer.workspace_id, charge("b", "3", NOW - dt.timedelta(hours=2)), now=NOW)
    await meter.report(customer.workspace_id, charge("c", "1", BORN + dt.timedelta(days=4)), now=NOW)
    answer = await customer.owner.get("/v1/invoices/upcoming")
    invoice = answer.json()["invoice"]
    assert (invoice["amount"], invoice["currency"]) == (5_000, "usd")
    assert [(line["kind"], line["credits"]) for line in invoice["lines"]] == [
        ("plan", None),
        ("adjustment", 1),
        ("usage", 3),
    ]


async def test_an_invoice_on_which_nothing_was_paid_is_voided_with_a_reason(customer: Customer) -> None:
    [listed] = await customer.invoices()
    assert (await customer.act(listed["id"], "void", reason="")).json()["reason"] == "invalidText"
    for _ in range(2):
        voided = await customer.act(listed["id"], "void")
        assert (voided.status_code, voided.json()["invoice"]["status"]) == (200, "void")
    assert voided.json()["invoice"]["number"] == listed["number"]
    refused = await customer.act(listed["id"], "uncollectible")
    assert (refused.status_code, refused.json()["reason"]) == (409, "invoiceNotOpen")
    audit = await customer.operator.get("/v1/audit", params={"action": "invoice.voided"}, headers=_of(customer))
    assert [entry["reason"] for entry in audit.json()["entries"]] == ["asked for"]


async def test_an_invoice_is_written_off_and_may_still_be_credited(customer: Customer) -> None:
    [listed] = await customer.invoices()
    written = await customer.act(listed["id"], "uncollectible")
    assert written.json()["invoice"]["status"] == "uncollectible"
    assert (await customer.act(listed["id"], "credit", amount=1)).status_code == 201


async def test_a_credit_note_has_its_own_number_and_takes_no_more_than_there_is(customer: Customer) -> None:
    [listed] = await customer.invoices()
    key = {"idempotency-key": str(IDS.new(NOW))}
    given = {"workspaceUuid": str(customer.workspace_id), "reason": "an outage", "amount": 1_500}
    notes = [
        await customer.operator.post(f"/v1/invoices/{listed['id']}/credit", json=given, headers=key) for _ in range(2)
    ]
    assert [note.status_code for note in notes] == [201, 201]
    assert notes[0].json() == notes[1].json()
    note = notes[0].json()["invoice"]
    assert (note["kind"], note["amount"], note["correctsId"], note["reason"]) == (
        "credit_note",
        1_500,
        listed["id"],
        "an outage",
    )
    assert note["number"].startswith("CN-")
    too_much = await customer.act(listed["id"], "credit", amount=3_501)
    assert (too_much.status_code, too_much.json()["reason"]) == (409, "creditExceedsInvoice")
    invoice = await customer.one(listed["id"])
    assert (invoice["openAmount"], invoice["creditedAmount"], invoice["status"]) == (3_500, 1_500, "issued")
    assert [one["number"] for one in invoice["creditNotes"]] == [note["number"]]
    await customer.act(listed["id"], "credit")
    settled = await customer.one(listed["id"])
    assert (settled["openAmount"], settled["status"], settled["paidAmount"]) == (0, "paid", 0)


async def test_a_line_is_credited_by_its_position(customer: Customer) -> None:
    [listed] = await customer.invoices()
    lines = [{"position": 1, "amount": 700}]
    note = await customer.act(listed["id"], "credit", lines=lines)
    assert [(line["kind"], line["amount"]) for line in note.json()["invoice"]["lines"]] == [("plan", 700)]
    doubled = await customer.act(listed["id"], "credit", lines=lines * 2)
    assert doubled.json()["reason"] == "invalidAmount"


async def test_custom_amounts_are_for_contracts(customer: Customer, operator: Caller) -> None:
    lines = [
        {"description": "Workshop", "unitPrice": "125000.5", "quantity": 2, "unit": "days"},
        {"description": "Discount", "unitPrice": -1_000},
    ]
    body = {"workspaceUuid": str(customer.workspace_id), "lines": lines, "dueAt": "2026-06-01T00:00:00Z"}
    made = await customer.operator.post("/v1/invoices", json=body)
    assert made.status_code == 201, made.text
    invoice = made.json()["invoice"]
    assert (invoice["purpose"], invoice["amount"], invoice["dueDate"]) == ("custom", 249_001, "2026-06-01T00:00:00Z")
    euros = await customer.operator.post("/v1/invoices", json=body | {"currency": "EUR"})
    assert (euros.status_code, euros.json()["reason"]) == (409, "currencyMismatch")
    house = await new_house(operator)
    refused = await customer.operator.post("/v1/invoices", json=body | {"workspaceUuid": str(house.uuid)})
    assert (refused.status_code, refused.json()["reason"]) == (409, "invoiceCustomNotAllowed")


async def test_an_invoice_of_another_workspace_is_not_there(customer: Customer, operator: Caller) -> None:
    [listed] = await customer.invoices()
    house = await new_house(operator)
    answer = await house.owner.get(f"/v1/invoices/{listed['id']}")
    assert (answer.status_code, answer.json()["reason"]) == (404, "invoiceNotFound")


def _of(customer: Customer) -> dict[str, str]:
    return {"selected-workspace-uuid": str(customer.workspace_id)}
