"""Links to the PDF of an invoice that open it without a login, for the people who pay (row D6)."""

import datetime as dt
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from tallystick.flows import links
from tallystick.flows.billing import Billing
from tallystick.flows.links import Link
from tallystick.kernel.errors import TallystickError
from tallystick.kernel.ids import Ids
from tallystick.store.database import Database

PURPOSE: Final = "invoicePdf"


@dataclass(frozen=True, slots=True)
class DocumentLink:
    """An address that anybody may open until `expires_at`."""

    url: str
    expires_at: dt.datetime


async def link(
    database: Database, billing: Billing, workspace_id: UUID, invoice_id: UUID, *, now: dt.datetime, ids: Ids
) -> DocumentLink:
    """A link to an invoice's PDF; whoever gets it here may read the invoice. `now` is the machine's time."""
    return (await links_to(database, billing, workspace_id, [invoice_id], now=now, ids=ids))[invoice_id]


async def links_to(
    database: Database,
    billing: Billing,
    workspace_id: UUID,
    invoice_ids: Collection[UUID],
    *,
    now: dt.datetime,
    ids: Ids,
) -> dict[UUID, DocumentLink]:
    """A link to each of these invoices of a workspace."""
    if not invoice_ids:
        return {}
    expires_at = now + dt.timedelta(hours=billing.settings.document_link_hours)
    wanted = [Link(PURPOSE, workspace_id, expires_at, str(one)) for one in invoice_ids]
    texts = await links.sign_all(database, wanted, now=now, ids=ids)
    return {
        one: DocumentLink(f"{billing.public_url}/v1/documents/{text}", expires_at)
        for one, text in zip(invoice_ids, texts, strict=True)
    }


async def opened(database: Database, text: str, *, now: dt.datetime) -> tuple[UUID, UUID]:
    """(workspace, invoice) that a link is for. Raises `invalidLink` and `linkExpired`. `now` is the machine's time."""
    found = await links.check(database, text, PURPOSE, now=now)
    try:
        return found.workspace_id, UUID(found.subject)
    except ValueError:
        raise TallystickError("invalidLink", "This link is not valid. Ask for a new one where you got it.") from None
