"""The subscription of a workspace as other people's clients read it, with the counts of rule M22."""

import datetime as dt
from dataclasses import dataclass, fields
from typing import Any, Final
from uuid import UUID

from tallystick.domain.billing.subscriptions import Counts, counts
from tallystick.domain.credits.gates import overage_of
from tallystick.domain.credits.grants import Grant
from tallystick.kernel.errors import TallystickError
from tallystick.kernel.periods import Period
from tallystick.store.database import Database, Row
from tallystick.store.named_sql import load

SQL = load(__file__)
_GRANT_FIELDS: Final = tuple(field.name for field in fields(Grant))
_MADE: Final = ("period", "counts", "pending", "top_up")


@dataclass(frozen=True, slots=True)
class Pending:
    """What comes with the period's end. The plan's fields are None where that is the subscription's end."""

    kind: str
    asked_at: dt.datetime
    effective_at: dt.datetime
    plan: str | None = None
    plan_version_id: UUID | None = None
    name: str | None = None
    cadence: str | None = None
    price_minor: int | None = None
    currency: str | None = None
    included_credits: int | None = None


@dataclass(frozen=True, slots=True)
class TopUp:
    """Automatic top-up that is on: `credits` are bought below `threshold`, nano-credits."""

    credits: int
    threshold: int


@dataclass(frozen=True, slots=True)
class ShownSubscription:
    """`price_minor` is in minor units of `currency`; `counts`, `posted`, `held` and the cap in nano-credits.

    `provider` and what a provider knows are None where no account was needed yet.
    """

    id: UUID
    workspace_id: UUID
    status: str
    plan: str
    plan_version_id: UUID
    plan_name: str
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
    zone: str
    trial_ends_at: dt.datetime | None
    trial_used_at: dt.datetime | None
    resumes_to: str | None
    overage_cap: int | None
    overage_invoiced: int
    provider: str | None
    customer_ref: str | None
    has_method: bool
    pending: Pending | None
    top_up: TopUp | None

    @property
    def has_credits(self) -> bool:
        """Whether anything is available, of all grants together (rule M22)."""
        return self.posted - self.held > 0

    @property
    def goes_beyond(self) -> bool:
        """Whether work goes on beyond the credits, as far as the contract or the cap allows (rule M12)."""
        return overage_of(self.at_zero, self.overage_cap) != 0


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
        field.name: row[field.name] for field in fields(ShownSubscription) if field.name not in _MADE
    }
    return ShownSubscription(
        **values,
        period=period,
        counts=counts(grants, period=period, overdraft=row["overdraft"]),
        pending=_pending(row, period),
        top_up=TopUp(row["topup_credits"], row["topup_threshold"]) if row["topup_state"] == "on" else None,
    )


def _pending(row: Row, period: Period) -> Pending | None:
    if row["pending_kind"] is None:
        return None
    return Pending(
        row["pending_kind"],
        row["pending_at"],
        period.end,
        row["next_plan"],
        row["next_plan_version_id"],
        row["next_plan_name"],
        row["next_cadence"],
        row["next_price_minor"],
        row["next_currency"],
        row["next_included_credits"],
    )
