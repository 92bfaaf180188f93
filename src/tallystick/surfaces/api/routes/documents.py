"""Invoices to keep: PDF for people, the electronic form for programs, and links that need no token (rows D6, E13)."""

import re
from typing import Final
from uuid import UUID

from tallystick.domain.billing.documents import Document
from tallystick.domain.identity.rights import BILLING_READ
from tallystick.flows import documents as flow
from tallystick.kernel.errors import TallystickError
from tallystick.queries import documents
from tallystick.surfaces.api.endpoints import Call, Reply, Routes
from tallystick.surfaces.api.guards import ANYONE, requires
from tallystick.wire import documents as wire

ROUTES = Routes("Documents")

PDF: Final = "application/pdf"
XML: Final = "application/xml"
_LOCALE: Final = re.compile(r"[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8}){0,3}")
_NOT_IN_A_NAME: Final = re.compile(r"[^A-Za-z0-9._-]+")


@ROUTES.get(
    "/v1/invoices/{id}/pdf",
    requires(BILLING_READ),
    produces=PDF,
    answers={200: bytes},
    errors=("invoiceNotFound", "invoiceNotIssued", "invalidLocale"),
)
async def get_invoice_pdf(call: Call, id: UUID, query: wire.DocumentQuery) -> Reply:  # noqa: A002 - the path's name
    """An issued invoice or credit note as PDF/A-3, its electronic form inside: the same bytes until its state changes.

    It shows whether it is paid, past due or void; what was issued never changes.
    """
    found = await documents.document(call.runtime.database, call.workspace_id, id, locale=_locale(query.locale))
    return await _pdf(call, found)


@ROUTES.get(
    "/v1/invoices/{id}/xml",
    requires(BILLING_READ),
    produces=XML,
    answers={200: bytes},
    errors=("electronicInvoiceUnavailable", "invoiceNotFound", "invoiceNotIssued"),
)
async def get_invoice_xml(call: Call, id: UUID) -> Reply:  # noqa: A002 - the path's name
    """The electronic form alone: Factur-X, profile EN 16931. One that can't have it says what is missing."""
    found = await documents.document(call.runtime.database, call.workspace_id, id)
    return _file(await call.runtime.printer.xml(found), XML, f"{found.number}.xml")


@ROUTES.post("/v1/invoices/{id}/links", requires(BILLING_READ), errors=("invoiceNotFound", "invoiceNotIssued"))
async def create_invoice_link(call: Call, id: UUID) -> wire.DocumentLinkAnswer:  # noqa: A002 - the path's name
    """A link that opens the PDF without a token for `TALLY_DOCUMENT_LINK_HOURS`, to hand on to whoever pays."""
    await documents.document(call.runtime.database, call.workspace_id, id)
    made = await flow.link(
        call.runtime.database, call.runtime.billing, call.workspace_id, id, now=call.received_at, ids=call.ids
    )
    return wire.DocumentLinkAnswer(link=wire.DocumentLink(url=made.url, expires_at=made.expires_at))


@ROUTES.get(
    "/v1/documents/{link}",
    ANYONE,
    produces=PDF,
    answers={200: bytes},
    errors=("invalidLink", "invoiceNotFound", "invoiceNotIssued", "linkExpired"),
)
async def open_invoice_link(call: Call, link: str) -> Reply:
    """The PDF that a signed link is for."""
    workspace_id, invoice_id = await flow.opened(call.runtime.database, link, now=call.received_at)
    return await _pdf(call, await documents.document(call.runtime.database, workspace_id, invoice_id))


async def _pdf(call: Call, found: Document) -> Reply:
    return _file(await call.runtime.printer.pdf(found), PDF, f"{found.number}.pdf")


def _file(content: bytes, media_type: str, name: str) -> Reply:
    """For a browser: shown, not kept by whatever is in between, under the document's number when it is saved."""
    plain = _NOT_IN_A_NAME.sub("-", name)
    headers = {
        "Content-Disposition": f'inline; filename="{plain}"',
        "Cache-Control": "private, no-store",
        "X-Content-Type-Options": "nosniff",
    }
    return Reply(content, headers=headers, media_type=media_type)


def _locale(text: str | None) -> str | None:
    if text is not None and not _LOCALE.fullmatch(text):
        raise TallystickError("invalidLocale", "locale must be like de or pt-BR.", locale=text[:64])
    return text
