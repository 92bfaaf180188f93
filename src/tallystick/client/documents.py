"""Calls for documents of invoices: files, which arrive as bytes, and links to them."""

from typing import TYPE_CHECKING, Final, cast
from urllib.parse import quote
from uuid import UUID

from tallystick.client.replies import Call
from tallystick.wire.amounts import answer_decoder
from tallystick.wire.documents import DocumentLinkAnswer

if TYPE_CHECKING:
    import msgspec


class _AsBytes:
    """Reads an answer that is a file: as it is."""

    def decode(self, body: bytes) -> bytes:
        return bytes(body)


_BYTES: Final = cast("msgspec.json.Decoder[bytes]", _AsBytes())
_PATIENCE: Final = 60.0


def invoice_pdf(id: UUID | str, *, locale: str | None = None) -> Call[bytes]:  # noqa: A002 - the API's name
    """An issued invoice or credit note as PDF/A-3; `locale` such as `de` stands over the account's."""
    query = {} if locale is None else {"locale": locale}
    headers = {"accept": "application/pdf, application/json"}
    return Call("GET", _path(id, "pdf"), _BYTES, query=query, headers=headers, patience=_PATIENCE)


def invoice_xml(id: UUID | str) -> Call[bytes]:  # noqa: A002 - the API's name
    """Its electronic form alone: Factur-X, profile EN 16931."""
    return Call("GET", _path(id, "xml"), _BYTES, headers={"accept": "application/xml, application/json"})


def issued_invoices() -> Call[bytes]:
    """Every invoice and credit note, as the JSON that the server writes: which there are to be had."""
    return Call("GET", "/v1/invoices", _BYTES)


def create_invoice_link(id: UUID | str) -> Call[DocumentLinkAnswer]:  # noqa: A002 - the API's name
    """A link that opens the PDF without a token until it expires."""
    return Call("POST", _path(id, "links"), answer_decoder(DocumentLinkAnswer))


def _path(id: UUID | str, what: str) -> str:  # noqa: A002 - the API's name
    return f"/v1/invoices/{quote(str(id), safe='')}/{what}"
