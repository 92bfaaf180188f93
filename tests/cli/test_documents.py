"""`tally billing invoices download`, and the same through both clients."""

import asyncio
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest

from tallystick.client import ApiError, AsyncClient, Client
from tallystick.store import invoices
from tallystick.store.database import Connection, Database
from tests.cli.conftest import Shell
from tests.documents import samples
from tests.documents.checking import attached, text_of, violations
from tests.serving import Shop


@pytest.fixture
def numbers(shop: Shop) -> list[str]:
    """Three issued documents of the shop, one without an electronic form, and a draft."""
    made = [
        samples.document(number="INV-000101"),
        samples.document(number="INV-000102", purpose="custom", buyer=replace(samples.BUYER, country="")),
        samples.credit_note(number="CN-000009", corrects=UUID(int=101)),
        samples.document(number=None, status="draft", issued_at=None, purpose="custom"),
    ]
    asyncio.run(_put(shop, made))
    return [one.invoice.number for one in made if one.invoice.number]


async def _put(shop: Shop, made: list[samples.Document]) -> None:
    database = Database(shop.database_url)
    await database.open()

    async def work(conn: Connection) -> None:
        for place, one in enumerate(made, 101):
            await invoices.insert(conn, replace(one.invoice, workspace_id=shop.uuid, id=UUID(int=place)), one.lines)

    await database.run(work)
    await database.close()


def test_every_issued_invoice_is_saved_by_its_number(tally: Shell, numbers: list[str]) -> None:
    done = tally("billing", "invoices", "download", "--output", "kept/2026")
    assert (done.status, done.stderr) == (0, "")
    assert sorted(file["number"] for file in done.answer["files"]) == sorted(numbers)
    for file in done.answer["files"]:
        content = (tally.folder / file["file"]).read_bytes()
        assert len(content) == file["bytes"]
        assert file["number"] in text_of(content)


def test_one_is_saved_by_number_or_uuid_in_a_language(tally: Shell, numbers: list[str]) -> None:
    for name in ("INV-000101", str(UUID(int=101))):
        done = tally("billing", "invoices", "download", "--invoice", name, "--locale", "de", "--format", "table")
        assert (done.status, "INV-000101.pdf" in done.stdout) == (0, True)
        assert "Rechnung" in text_of((tally.folder / "INV-000101.pdf").read_bytes())


def test_the_electronic_forms_are_saved_and_what_has_none_is_named(tally: Shell, numbers: list[str]) -> None:
    done = tally("billing", "invoices", "download", "--xml")
    assert done.status == 1
    assert [one["number"] for one in done.answer["refused"]] == ["INV-000102"]
    assert done.answer["refused"][0]["reason"] == "electronicInvoiceUnavailable"
    assert violations((tally.folder / "INV-000101.xml").read_bytes()) == []
    assert not (tally.folder / "INV-000102.xml").exists()


def test_what_is_not_there_and_what_cannot_be_written_is_said(tally: Shell, numbers: list[str]) -> None:
    done = tally("billing", "invoices", "download", "--invoice", "INV-000999")
    assert (done.status, done.answer["reason"]) == (1, "invoiceNotFound")
    Path(tally.folder / "INV-000101.pdf").mkdir()
    done = tally("billing", "invoices", "download", "--invoice", "INV-000101")
    assert (done.status, done.answer["reason"]) == (1, "fileNotWritten")


def test_both_clients_get_files_and_links(shop: Shop, numbers: list[str]) -> None:
    invoice_id = UUID(int=101)
    with Client(shop.base_url, shop.token) as client:
        pdf = client.get_invoice_pdf(invoice_id)
        assert attached(pdf) == client.get_invoice_xml(invoice_id)
        assert client.create_invoice_link(invoice_id).link.url.startswith("http")
        with pytest.raises(ApiError) as refused:
            client.get_invoice_xml(UUID(int=102))
        assert refused.value.reason == "electronicInvoiceUnavailable"

    async def ask() -> bytes:
        async with AsyncClient(shop.base_url, shop.token) as other:
            return await other.get_invoice_pdf(invoice_id)

    assert asyncio.run(ask()) == pdf
