"""Calls about invoices and credit notes. Money is in minor units (cents) beside its currency."""

import datetime as dt
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Final, TypeVar, cast
from urllib.parse import quote
from uuid import UUID

import msgspec

from tallystick.client.replies import Call
from tallystick.wire import invoices as wire
from tallystick.wire.amounts import answer_decoder, encode

T = TypeVar("T")

_JSON: Final = "application/json"


def subscription_invoices(
    *, limit: int | None = None, offset: int | None = None
) -> Call[wire.SubscriptionInvoicesAnswer]:
    """Every issued invoice, the newest first: `{"invoices": [{"id", "isPaid", "currency", "amount", …}]}`."""
    return _get("/v1/billing/subscriptions/invoices", wire.SubscriptionInvoicesAnswer, limit=limit, offset=offset)


def invoices(
    *,
    kind: wire.InvoiceKind | None = None,
    status: wire.InvoiceStatus | None = None,
    limit: int | None = None,
    offset: int | None = None,
) -> Call[wire.InvoicesAnswer]:
    """Invoices, drafts and credit notes, the newest first."""
    return _get("/v1/invoices", wire.InvoicesAnswer, kind=kind, status=status, limit=limit, offset=offset)


def invoice(invoice_id: UUID | str) -> Call[wire.InvoiceAnswer]:
    """One of them with lines, usage, taxes, payments and credit notes."""
    return _get(f"/v1/invoices/{quote(str(invoice_id), safe='')}", wire.InvoiceAnswer)


def upcoming_invoice() -> Call[wire.UpcomingAnswer]:
    """What the next invoice would be if nothing more were used."""
    return _get("/v1/invoices/upcoming", wire.UpcomingAnswer)


def create_invoice(
    workspace_uuid: UUID,
    lines: Sequence[wire.CustomLine],
    *,
    currency: str | None = None,
    due_at: dt.datetime | None = None,
    reason: str = "",
    idempotency_key: str | None = None,
) -> Call[wire.InvoiceAnswer]:
    """Issue an invoice over custom amounts to who has a contract. For operators."""
    body = wire.CreateInvoice(
        workspace_uuid=workspace_uuid, lines=list(lines), currency=currency, due_at=due_at, reason=reason
    )
    return _post("/v1/invoices", wire.InvoiceAnswer, body, idempotency_key)


def void_invoice(invoice_id: UUID | str, workspace_uuid: UUID, *, reason: str) -> Call[wire.InvoiceAnswer]:
    """Void an invoice on which nothing was paid. For operators."""
    return _post(
        _path(invoice_id, "void"), wire.InvoiceAnswer, wire.WithReason(workspace_uuid=workspace_uuid, reason=reason)
    )


def write_off_invoice(invoice_id: UUID | str, workspace_uuid: UUID, *, reason: str) -> Call[wire.InvoiceAnswer]:
    """Write an invoice off. For operators."""
    body = wire.WithReason(workspace_uuid=workspace_uuid, reason=reason)
    return _post(_path(invoice_id, "uncollectible"), wire.InvoiceAnswer, body)


def credit_invoice(
    invoice_id: UUID | str,
    workspace_uuid: UUID,
    *,
    reason: str,
    amount: int | None = None,
    lines: Mapping[int, int] | None = None,
    idempotency_key: str | None = None,
) -> Call[wire.InvoiceAnswer]:
    """Issue a credit note: a gross amount, net ones of lines by position, or all that is left. For operators."""
    named = None if lines is None else [wire.CreditLine(position=at, amount=minor) for at, minor in lines.items()]
    body = wire.CreditInvoice(workspace_uuid=workspace_uuid, reason=reason, amount=amount, lines=named)
    return _post(_path(invoice_id, "credit"), wire.InvoiceAnswer, body, idempotency_key)


def _path(invoice_id: UUID | str, action: str) -> str:
    return f"/v1/invoices/{quote(str(invoice_id), safe='')}/{action}"


@cache
def _decoder(shape: Any) -> "msgspec.json.Decoder[Any]":
    return answer_decoder(shape)


def _get(path: str, shape: type[T], **query: object) -> Call[T]:
    given = {name: str(value) for name, value in query.items() if value is not None}
    return Call("GET", path, cast("msgspec.json.Decoder[T]", _decoder(cast(Any, shape))), query=given)


def _post(path: str, shape: type[T], body: object, idempotency_key: str | None = None) -> Call[T]:
    headers = {"content-type": _JSON}
    if idempotency_key is not None:
        headers["idempotency-key"] = idempotency_key
    decoder = cast("msgspec.json.Decoder[T]", _decoder(cast(Any, shape)))
    return Call("POST", path, decoder, body=encode(body), headers=headers)
