"""The way to a page where payment is seen and changed: the provider's own, or ours by a signed link (rows A10, D7)."""

import datetime as dt
from typing import Final
from uuid import UUID

from tallystick.flows import accounts, links
from tallystick.flows.billing import Billing
from tallystick.flows.links import Link
from tallystick.kernel.ids import Ids
from tallystick.store.database import Database

PURPOSE: Final = "payment"
PATH: Final = "/pay"


async def portal_link(
    database: Database,
    billing: Billing,
    workspace_id: UUID,
    *,
    base_url: str,
    now: dt.datetime,
    real_now: dt.datetime,
    ids: Ids,
) -> str:
    """An address for somebody who may change this workspace's payment, good for some minutes.

    `now` is the workspace's time; a link expires by the machine's, `real_now`. Raises `subscriptionNotFound` and
    `paymentProviderUnavailable`.
    """
    known = await accounts.ensure_customer(database, billing, workspace_id, now=now, ids=ids)
    own = await own_page(database, billing, workspace_id, base_url=base_url, real_now=real_now, ids=ids)
    return await known.provider.portal(known.ref, own)


async def own_page(
    database: Database, billing: Billing, workspace_id: UUID, *, base_url: str, real_now: dt.datetime, ids: Ids
) -> str:
    """The signed address of our own payment page."""
    expires_at = real_now + dt.timedelta(seconds=billing.settings.portal_seconds)
    text = await links.sign(database, Link(PURPOSE, workspace_id, expires_at), now=real_now, ids=ids)
    return f"{base_url.rstrip('/')}{PATH}/{text}"
