"""The end of a billing period: what is to be invoiced for it is written down at once (rules M12, M28).

It is a part of the renewal's own transaction, so a period is closed exactly once, however often and by however many a
workspace is brought up to date. Issuing is another transaction (flows/issuing.py): whatever is cut off between the two,
the draft stands and says itself when it is to be issued.
"""

import datetime as dt
from collections.abc import Mapping
from typing import Final
from uuid import UUID

from tallystick.domain.billing import closing
from tallystick.domain.billing.invoices import DRAFT, Invoice, Line, Purpose, numbered
from tallystick.domain.billing.subscriptions import LiveTerms
from tallystick.domain.credits.grants import CREDITS
from tallystick.domain.credits.ledger import Book
from tallystick.kernel.ids import Ids
from tallystick.kernel.periods import Period
from tallystick.store import invoices
from tallystick.store.database import Connection

LEAST_GRACE: Final = dt.timedelta(hours=1)
"""A draft is looked at after this; where the operator's grace is longer it then waits for the rest."""


async def close_in(
    conn: Connection,
    workspace_id: UUID,
    pair: Mapping[str, Book],
    terms: LiveTerms,
    *,
    at: dt.datetime,
    now: dt.datetime,
    ids: Ids,
    purpose: Purpose = "period",
) -> Invoice:
    """Settle what was used beyond the credits and write the draft of the period's invoice; before the period's reset.

    `terms` are those of the period that ends `at`, with what follows: its price is on this invoice in advance. `pair`
    are the locked books, which the caller saves. With `purpose` "closing" it is the last invoice, which may be issued
    at once (`issuing.issue_in`).
    """
    period = Period(terms.period.start, at)
    following = terms.following
    advance = closing.plan_line(following.plan, following.period) if following and following.is_billed else None
    arrears = settle_overage(pair[CREDITS], terms, at=at, ids=ids)
    lines = [line for line in (advance, arrears) if line is not None]
    invoice = Invoice(
        workspace_id=workspace_id,
        id=ids.new(at),
        kind="invoice",
        purpose=purpose,
        status=DRAFT,
        currency=following.plan.currency if following else terms.plan.currency,
        created_at=now,
        updated_at=now,
        period_start=period.start,
        period_end=period.end,
        subscription_id=terms.subscription_id,
        net_minor=sum(line.amount_minor for line in lines),
        next_at=at + LEAST_GRACE,
    )
    await invoices.insert(conn, invoice, numbered(lines))
    return invoice


def settle_overage(book: Book, terms: LiveTerms, *, at: dt.datetime, ids: Ids) -> Line | None:
    """What was used beyond all grants until `at`, as a line to invoice: then it is no negative balance any more (M12).

    As far as the workspace may go; what was reported beyond that stays one. None where there is nothing.
    """
    beyond = closing.overage_of(book.balance.overdraft, terms.overage)
    if not beyond:
        return None
    book.settle_overage(beyond, ids.new(at), ids.new(at), at=at, key=f"overage:{at.isoformat()}")
    return closing.overage_line(terms.plan, beyond, Period(terms.period.start, at))
