"""What is told of money before it is due: a card on file that ends soon. Each once (rows D7, E10)."""

import datetime as dt
from uuid import UUID

from tallystick.domain.billing import cards
from tallystick.domain.billing.told import account_fact, instant, shown_method
from tallystick.domain.telling.facts import METHOD_EXPIRING, Fact
from tallystick.store import agenda, facts
from tallystick.store.agenda import Card
from tallystick.store.database import Connection, Database


async def tell(database: Database, workspace_id: UUID | None, *, now: dt.datetime) -> int:
    """Tell of cards that end soon, each once; of one workspace, or of all without a test clock. How many there are.

    Safe to run by many at once, and twice.
    """
    this_month = now.year * 12 + now.month
    async with database.read(workspace_id) as conn:
        # One month more to each side, since a zone may be in another month already.
        found = await agenda.cards(conn, this_month - 1, this_month + 2, workspace_id=workspace_id)
    told = [fact for card in found if (fact := _fact(card, now)) is not None]
    if not told:
        return 0

    async def work(conn: Connection) -> None:
        await facts.record(conn, told, now)

    await database.run(work)
    return len(told)


def _fact(card: Card, now: dt.datetime) -> Fact | None:
    """What is told of a card, at the instant at which it was to be told; None where there is nothing to tell yet, or
    not any more."""
    end = cards.ends_at(card.method, card.zone)
    if end is None or not end - cards.NOTICE <= now < end:
        return None
    at = min(max(end - cards.NOTICE, card.since or now), now)
    return account_fact(
        card.workspace_id,
        METHOD_EXPIRING,
        at,
        card.method.id,
        instant(end) or "",
        method=shown_method(card.method),
        endsAt=instant(end),
    )
