"""`tally billing invoices` and `tally billing subscription get-invoices`, and the client's calls for the same."""

import asyncio
import datetime as dt
from dataclasses import replace

import pytest

from tallystick.client import Client, invoices
from tallystick.store import invoices as store
from tallystick.store.database import Connection, Database
from tests.cli.conftest import Shell
from tests.documents import samples
from tests.make import IDS
from tests.serving import House, Shop

NOW = dt.datetime(2026, 3, 14, tzinfo=dt.UTC)


@pytest.fixture
def issued(shop: Shop) -> samples.Document:
    """An issued invoice of the shop, of which nothing is paid."""
    number = f"INV-{IDS.secret()[:10]}"
    made = samples.document(number=number)
    made = replace(made, invoice=replace(made.invoice, workspace_id=shop.uuid, id=IDS.new(NOW)))

    async def put() -> None:
        database = Database(shop.database_url)
        await database.open()

        async def work(conn: Connection) -> None:
            await store.insert(conn, made.invoice, made.lines)

        await database.run(work)
        await database.close()

    asyncio.run(put())
    return made


def test_a_workspace_sees_its_invoices(tally: Shell, issued: samples.Document) -> None:
    short = tally("billing", "subscription", "get-invoices").answer["invoices"]
    assert [(one["number"], one["amount"]) for one in short] == [(issued.invoice.number, issued.invoice.total_minor)]
    [listed] = tally("billing", "invoices", "list", "--kind", "invoice").answer["invoices"]
    found = tally("billing", "invoices", "get", listed["id"])
    assert (found.status, len(found.answer["invoice"]["lines"])) == (0, len(issued.lines))
    drawn = tally("billing", "invoices", "get", listed["id"], "--format", "table").stdout
    assert "Total" in drawn
    coming = tally("billing", "invoices", "get", "upcoming").answer["invoice"]
    assert coming["amount"] == 0
    assert tally("billing", "invoices", "list", "--status", "nonsense").status == 2


def test_an_operator_credits_and_voids(tally: Shell, issued: samples.Document, house: House, shop: Shop) -> None:
    operator = {"TALLY_TOKEN": house.operator_token}
    named = ("--workspace-uuid", str(shop.uuid), "--reason", "an outage")
    one = str(issued.invoice.id)
    refused = tally("billing", "invoices", "credit", one, *named, "--amount", "100")
    assert (refused.status, refused.answer) == (1, {"errorMessage": "forbidden"})
    note = tally("billing", "invoices", "credit", one, *named, "--amount", "100", **operator)
    assert (note.status, note.answer["invoice"]["amount"]) == (0, 100)
    voided = tally("billing", "invoices", "void", one, *named, **operator)
    assert (voided.status, voided.answer["invoice"]["status"]) == (0, "void")
    custom = tally(
        "billing", "invoices", "custom", "--workspace-uuid", str(shop.uuid), "--line", "Workshop=250000", **operator
    )
    assert (custom.status, custom.answer["reason"]) == (1, "invoiceCustomNotAllowed")
    assert tally("billing", "invoices", "custom", "--workspace-uuid", str(shop.uuid), "--line", "=x").status == 2


def test_the_client_reads_the_same(house: House, shop: Shop, issued: samples.Document) -> None:
    with Client(base_url=house.base_url, token=shop.token) as client:
        [listed] = client.send(invoices.invoices()).invoices
        assert client.send(invoices.invoice(listed.id)).invoice.number == issued.invoice.number
