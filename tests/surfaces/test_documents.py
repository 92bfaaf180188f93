"""Invoices as files over HTTP: who gets them, what arrives, and links that need no token."""

import datetime as dt
from dataclasses import replace
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from tallystick.domain.billing.invoices import Used, new_line
from tallystick.flows import documents as flow
from tallystick.flows import invoicing
from tallystick.flows.billing import Billing
from tallystick.flows.links import Link, sign
from tallystick.runtime import Runtime
from tallystick.store import accounts, invoices
from tallystick.store.database import Connection
from tests.documents import samples
from tests.documents.checking import attached, structure_problems, text_of, violations
from tests.surfaces.conftest import IDS, NOW, Caller, House


async def put(runtime: Runtime, house: House, made: Any = None, *, used: Any = (), **more: Any) -> UUID:
    """Write an issued invoice down for the house; its id."""
    made = made or samples.document()
    invoice = replace(made.invoice, workspace_id=house.uuid, id=IDS.new(NOW), **more)

    async def work(conn: Connection) -> None:
        await invoices.insert(conn, invoice, made.lines, used)

    await runtime.database.run(work)
    return invoice.id


async def test_an_invoice_is_had_as_pdf_and_as_its_electronic_form(runtime: Runtime, house: House) -> None:
    agent = (await house.owner.put("/v1/resources/agent/writer", {"name": "Writer of letters"})).json()["resource"]
    used = [
        Used(samples.START, "llm", UUID(agent["uuid"]), 3, samples.LINES[2].quantity, 7_113 * 10**9, 0),
        Used(samples.START, "storage", UUID(int=0), 1, samples.LINES[4].quantity, 31 * 10**9, 0),
    ]
    invoice_id = await put(runtime, house, used=used)
    pdf = await house.owner.get(f"/v1/invoices/{invoice_id}/pdf")
    assert (pdf.status_code, pdf.headers["content-type"]) == (200, "application/pdf")
    assert pdf.headers["content-disposition"] == 'inline; filename="INV-000042.pdf"'
    assert pdf.headers["cache-control"] == "private, no-store"
    assert structure_problems(pdf.content) == []
    text = text_of(pdf.content)
    assert "Writer of letters" in text
    assert "Without an agent" in text
    xml = await house.owner.get(f"/v1/invoices/{invoice_id}/xml")
    assert (xml.status_code, xml.headers["content-type"]) == (200, "application/xml")
    assert (violations(xml.content), attached(pdf.content)) == ([], xml.content)
    assert (await house.operator.get(f"/v1/invoices/{invoice_id}/pdf")).content == pdf.content


async def test_what_is_issued_by_the_flows_has_documents(runtime: Runtime, house: House) -> None:
    lines = [
        new_line("plan", "Pro plan", 9_900, unit="period", period_start=samples.END, period_end=samples.NEXT),
        new_line("custom", "Onboarding", 25_000, quantity=2, unit="days", unit_price=Decimal(12_500)),
    ]
    germany = replace(runtime.billing, seller=samples.SELLER)

    async def work(conn: Connection, billing: Billing) -> tuple[UUID, UUID]:
        invoice = await invoicing.issue_now(conn, billing, house.uuid, "custom", lines, now=NOW, ids=IDS)
        note = await invoicing.credit_in(
            conn, billing, invoice, amount_minor=1_190, reason="Goodwill", now=NOW, ids=IDS
        )
        return invoice.id, note.id

    # With nothing set up the pages are there; what the standard wants is not, and is named.
    plain, _ = await runtime.database.run(lambda conn: work(conn, runtime.billing))
    pdf = await house.owner.get(f"/v1/invoices/{plain}/pdf")
    assert "No sales tax or VAT is charged by the seller." in text_of(pdf.content).replace("\n", " ")
    missing = (await house.owner.get(f"/v1/invoices/{plain}/xml")).json()["details"]["obstacles"]
    assert missing == ["the buyer has no country", "the seller has neither a tax id nor an e-mail address"]

    await set_buyer(runtime, house)
    for document_id in await runtime.database.run(lambda conn: work(conn, germany)):
        xml = await house.owner.get(f"/v1/invoices/{document_id}/xml")
        assert (xml.status_code, violations(xml.content)) == (200, [])
        pdf = await house.owner.get(f"/v1/invoices/{document_id}/pdf", params={"locale": "de"})
        assert structure_problems(pdf.content) == []


async def set_buyer(runtime: Runtime, house: House) -> None:
    async def work(conn: Connection) -> None:
        account = await accounts.lock(conn, house.uuid, provider="offline", now=NOW)
        await accounts.save(conn, replace(account, country="DE", legal_name="Käufer KG"), NOW)

    await runtime.database.run(work)


async def test_the_language_may_be_asked_for(runtime: Runtime, house: House) -> None:
    invoice_id = await put(runtime, house)
    german = await house.owner.get(f"/v1/invoices/{invoice_id}/pdf", params={"locale": "de"})
    assert "Rechnung" in text_of(german.content)
    refused = await house.owner.get(f"/v1/invoices/{invoice_id}/pdf", params={"locale": "../../etc"})
    assert (refused.status_code, refused.json()["reason"]) == (400, "invalidLocale")


async def test_a_credit_note_names_its_invoice(runtime: Runtime, house: House) -> None:
    corrected = await put(runtime, house, number="INV-000099")
    note = await put(runtime, house, samples.credit_note(), corrects=corrected)
    assert "corrects invoice INV-000099 of April 1, 2026" in text_of(
        (await house.owner.get(f"/v1/invoices/{note}/pdf")).content
    ).replace("\n", " ")


async def test_a_draft_has_no_document_and_one_that_lacks_something_no_electronic_form(
    runtime: Runtime, house: House
) -> None:
    draft = await put(runtime, house, status="draft", number=None, issued_at=None)
    for what in ("pdf", "xml"):
        answer = await house.owner.get(f"/v1/invoices/{draft}/{what}")
        assert (answer.status_code, answer.json()["reason"]) == (409, "invoiceNotIssued")
    answer = await house.owner.post(f"/v1/invoices/{draft}/links")
    assert (answer.status_code, answer.json()["reason"]) == (409, "invoiceNotIssued")
    lacking = await put(runtime, house, purpose="custom", buyer=replace(samples.BUYER, country=""))
    answer = await house.owner.get(f"/v1/invoices/{lacking}/xml")
    assert (answer.status_code, answer.json()["reason"]) == (409, "electronicInvoiceUnavailable")
    assert answer.json()["details"]["obstacles"] == ["the buyer has no country"]
    assert (await house.owner.get(f"/v1/invoices/{lacking}/pdf")).status_code == 200


async def test_nobody_has_the_invoices_of_others(runtime: Runtime, house: House, operator: Caller) -> None:
    invoice_id = await put(runtime, house)
    other = await operator.post("/v1/workspaces", {"name": "Other"})
    stranger = Caller(house.owner.http, other.json()["adminToken"])
    for path in ("pdf", "xml"):
        answer = await stranger.get(f"/v1/invoices/{invoice_id}/{path}")
        assert (answer.status_code, answer.json()["reason"]) == (404, "invoiceNotFound")
    assert (await stranger.post(f"/v1/invoices/{invoice_id}/links")).status_code == 404


async def test_a_link_opens_the_pdf_without_a_token_until_it_expires(runtime: Runtime, house: House) -> None:
    invoice_id = await put(runtime, house)
    made = await house.owner.post(f"/v1/invoices/{invoice_id}/links")
    assert made.status_code == 201
    link = made.json()["link"]
    assert link["expiresAt"] == "2026-03-15T09:41:07Z"
    path = link["url"].removeprefix(runtime.billing.public_url)
    opened = await house.owner.http.get(path)
    assert (opened.status_code, opened.headers["content-type"]) == (200, "application/pdf")
    assert opened.content == (await house.owner.get(f"/v1/invoices/{invoice_id}/pdf")).content
    # Of another purpose, changed, and late.
    wanted = Link("somethingElse", house.uuid, NOW + dt.timedelta(hours=1), str(invoice_id))
    other = await sign(runtime.database, wanted, now=NOW, ids=IDS)
    for text in (other, path.rpartition("/")[2][:-1] + "A", "x", "a.b"):
        answer = await house.owner.http.get(f"/v1/documents/{text}")
        assert (answer.status_code, answer.json()["reason"]) == (404, "invalidLink"), text
    late = await flow.link(
        runtime.database, runtime.billing, house.uuid, invoice_id, now=NOW - dt.timedelta(hours=24), ids=IDS
    )
    answer = await house.owner.http.get(late.url.removeprefix(runtime.billing.public_url))
    assert (answer.status_code, answer.json()["reason"]) == (410, "linkExpired")


@pytest.mark.parametrize("path", ["/v1/invoices/no-uuid/pdf", "/v1/invoices/no-uuid/xml"])
async def test_an_id_is_a_uuid(house: House, path: str) -> None:
    answer = await house.owner.get(path)
    assert (answer.status_code, answer.json()["reason"]) == (400, "invalidUuid")
