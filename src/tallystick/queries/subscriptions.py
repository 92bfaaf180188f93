"""The subscription of a workspace as other people's clients read it, with the counts of rule M22."""

import datetime as dt
from dataclasses import dataclass, fields
from typing import Any, Final
from uuid import UUID

from tallystick.domain.billing.subscriptions import Counts, counts
from tallystick.domain.credits.grants import Grant
from tallystick.kernel.errors import TallystickError
from tallystick.kernel.periods import Period
from tallystick.store.database import Database
from tallystick.store.named_sql import load

SQL = load(__file__)
_GRANT_FIELDS: Final = tuple(field.name for field in fields(Grant))


@dataclass(frozen=True, slots=True)
class ShownSubscription:
    """`price_minor` is in minor units of `currency`; `counts` and `posted`, `held` in nano-credits."""

    id: UUID
    workspace_id: UUID
    status: str
    plan: str
    cadence: str
    price_minor: int
    currency: str
    at_zero: str
    started_at: dt.datetime
    ended_at: dt.datetime | None
    updated_at: dt.datetime
    period: Period
    counts: Counts
    posted: int
    held: int

    @property
    def has_credits(self) -> bool:
        """Whether anything is available, of all grants together (rule M22)."""
        return self.posted - self.held > 0


async def subscription(database: Database, workspace_id: UUID) -> ShownSubscription:
    """The live subscription, as of the last booking: the caller settles what is due first (flows/due.py).

    Raises `subscriptionNotFound`.
    """
    async with database.read(workspace_id) as conn:
        row = await (await conn.execute(SQL["subscription"], {"workspace_id": workspace_id})).fetchone()
        if row is None:
            raise TallystickError("subscriptionNotFound", "This workspace has no subscription.")
        period = Period(row["period_start"], row["period_end"])
        given = {"workspace_id": workspace_id, "starts_at": period.start, "ends_at": period.end}
        found = await (await conn.execute(SQL["grants_of_period"], given)).fetchall()
    grants = [Grant(**{name: grant[name] for name in _GRANT_FIELDS}) for grant in found]
    values: dict[str, Any] = {
        field.name: row[field.name] for field in fields(ShownSubscription) if field.name not in ("period", "counts")
    }
    return ShownSubscription(**values, period=period, counts=counts(grants, period=period, overdraft=row["overdraft"]))
