"""Bought credits that are taxed where they are used: what of them belongs on a period's invoice (rule M26).

Only with `creditsTaxAt: use`. What was paid for them was paid without tax; as they are used, the invoice of the period
shows their worth once with its tax and once taken off again, so that the tax alone is to be paid, and never twice.
"""

import datetime as dt
from dataclasses import replace
from typing import Final

from tallystick.domain.billing.invoices import Line, new_line
from tallystick.domain.billing.purchases import Purchase
from tallystick.domain.billing.revenue import Burnt, recognised
from tallystick.flows.billing import Billing
from tallystick.flows.invoicing import Payer
from tallystick.store import purchases
from tallystick.store.database import Connection

_EXEMPT: Final = "E"


async def lines_in(
    conn: Connection, billing: Billing, asked: Payer, currency: str, *, now: dt.datetime
) -> tuple[Line, ...]:
    """The lines for what was used of them and not taxed yet, as far as it is recognised; it counts as taxed then.

    None where no tax is due on it, and none where credits that came back left less than was taxed before. The caller
    has locked the workspace's balances.
    """
    if billing.purchases.tax_at != "use":
        return ()
    granted = await purchases.lock_granted(conn, asked.account.workspace_id)
    found = [one for one in granted if one.tax_at == "use" and one.currency == currency]
    worth = sum(map(_untaxed, found))
    if worth <= 0:
        return ()
    used = new_line("credits", "Bought credits used in the meantime", worth)
    _, taxes = billing.taxes.tax([used], billing.seller, asked.party, at=now)
    for one in found:
        one.taxed_minor += _untaxed(one)
        await purchases.save(conn, one)
    if not any(tax.rate_ppm for tax in taxes):
        return ()
    paid = new_line("credits", "Paid with their purchase", -worth, details={"prepaid": True})
    return used, replace(paid, tax_category=_EXEMPT)


def _untaxed(purchase: Purchase) -> int:
    revenue, _, _ = recognised(purchase, Burnt(purchase.recognised_used, purchase.recognised_expired))
    return revenue - purchase.taxed_minor
